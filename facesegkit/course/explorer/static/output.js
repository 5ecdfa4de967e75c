// Python code to copy, and downloads.
function render({ model, el }) {
  el.classList.add("fsk-output");
  el.dataset.lmSuppressShortcuts = "true";
  const code = document.createElement("pre");
  code.tabIndex = 0;
  code.setAttribute("aria-label", "Python code that gives the same result");
  const copy = document.createElement("button");
  copy.type = "button";
  copy.className = "fsk-button";
  copy.textContent = "Copy the code";
  const said = document.createElement("span");
  said.className = "fsk-note";
  said.setAttribute("role", "status");
  const row = document.createElement("div");
  row.className = "fsk-row";
  row.append(copy, said);
  el.append(code, row);

  copy.onclick = async () => {
    try {
      await navigator.clipboard.writeText(model.get("code"));
      said.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(code);
      said.textContent = "Selected: press Ctrl+C.";
    }
  };

  function show() {
    code.textContent = model.get("code");
    said.textContent = "";
  }

  function download({ name, type }, buffers) {
    const address = URL.createObjectURL(new Blob([buffers[0]], { type }));
    const link = document.createElement("a");
    link.href = address;
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }

  model.on("change:code", show);
  model.on("msg:custom", download);
  show();
  return () => {
    model.off("change:code", show);
    model.off("msg:custom", download);
  };
}

export default { render };
