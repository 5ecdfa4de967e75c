// Photos from files, by drag and drop, from the clipboard and from a camera.
const PIECE = 1_000_000; // bytes in one message

function render({ model, el }) {
  el.classList.add("fsk-input");
  el.dataset.lmSuppressShortcuts = "true";
  const file = document.createElement("input");
  file.type = "file";
  file.accept = "image/*";
  file.multiple = true;
  file.className = "fsk-file";
  file.setAttribute("aria-label", "Upload photos");
  const row = document.createElement("div");
  row.className = "fsk-row";
  const status = document.createElement("div");
  status.className = "fsk-note";
  status.setAttribute("role", "status");
  const film = document.createElement("div");
  film.className = "fsk-camera";
  film.hidden = true;
  const upload = button("Upload photos", () => file.click());
  const paste = button("Paste", pasteFromClipboard);
  const camera = button("Camera", openCamera);
  file.tabIndex = -1;
  file.ariaHidden = "true";
  paste.hidden = !navigator.clipboard?.read;
  camera.hidden = true;
  row.append(upload, paste, camera);
  el.append(row, file, status, film);

  let stream = null;
  let queue = Promise.resolve();

  function say(text) {
    status.textContent = text;
  }

  async function send(blobs) {
    const limit = model.get("max_bytes");
    const total = blobs.length;
    for (const [index, blob] of blobs.entries()) {
      const name = blob.name ?? "pasted.png";
      if (blob.size > limit) {
        say(`${name} has ${(blob.size / 1e6).toFixed(0)} MB; at most ${limit / 1e6} are allowed.`);
        continue;
      }
      say(`Sending photo ${index + 1} of ${total} …`);
      const bytes = await blob.arrayBuffer();
      for (let start = 0; start === 0 || start < bytes.byteLength; start += PIECE) {
        const piece = bytes.slice(start, start + PIECE);
        const first = start === 0;
        const last = start + PIECE >= bytes.byteLength;
        model.send({ name, first, last, number: index + 1, total }, undefined, [piece]);
      }
    }
  }

  function take(blobs) {
    const all = [...blobs];
    if (all.length) queue = queue.then(() => send(all)).catch((error) => say(String(error)));
  }

  file.onchange = () => {
    take(file.files);
    file.value = ""; // otherwise the same file could not be chosen again
  };

  async function pasteFromClipboard() {
    try {
      const blobs = [];
      for (const item of await navigator.clipboard.read()) {
        const type = item.types.find((one) => one.startsWith("image/"));
        if (type) blobs.push(new File([await item.getType(type)], `pasted.${type.slice(6)}`));
      }
      if (!blobs.length) say("There is no picture in the clipboard.");
      take(blobs);
    } catch {
      say("The browser does not allow to read the clipboard; press Ctrl+V here instead.");
    }
  }

  const area = el.closest(".fsk-explorer") ?? el;
  const images = (items) => [...items].filter((item) => item.type.startsWith("image/"));
  const onPaste = (event) => {
    const files = images(event.clipboardData.files);
    if (!files.length) return;
    event.preventDefault();
    event.stopPropagation();
    take(files);
  };
  const onDrag = (event) => event.preventDefault();
  const onDrop = (event) => {
    event.preventDefault();
    event.stopPropagation();
    take(event.dataTransfer.files);
  };
  // The explorer's own element is there only after this one has been attached to it.
  let root = area;
  const attach = setTimeout(() => {
    root = el.closest(".fsk-explorer") ?? el;
    root.addEventListener("paste", onPaste);
    root.addEventListener("dragover", onDrag);
    root.addEventListener("drop", onDrop);
  }, 300);

  navigator.mediaDevices?.enumerateDevices?.().then((devices) => {
    camera.hidden = !devices.some((device) => device.kind === "videoinput");
  });

  async function openCamera() {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } } });
    } catch {
      say("The browser does not allow to use the camera.");
      return;
    }
    const video = document.createElement("video");
    video.autoplay = video.muted = video.playsInline = true;
    video.srcObject = stream;
    video.setAttribute("aria-label", "Live picture of the camera");
    const shoot = button("Take the picture", () => {
      const canvas = document.createElement("canvas");
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      canvas.getContext("2d").drawImage(video, 0, 0);
      canvas.toBlob((blob) => take([new File([blob], "camera.jpg")]), "image/jpeg", 0.95);
      closeCamera();
    });
    const controls = document.createElement("div");
    controls.className = "fsk-row";
    controls.append(shoot, button("Close the camera", closeCamera));
    film.replaceChildren(video, controls);
    film.hidden = false;
    shoot.focus();
  }

  function closeCamera() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    film.hidden = true;
    film.replaceChildren();
    camera.focus();
  }

  const showProgress = () => say(model.get("progress"));
  model.on("change:progress", showProgress);
  return () => {
    clearTimeout(attach);
    stream?.getTracks().forEach((track) => track.stop());
    model.off("change:progress", showProgress);
    root.removeEventListener("paste", onPaste);
    root.removeEventListener("dragover", onDrag);
    root.removeEventListener("drop", onDrop);
  };
}

function button(text, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "fsk-button";
  made.textContent = text;
  made.onclick = action;
  return made;
}

export default { render };
