// The explorer's screen: native controls, one Vega view a drawing, and nothing computed.
//
// Python sends two things: `specs`, the drawings, which change only with the tiers of a machine,
// and `screen`, everything else. A control sends {name, value}; while an answer is under way only
// the latest value of each control waits, so a quick hand never queues runs.
// vl_convert bundles this file with Vega: `vegaEmbed` is a name of the bundle's.

let screens = 0;

const PATIENCE_MS = 400; // quicker answers come without a word

// JupyterLab would take these elements' keys for its own: arrows that fold cells, Enter that edits one.
const OWN_KEYS = new Set(["input", "select", "button", "summary", "pre", "div"]);

function make(tag, properties, ...children) {
  const { data, aria, ...rest } = properties ?? {};
  const node = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(aria ?? {})) node.setAttribute(`aria-${name}`, value);
  Object.assign(node.dataset, data ?? {}, OWN_KEYS.has(tag) ? { lmSuppressShortcuts: "true" } : {});
  node.append(...children.filter((child) => child != null));
  return node;
}

function isDark(node) {
  for (let at = node; at; at = at.parentElement) {
    const [r, g, b, a] = (getComputedStyle(at).backgroundColor.match(/[\d.]+/g) ?? []).map(Number);
    if (r != null && a !== 0) return 0.2126 * r + 0.7152 * g + 0.0722 * b < 128;
  }
  return false;
}

// How much of what scrolls is seen: the page, or the notebook's part of it.
function roomOf(node) {
  for (let at = node.parentElement; at; at = at.parentElement) {
    const scrolls = /auto|scroll/.test(getComputedStyle(at).overflowY) && at.scrollHeight > at.clientHeight;
    if (scrolls) return Math.min(at.clientHeight, innerHeight);
  }
  return innerHeight;
}

function rowsOf(columns) {
  const names = Object.keys(columns);
  const length = names.length ? columns[names[0]].length : 0;
  return Array.from({ length }, (_, i) => Object.fromEntries(names.map((name) => [name, columns[name][i]])));
}

// Controls ------------------------------------------------------------------------------------

function numberControl(control, id, ask) {
  const error = make("p", { className: "vl-error", id: `${id}-error`, role: "alert" });
  const range = make("input", { type: "range", id });
  const box = make("input", { type: "number", step: "any", className: "vl-box", aria: { label: `${control.label}, typed` } });
  const label = make("label", { htmlFor: id, textContent: control.label });
  const size = make("p", { className: "vl-size" });
  for (const input of [range, box]) input.setAttribute("aria-describedby", error.id);
  range.addEventListener("input", () => {
    box.value = range.value;
    ask(control.name, Number(range.value), true);
  });
  range.addEventListener("change", () => ask(null));
  box.addEventListener("change", () => ask(control.name, box.value === "" ? null : Number(box.value)));
  const node = make("div", { className: "vl-control" }, make("div", { className: "vl-head" }, label, box), size, range, error);
  const show = (now, isStill) => {
    Object.assign(range, { min: now.min, max: now.max, step: now.step, disabled: !!now.why });
    Object.assign(box, { min: now.least, disabled: !!now.why });
    if (isStill || now.error) {
      range.value = now.value ?? now.min;
      box.value = now.value ?? "";
    }
    size.textContent = now.size;
    range.setAttribute("aria-valuetext", now.value == null ? now.why : `${range.value} ${control.unit} ${now.size}`.trim());
    node.title = now.why;
    refuse(error, [range, box], now.error);
  };
  return { node, show };
}

function choiceControl(control, id, ask) {
  const error = make("p", { className: "vl-error", id: `${id}-error`, role: "alert" });
  const select = make("select", { id, aria: { describedby: error.id } });
  const label = make("label", { htmlFor: id, textContent: control.label });
  select.addEventListener("change", () => ask(control.name, select.value));
  const node = make("div", { className: "vl-control" }, label, select, error);
  let shown = "";
  const show = (now) => {
    const key = JSON.stringify(now.options);
    if (key !== shown) {
      shown = key;
      select.replaceChildren(...now.options.map(([value, text]) => make("option", { value, textContent: text })));
    }
    select.value = now.value ?? "";
    select.disabled = !!now.why;
    node.title = now.why;
    refuse(error, [select], now.error);
  };
  return { node, show };
}

function switchControl(control, id, ask) {
  const error = make("p", { className: "vl-error", id: `${id}-error`, role: "alert" });
  const box = make("input", { type: "checkbox", id, aria: { describedby: error.id } });
  const label = make("label", { htmlFor: id, textContent: control.label });
  box.addEventListener("change", () => ask(control.name, box.checked));
  const node = make("div", { className: "vl-control vl-switch" }, box, label, error);
  const show = (now) => {
    box.checked = now.value;
    box.disabled = !!now.why;
    node.title = now.why;
    refuse(error, [box], now.error);
  };
  return { node, show };
}

function refuse(error, inputs, reason) {
  if (error.textContent !== reason) error.textContent = reason;
  for (const input of inputs) input.setAttribute("aria-invalid", reason ? "true" : "false");
}

const KINDS = { number: numberControl, choice: choiceControl, switch: switchControl };

// A number and its unit stay on one line.
function held(text) {
  return text.replace(/(\d) (?=%|[KMGT]iB\b|B\b|[mµn]?s\b)/g, "$1\u00a0");
}

// Panels --------------------------------------------------------------------------------------

class Drawing {
  constructor(look) {
    this.look = look;
    this.canvas = make("div", { aria: { hidden: true } }); // the element around it has the words
    this.place = make("div", { className: "vl-drawing", role: "img" }, this.canvas);
    this.label = make("div", { className: "vl-label" });
    this.node = make("div", { className: "vl-view" }, this.label, this.place);
  }

  async show(view, spec, alt) {
    this.label.textContent = view.label;
    this.label.hidden = !view.label;
    this.place.setAttribute("aria-label", view.label ? `${view.label}. ${alt}` : alt);
    const key = JSON.stringify([view.spec, this.look.dark]);
    if (key !== this.key) {
      this.key = key;
      this.embedded?.finalize();
      const shown = structuredClone(spec);
      for (const parameter of shown.params) parameter.value = view.signals[parameter.name];
      shown.datasets = { ...shown.datasets, table: rowsOf(view.data) };
      const config = this.look.configs[this.look.dark ? "dark" : "light"];
      this.embedded = await vegaEmbed(this.canvas, shown, { actions: false, renderer: "svg", config, ast: false });
      return;
    }
    const drawn = this.embedded?.view;
    if (!drawn) return;
    for (const [name, value] of Object.entries(view.signals)) drawn.signal(name, value);
    await drawn.data("table", rowsOf(view.data)).runAsync();
  }
}

class Panel {
  constructor(name, look) {
    this.look = look;
    this.title = make("h3", { id: `${look.id}-${name}` });
    this.note = make("p", { className: "vl-note" });
    this.views = make("div", { className: "vl-views" });
    this.node = make("section", { className: "vl-panel", data: { panel: name }, aria: { labelledby: this.title.id } });
    this.legend = make("ul", { className: "vl-legend" });
    this.node.append(this.title, this.note, this.legend, this.views);
    this.drawings = [];
  }

  async show(panel, specs) {
    this.title.textContent = held(panel.title);
    this.note.textContent = held(panel.note);
    const key = JSON.stringify(panel.legend);
    if (key !== this.shown) {
      this.shown = key;
      const entry = ({ name, colour, line }) => {
        const swatch = make("span", { className: `vl-swatch vl-${line}` });
        swatch.style.color = colour;
        return make("li", {}, swatch, name);
      };
      this.legend.replaceChildren(...panel.legend.map(entry));
    }
    while (this.drawings.length < panel.views.length) {
      const drawing = new Drawing(this.look);
      this.drawings.push(drawing);
      this.views.append(drawing.node);
    }
    for (const drawing of this.drawings.splice(panel.views.length)) {
      drawing.embedded?.finalize();
      drawing.node.remove();
    }
    const draw = (view, i) => this.drawings[i].show(view, specs[view.spec], panel.description);
    await Promise.all(panel.views.map(draw));
  }
}

// Screen --------------------------------------------------------------------------------------

function render({ model, el }) {
  const look = { id: `vswaplab-${++screens}`, configs: model.get("configs"), dark: false };
  const root = make("div", { className: "vl-explorer" });
  el.append(root);

  // What is asked: one message under way, then the latest of each control.
  let serial = 0, underWay = null, began = null, dragged = null, busy = null;
  const waiting = new Map();
  const send = () => {
    if (underWay != null || !waiting.size) return;
    const [name, message] = waiting.entries().next().value;
    waiting.delete(name);
    underWay = ++serial;
    root.dataset.state = "asked";
    busy = setTimeout(() => sayBusy(true), PATIENCE_MS);
    model.send({ ...message, name, serial });
  };
  const sayBusy = (isBusy) => {
    clearTimeout(busy);
    board.setAttribute("aria-busy", isBusy);
    root.classList.toggle("vl-busy", isBusy);
    if (isBusy) sentence.textContent = "Computing\u2026";
  };
  const ask = (name, value = null, isDragged = false) => {
    if (name == null) {
      dragged = null;
      return;
    }
    began ??= performance.now();
    const more = dragged === name;
    dragged = isDragged ? name : null;
    waiting.set(name, { value, more: more && (waiting.get(name)?.more ?? true) }); // a first step that was not sent stays first
    send();
  };

  const button = (name, text, act) => make("button", { type: "button", textContent: text, data: { do: name }, onclick: act ?? (() => ask(name)) });
  const undo = button("undo", "Undo");
  const copy = button("copy", "Copy as code", async () => {
    let text = "Copied";
    try {
      await navigator.clipboard.writeText(model.get("screen").code);
    } catch {
      getSelection().selectAllChildren(code);
      text = "Selected: press Ctrl+C";
    }
    told.textContent = text;
    setTimeout(() => (told.textContent = ""), 4000);
  });
  const told = make("span", { className: "vl-told", role: "status" });
  const sentence = make("p", { className: "vl-sentence", role: "status" });
  const badge = make("span", { className: "vl-badge" });
  const code = make("pre", { tabIndex: 0, role: "region", aria: { label: "The machine as code" } });
  const table = make("table", {});
  const bar = make("div", { className: "vl-bar" }, undo, button("reset", "Reset"), copy, told);
  const form = make("form", { className: "vl-controls", aria: { label: "Settings" }, onsubmit: (event) => event.preventDefault() });
  const board = make("div", { className: "vl-panels" });
  const numbers = make("div", { className: "vl-table", tabIndex: 0, role: "region", aria: { label: "The numbers" } }, table);
  const more = make("div", { className: "vl-more" },
    make("details", {}, make("summary", { textContent: "The numbers" }), numbers),
    make("details", { open: true }, make("summary", { textContent: "This screen as code" }), code));
  root.append(make("div", { className: "vl-side" }, bar, form), make("div", { className: "vl-main" }, make("div", { className: "vl-says" }, badge, sentence), board, more));

  const controls = new Map();
  const groups = new Map();
  const groupOf = (name) => {
    if (!groups.has(name)) {
      groups.set(name, make("fieldset", {}, make("legend", { textContent: name })));
      form.append(groups.get(name));
    }
    return groups.get(name);
  };
  const showControls = (screen) => {
    const isStill = !waiting.size && dragged == null;
    for (const now of screen.controls) {
      if (!controls.has(now.name)) {
        const control = KINDS[now.kind](now, `${look.id}-${now.name}`, ask);
        control.node.dataset.control = now.name;
        controls.set(now.name, control);
        groupOf(now.group).append(control.node);
      }
      const control = controls.get(now.name);
      control.node.hidden = now.hidden;
      control.show(now, isStill || (now.name !== dragged && !waiting.has(now.name)));
    }
    for (const group of groups.values()) {
      group.hidden = [...group.querySelectorAll(".vl-control")].every((node) => node.hidden);
    }
  };

  const panels = new Map();
  let views = 0;
  const showPanels = async (screen) => {
    const specs = model.get("specs");
    const shown = screen.panels.map((panel) => {
      if (!panels.has(panel.name)) {
        panels.set(panel.name, new Panel(panel.name, look));
        board.append(panels.get(panel.name).node);
      }
      return panels.get(panel.name).show(panel, specs);
    });
    await Promise.all(shown);
    const now = screen.panels.reduce((sum, panel) => sum + panel.views.length, 0);
    if (now !== views) window.dispatchEvent(new Event("resize")); // drawings share the room anew
    views = now;
  };

  const showTable = (rows) => {
    const cell = (text, i, tag) => make(tag, { textContent: text, ...(i ? {} : { scope: "row" }) });
    const [head, ...body] = rows;
    const line = (row, isHead) => make("tr", {}, ...row.map((text, i) => (isHead ? make("th", { textContent: text, scope: "col" }) : cell(text, i, i ? "td" : "th"))));
    table.replaceChildren(make("thead", {}, line(head, true)), make("tbody", {}, ...body.map((row) => line(row, false))));
  };

  let drawing = Promise.resolve();
  const show = () => {
    const screen = model.get("screen");
    if (!screen.panels) return;
    const isAnswer = underWay != null && screen.serial >= underWay;
    if (isAnswer) sayBusy(false);
    const said = held(screen.sentence);
    if (!root.classList.contains("vl-busy") && sentence.textContent !== said) sentence.textContent = said;
    badge.textContent = screen.badge;
    badge.hidden = !screen.badge;
    root.classList.toggle("vl-preview", screen.is_preview);
    root.classList.toggle("vl-pair", screen.panels.some((panel) => panel.views.length > 1));
    code.textContent = screen.code;
    undo.disabled = !screen.can_undo;
    showControls(screen);
    showTable(screen.table);
    drawing = drawing.then(() => showPanels(screen)).then(() => {
      if (began != null && screen.serial === serial) {
        performance.measure("vswaplab-move", { start: began, end: performance.now(), detail: screen.took_ms });
        began = null;
      }
      root.dataset.shown = screen.version;
      root.dataset.state = underWay != null ? "asked" : screen.is_preview ? "preview" : "shown";
    });
    if (isAnswer) {
      underWay = null;
      send();
    }
  };

  const dress = () => {
    const dark = isDark(el.parentElement ?? document.body);
    if (dark === look.dark && root.dataset.theme) return;
    look.dark = dark;
    root.dataset.theme = dark ? "dark" : "light";
    show();
  };

  const themes = new MutationObserver(() => requestAnimationFrame(dress));
  themes.observe(document.body, { attributes: true });
  themes.observe(document.documentElement, { attributes: true });
  const fit = () => root.style.setProperty("--room", `${roomOf(root)}px`);
  window.addEventListener("resize", fit);
  const rooms = new ResizeObserver(fit); // a notebook's part of the window, too, may become lower
  let width = 0;
  const sizes = new ResizeObserver(() => {
    if (!width) for (let at = el.parentElement; at; at = at.parentElement) rooms.observe(at);
    if (Math.abs(board.clientWidth - width) < 2) return;
    width = board.clientWidth;
    root.classList.toggle("vl-narrow", el.clientWidth < 760);
    fit();
    dress();
    window.dispatchEvent(new Event("resize")); // what a Vega view with the width of its container listens to
  });
  sizes.observe(el);
  model.on("change:screen", show);
  dress();
  return () => {
    clearTimeout(busy);
    themes.disconnect();
    sizes.disconnect();
    rooms.disconnect();
    window.removeEventListener("resize", fit);
    model.off("change:screen", show);
    for (const panel of panels.values()) for (const drawn of panel.drawings) drawn.embedded?.finalize();
  };
}

export default { render };
