// A native slider for a percentage.
function render({ model, el }) {
  el.dataset.lmSuppressShortcuts = "true";
  const label = document.createElement("label");
  const name = document.createElement("span");
  const slider = document.createElement("input");
  const output = document.createElement("output");
  label.className = "fsk-slider";
  Object.assign(slider, { type: "range", min: 0, max: 100, step: 5 });
  label.append(name, slider, output);
  el.append(label);

  function show() {
    name.textContent = model.get("label");
    slider.setAttribute("aria-label", model.get("label"));
    slider.value = Math.round(100 * model.get("value"));
    slider.disabled = model.get("disabled");
    showValue();
  }

  function showValue() {
    output.textContent = `${slider.value} %`;
    slider.setAttribute("aria-valuetext", output.textContent);
  }

  function send() {
    model.set("value", Number(slider.value) / 100);
    model.save_changes();
  }

  slider.oninput = () => {
    showValue();
    if (model.get("continuous")) send();
  };
  slider.onchange = send;
  const events = "change:value change:disabled change:label";
  model.on(events, show);
  show();
  return () => model.off(events, show);
}

export default { render };
