// The picture, buttons on its faces, and what is under the pointer.
function render({ model, el }) {
  el.classList.add("fsk-picture-area");
  el.dataset.lmSuppressShortcuts = "true";
  const frame = element("div", "fsk-frame");
  const image = element("img", "fsk-picture");
  const buttons = element("div", "fsk-faces");
  const tip = element("div", "fsk-tip");
  const busy = element("div", "fsk-busy");
  const caption = element("div", "fsk-caption");
  tip.hidden = true;
  busy.setAttribute("role", "status");
  frame.append(image, buttons, tip, busy);
  el.append(frame, caption);

  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  let address = null;

  function showImage() {
    const old = address;
    address = URL.createObjectURL(new Blob([model.get("image")], { type: "image/jpeg" }));
    image.src = address;
    if (old) URL.revokeObjectURL(old);
  }

  async function readProbe() {
    const bytes = model.get("probe");
    if (!bytes.byteLength) return;
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    probe.canvas.width = bitmap.width;
    probe.canvas.height = bitmap.height;
    probe.drawImage(bitmap, 0, 0);
  }

  function showTexts() {
    image.alt = model.get("alt");
    caption.textContent = model.get("caption");
    busy.textContent = model.get("busy");
    busy.classList.toggle("fsk-working", model.get("busy") !== "");
    frame.setAttribute("aria-busy", model.get("busy") !== "");
  }

  function choose(number) {
    model.set("face", number);
    model.save_changes();
  }

  function showFaces() {
    const chosen = model.get("face");
    const hadFocus = buttons.contains(document.activeElement);
    buttons.replaceChildren();
    if (chosen > 0) {
      const whole = element("button", "fsk-button fsk-whole");
      whole.type = "button";
      whole.textContent = "Show the whole photo";
      whole.onclick = () => choose(0);
      buttons.append(whole);
    } else {
      model.get("faces").forEach(([left, top, width, height], index) => {
        const button = element("button", "fsk-face");
        button.type = "button";
        const name = `Zoom to face ${index + 1}`;
        button.setAttribute("aria-label", name);
        const sides = { left, top, width, height };
        for (const [side, value] of Object.entries(sides)) button.style[side] = `${100 * value}%`;
        button.onclick = () => choose(index + 1);
        buttons.append(button);
      });
    }
    if (hadFocus) buttons.firstElementChild?.focus();
  }

  function showTip(event) {
    const box = image.getBoundingClientRect();
    const { width, height } = probe.canvas;
    const x = Math.floor(((event.clientX - box.left) / box.width) * width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * height);
    const inside = x >= 0 && y >= 0 && x < width && y < height;
    const [id, confidence] = inside ? probe.getImageData(x, y, 1, 1).data : [0, 0];
    tip.hidden = !inside || confidence === 0;
    if (tip.hidden) return;
    tip.textContent = `${model.get("names")[id]}, ${Math.round((100 * confidence) / 255)} %`;
    tip.style.left = `${Math.min(event.clientX - box.left + 12, box.width - 110)}px`;
    tip.style.top = `${Math.max(event.clientY - box.top - 30, 0)}px`;
  }

  frame.addEventListener("pointermove", showTip);
  frame.addEventListener("pointerleave", () => (tip.hidden = true));
  el.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && model.get("face") > 0) choose(0);
  });
  const listeners = {
    "change:image": showImage,
    "change:probe": readProbe,
    "change:alt change:caption change:busy": showTexts,
    "change:faces change:face": showFaces,
  };
  for (const [events, update] of Object.entries(listeners)) {
    model.on(events, update);
    update();
  }
  return () => {
    for (const [events, update] of Object.entries(listeners)) model.off(events, update);
    if (address) URL.revokeObjectURL(address);
  };
}

function element(tag, className) {
  const made = document.createElement(tag);
  made.className = className;
  return made;
}

export default { render };
