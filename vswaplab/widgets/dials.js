// A labelled range input a dial, and the figure below, which Python draws.
function render({ model, el }) {
  el.classList.add("vl-dials");
  const form = document.createElement("div");
  form.style.cssText = "display:grid;grid-template-columns:max-content minmax(8em,24em) 5em;gap:6px 12px;font-size:14px";
  const outputs = {};
  for (const dial of model.get("dials")) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    const output = document.createElement("output");
    label.textContent = dial.label;
    label.htmlFor = input.id = `dial-${dial.name}-${Math.random().toString(36).slice(2)}`;
    Object.assign(input, { type: "range", min: dial.low, max: dial.high, step: dial.step });
    input.dataset.lmSuppressShortcuts = "true"; // arrow keys are the slider's, not JupyterLab's
    output.htmlFor = input.id;
    input.addEventListener("input", () => {
      model.set("values", { ...model.get("values"), [dial.name]: Number(input.value) });
      model.save_changes();
    });
    outputs[dial.name] = [input, output];
    form.append(label, input, output);
  }
  const figure = document.createElement("div");
  const show = () => {
    for (const [name, value] of Object.entries(model.get("values"))) {
      const [input, output] = outputs[name];
      if (Number(input.value) !== value) input.value = value;
      output.textContent = String(value);
    }
  };
  const draw = () => {
    figure.innerHTML = model.get("svg");
  };
  model.on("change:values", show);
  model.on("change:svg", draw);
  show();
  draw();
  el.append(form, figure);
}

export default { render };
