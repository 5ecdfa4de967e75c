// Thumbnails of the photos, one of which is chosen.
function render({ model, el }) {
  el.classList.add("fsk-gallery");
  el.dataset.lmSuppressShortcuts = "true";
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", "Photos");

  function show() {
    const thumbnails = model.get("thumbnails");
    el.replaceChildren(
      ...model.get("options").map((name) => {
        const button = document.createElement("button");
        const image = document.createElement("img");
        button.type = "button";
        button.className = "fsk-thumbnail";
        button.title = name;
        button.dataset.name = name;
        image.src = thumbnails[name] ?? "";
        image.alt = name;
        button.append(image);
        button.onclick = () => {
          model.set("value", name);
          model.save_changes();
        };
        return button;
      }),
    );
    mark();
  }

  function mark() {
    for (const button of el.children) {
      button.setAttribute("aria-pressed", button.dataset.name === model.get("value"));
    }
  }

  model.on("change:options change:thumbnails", show);
  model.on("change:value", mark);
  show();
  return () => {
    model.off("change:options change:thumbnails", show);
    model.off("change:value", mark);
  };
}

export default { render };
