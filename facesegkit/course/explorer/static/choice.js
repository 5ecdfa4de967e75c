// A row of native radio buttons.
let count = 0;

function render({ model, el }) {
  el.dataset.lmSuppressShortcuts = "true";
  const group = `fsk-choice-${Date.now()}-${count++}`;
  const fieldset = document.createElement("fieldset");
  fieldset.className = "fsk-choice";
  el.append(fieldset);

  function show() {
    const legend = document.createElement("legend");
    legend.textContent = model.get("label");
    const tooltips = model.get("tooltips");
    const labels = model.get("options").map((name, index) => {
      const label = document.createElement("label");
      const radio = document.createElement("input");
      radio.type = "radio";
      radio.name = group;
      radio.value = name;
      radio.onchange = () => {
        model.set("value", name);
        model.save_changes();
      };
      label.title = tooltips[index] ?? "";
      label.append(radio, name);
      return label;
    });
    fieldset.replaceChildren(legend, ...labels);
    mark();
  }

  function mark() {
    for (const radio of fieldset.querySelectorAll("input")) {
      radio.checked = radio.value === model.get("value");
    }
  }

  model.on("change:options change:label", show);
  model.on("change:value", mark);
  show();
  return () => {
    model.off("change:options change:label", show);
    model.off("change:value", mark);
  };
}

export default { render };
