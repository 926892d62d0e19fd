"use strict";
const lesson = JSON.parse(document.getElementById("lesson").textContent);
const number = (value, digits = 0) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const time = (ns) => ns === null ? "–" : ns < 1000 ? `${number(ns)} ns` : `${number(ns / 1000, 1)} µs`;
const total = (rows, key) => rows.filter((row) => row.tier !== "DRAM").reduce((sum, row) => sum + row[key], 0);
const pages = (n) => n === 1 ? "1 page" : `${number(n)} pages`;

function sizesSaid(rows, first) {
  const wait = total(rows, "stall_ms"), before = total(first, "stall_ms");
  const reads = (found) => (found.find((row) => row.tier === "swapfile") ?? { touches: 0 }).touches;
  const change = wait === before ? "as at the start" : `${number(wait / before, 2)} times what it was at the start`;
  return `Outside DRAM the program waits ${number(wait)} ms, ${change}; ${number(reads(rows))} reads from the swapfile ` +
    `(${number(reads(first))} at the start).`;
}

function risksSaid([row], [first]) {
  const lost = row.lost_runs === 0
    ? `No page was lost in ${lesson.runs} runs`
    : `${row.lost_runs} of ${lesson.runs} runs lost data, ${pages(row.lost_pages)} in all`;
  return `${lost}; a run waits ${number(row.stall_ms, 1)} ms (${number(first.stall_ms, 1)} ms at the start), and ` +
    `${number(row.moved)} pages were moved to DRAM because they were written to.`;
}

function tellTable(rows) {
  const body = document.querySelector("#tiers tbody");
  body.replaceChildren(...rows.map((row) => {
    const line = document.createElement("tr"), name = document.createElement("th"), swatch = document.createElement("span");
    name.scope = "row";
    swatch.className = "swatch";
    swatch.style.background = lesson.colours[row.tier];
    name.append(swatch, row.tier);
    const cells = [number(row.mib, 1), number(row.touches), time(row.wait_ns), number(row.stall_ms, 1)];
    line.append(name, ...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    return line;
  }));
}

async function start(part, said, told) {
  const form = document.getElementById(part.name);
  const spec = JSON.parse(document.getElementById(`${part.name}-spec`).textContent);
  const rows = Object.values(spec.datasets).find((table) => part.dials[0].name in table[0]);
  const inputs = part.dials.map((dial) => document.getElementById(dial.name));
  const at = () => part.dials.map((dial, i) => dial.values[inputs[i].value]);
  const chosen = (values) => rows.filter((row) => part.dials.every((dial, i) => row[dial.name] === values[i]));
  const first = chosen(part.dials.map((dial) => dial.start));
  const options = { renderer: "svg", actions: false, ast: true, defaultStyle: false };
  const { view } = await vegaEmbed(`#${part.name}-chart`, spec, options);

  function show() {
    const values = at(), found = chosen(values);
    part.dials.forEach((dial, i) => {
      const words = dial.words[inputs[i].value];
      inputs[i].setAttribute("aria-valuetext", words);
      document.getElementById(`${dial.name}-said`).textContent = words;
      view.signal(dial.name, values[i]);
    });
    view.runAsync();
    document.getElementById(`${part.name}-said`).textContent = said(found, first);
    told?.(found);
  }

  form.addEventListener("input", show);
  form.addEventListener("reset", () => setTimeout(show));
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
}

// On paper no answer can be unfolded.
let unfolded = [];
window.addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll("li details:not([open])")];
  unfolded.forEach((answer) => { answer.open = true; });
});
window.addEventListener("afterprint", () => unfolded.forEach((answer) => { answer.open = false; }));

start(lesson.sizes, sizesSaid, tellTable);
start(lesson.risks, risksSaid);
