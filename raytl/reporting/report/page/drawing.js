// Drawing: elements, scales, axes, tips. Everything from outside goes in as text or attribute,
// never as markup.
const SVG = document.getElementById("svg-space").namespaceURI;
const DATA = JSON.parse(document.getElementById("data").textContent);

function make(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) if (value != null) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
function html(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value != null) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
const finite = value => typeof value === "number" && Number.isFinite(value);
const extent = values => { const some = values.filter(finite); return some.length ? some.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [some[0], some[0]]) : [0, 1]; };
const cut = (text, most) => text.length > most ? text.slice(0, Math.max(1, most - 1)) + "…" : text;

function short(value) {
  if (!finite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(1).replace("e+", "e");
  return String(+value.toPrecision(4));
}

// A scale: .at(value) → pixels, .ticks: values that are named.
function linear([low, high], [from, to], { pad = 0.05, count = 5 } = {}) {
  if (low === high) { const by = Math.abs(low) || 1; low -= by / 2; high += by / 2; }
  const margin = (high - low) * pad;
  low -= margin; high += margin;
  const raw = (high - low) / count, ten = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(k => k * ten).find(k => k >= raw) || 10 * ten;
  const ticks = [];
  for (let k = Math.ceil(low / step); k * step <= high && ticks.length < 40; k++) ticks.push(+(k * step).toPrecision(12));
  return { at: v => from + (v - low) / (high - low) * (to - from), back: x => low + (x - from) / (to - from) * (high - low), ticks, low, high };
}
function log(range, pixels, options = {}) {
  const [low, high] = range.map(v => Math.log10(v));
  const inner = linear([low, high], pixels, options);
  let ticks = [];
  const wide = inner.high - inner.low;
  const steps = wide > 3 ? [1] : wide > 1.2 ? [1, 3] : wide > 0.5 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
  for (let k = Math.floor(inner.low); k <= inner.high + 1; k++) for (const s of steps) ticks.push(+(s * 10 ** k).toPrecision(6));
  ticks = ticks.filter(v => Math.log10(v) >= inner.low && Math.log10(v) <= inner.high);
  return { at: v => inner.at(Math.log10(v)), back: x => 10 ** inner.back(x), ticks };
}

const wordWidth = text => 6.6 * text.length;
function leftFor(labels, width) {
  return Math.min(Math.max(...labels.map(wordWidth), 20) + 14, width * 0.42);
}
function surface(width, height, label) {
  return make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
}
function word(x, y, text, attributes = {}) { return make("text", { x, y, ...attributes }, text); }
function axisBelow(svg, scale, { left, right, bottom, top, label }) {
  let last = -1e9;
  for (const tick of scale.ticks) {
    const x = scale.at(tick), text = short(tick);
    svg.append(make("line", { x1: x, x2: x, y1: top, y2: bottom, class: "axis" }));
    if (x - last < wordWidth(text) + 8) continue;
    last = x;
    svg.append(word(x, bottom + 15, text, { "text-anchor": "middle", class: "soft" }));
  }
  if (label) svg.append(word((left + right) / 2, bottom + 32, cut(label, Math.floor((right - left) / 6.2)), { "text-anchor": "middle", class: "soft" }));
}
function axisLeft(svg, scale, { left, right, label, top }) {
  for (const tick of scale.ticks) {
    const y = scale.at(tick);
    svg.append(make("line", { x1: left, x2: right, y1: y, y2: y, class: "axis" }));
    svg.append(word(left - 6, y + 4, short(tick), { "text-anchor": "end", class: "soft" }));
  }
  if (label) svg.append(word(4, top - 8, label, { class: "soft" }));
}
function rowNames(svg, names, left, at) {
  names.forEach((name, i) => {
    const text = word(left - 8, at(i) + 4, cut(name, Math.floor((left - 12) / 6.4)), { "text-anchor": "end" });
    text.setAttribute("data-tip", name);
    svg.append(text);
  });
}
function key(entries) {
  return html("ul", { class: "key" }, ...entries.map(([name, colour]) => html("li", {}, html("i", { style: `background:${colour}` }), name)));
}

// Colours by name: searched trials are blue; each control has one of the others.
const OTHERS = ["orange", "green", "pink", "red", "sky", "brown", "grey"].map(name => `var(--${name})`);
function colourOf(control) {
  if (!control) return "var(--blue)";
  const place = DATA.controls.indexOf(control);
  return OTHERS[(place < 0 ? 0 : place) % OTHERS.length];
}
const shade = share => `color-mix(in oklab, var(--high) ${Math.round(100 * Math.min(1, Math.max(0, share)))}%, var(--low))`;

// One tip for all that has data-tip, by pointer or finger.
const tip = html("div", { class: "tip", hidden: "" });
document.body.append(tip);
function showTip(event) {
  const of = event.target.closest ? event.target.closest("[data-tip]") : null;
  tip.hidden = !of;
  if (!of) return;
  tip.textContent = of.getAttribute("data-tip");
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 4))}px`;
  tip.style.top = `${event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 12 : event.clientY + 18}px`;
}
document.addEventListener("pointermove", showTip);
document.addEventListener("pointerdown", showTip);
document.addEventListener("scroll", () => { tip.hidden = true; }, true);
