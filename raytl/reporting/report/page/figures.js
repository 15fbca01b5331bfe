// The report's figures: each takes its part of the data and a width, and returns nodes.
const FIGURES = {};

FIGURES.intervals = ({ rows, margin, label, words }, width) => {
  const left = leftFor(rows.map(r => r.name), width), right = width - 14, top = 10, bottom = top + 30 * rows.length;
  const svg = surface(width, bottom + 40, label);
  const reach = rows.flatMap(r => [r.low, r.high]).concat([0], margin ? [-margin, margin] : []);
  const x = linear(extent(reach), [left, right]);
  if (margin) svg.append(make("rect", { x: x.at(-margin), width: x.at(margin) - x.at(-margin), y: top, height: bottom - top, fill: "var(--line)", opacity: 0.7, "data-tip": `within ± ${short(margin)}: counts as no difference` }));
  axisBelow(svg, x, { left, right, top, bottom, label });
  svg.append(make("line", { x1: x.at(0), x2: x.at(0), y1: top, y2: bottom, stroke: "var(--ink)" }));
  const colours = { helps: "var(--green)", hurts: "var(--red)", equivalent: "var(--blue)", undecided: "var(--grey)" };
  const at = i => top + 30 * i + 15;
  rowNames(svg, rows.map(r => r.name), left, at);
  rows.forEach((r, i) => {
    const colour = colours[r.kind];
    svg.append(make("g", { "data-tip": r.tip },
      make("rect", { x: left, y: at(i) - 14, width: right - left, height: 28, fill: "transparent" }),
      make("line", { x1: x.at(r.low), x2: x.at(r.high), y1: at(i), y2: at(i), stroke: colour, "stroke-width": 3, "stroke-linecap": "round" }),
      make("circle", { cx: x.at(r.middle), cy: at(i), r: 5, fill: colour, class: "mark" })));
  });
  const seen = [...new Set(rows.map(r => r.kind))];
  return [svg, key(seen.map(k => [words[k], colours[k]]))];
};

FIGURES.means = ({ rows, label }, width) => {
  const left = leftFor(rows.map(r => r.name), width), right = width - 14, top = 6, bottom = top + 28 * rows.length;
  const svg = surface(width, bottom + 40, label);
  const x = linear(extent(rows.flatMap(r => [...r.seeds, r.mean - r.error, r.mean + r.error])), [left, right]);
  axisBelow(svg, x, { left, right, top, bottom, label });
  const at = i => top + 28 * i + 14;
  rowNames(svg, rows.map(r => r.name), left, at);
  rows.forEach((r, i) => {
    const colour = colourOf(r.control);
    for (const seed of r.seeds) svg.append(make("circle", { cx: x.at(seed), cy: at(i), r: 4, fill: colour, opacity: 0.35 }));
    svg.append(make("line", { x1: x.at(r.mean - r.error), x2: x.at(r.mean + r.error), y1: at(i), y2: at(i), stroke: colour, "stroke-width": 2 }));
    svg.append(make("path", { d: `M${x.at(r.mean) - 6},${at(i)}l6,-6l6,6l-6,6z`, style: `fill:${colour}`, class: "mark" }));
    svg.append(make("rect", { x: left, y: at(i) - 13, width: right - left, height: 26, fill: "transparent", "data-tip": r.tip }));
  });
  return [svg];
};

FIGURES.heat = ({ models, depths, cells, low, high, label, mode }, width) => {
  const left = leftFor(models, width), size = Math.max(34, Math.min(110, (width - left - 10) / depths.length)), tall = 40;
  const right = left + size * depths.length, bottom = 24 + tall * models.length;
  const svg = surface(Math.max(width, right + 6), bottom + 20, label);
  svg.append(word(left, 12, "frozen blocks →", { class: "soft" }));
  depths.forEach((d, j) => svg.append(word(left + size * (j + 0.5), bottom + 14, d, { "text-anchor": "middle", class: "soft" })));
  rowNames(svg, models, left, i => 24 + tall * (i + 0.5));
  for (const c of cells) {
    const share = high === low ? 1 : (c.best - low) / (high - low), good = mode === "max" ? share : 1 - share;
    svg.append(make("rect", { x: left + size * c.depth + 1, y: 24 + tall * c.model + 1, width: size - 2, height: tall - 2, rx: 3, style: `fill:${shade(good)}`, class: "mark", "data-tip": c.tip }));
    if (size >= 46) svg.append(word(left + size * (c.depth + 0.5), 24 + tall * (c.model + 0.5) + 4, short(+c.best.toPrecision(3)), { "text-anchor": "middle", "pointer-events": "none", style: `fill:${good > 0.55 ? "var(--ground)" : "var(--ink)"}` }));
  }
  return [svg];
};

FIGURES.scatter = ({ points, xlabel, ylabel, front, names, mode }, width) => {
  const left = 58, right = width - 12, top = 26, bottom = 290, svg = surface(width, bottom + 40, `${ylabel} against ${xlabel}`);
  const least = Math.min(...points.map(p => p.x).filter(v => v > 0), 1e9);
  const across = v => v > 0 ? v : least;
  const x = log(extent(points.map(p => across(p.x))), [left, right]), y = linear(extent(points.map(p => p.y)), [bottom, top]);
  axisBelow(svg, x, { left, right, top, bottom, label: xlabel });
  axisLeft(svg, y, { left, right, top, label: ylabel });
  // Of the front (which counts trained numbers, too) those that more seconds made better.
  const better = (a, b) => mode === "max" ? a > b : a < b, line = [];
  for (const p of front.map(i => points[i]).sort((a, b) => a.x - b.x)) if (!line.length || better(p.y, line[line.length - 1].y)) line.push(p);
  if (line.length > 1) svg.append(make("path", { d: "M" + line.map(p => `${x.at(across(p.x))},${y.at(p.y)}`).join("L"), fill: "none", stroke: "var(--blue)", "stroke-dasharray": "3 4" }));
  const best = new Set(front);
  points.forEach((p, i) => svg.append(make("circle", { cx: x.at(across(p.x)), cy: y.at(p.y), r: best.has(i) ? 6 : 4.5, style: `fill:${colourOf(p.control)}`, opacity: best.has(i) ? 1 : 0.55, class: "mark", "data-tip": p.tip })));
  return [svg, key(names.map(n => [n ? `${n} control` : "searched trials", colourOf(n)]))];
};

FIGURES.curves = ({ lines, rungs, label, xlabel }, width) => {
  const left = 58, right = width - 12, top = 26, bottom = 290, svg = surface(width, bottom + 40, label);
  const most = Math.max(...lines.map(l => l.values.length), 2);
  const x = linear([1, most], [left, right], { pad: 0.02, count: Math.min(most - 1, 8) }), y = linear(extent(lines.flatMap(l => l.values)), [bottom, top]);
  x.ticks = x.ticks.filter(Number.isInteger);
  axisBelow(svg, x, { left, right, top, bottom, label: xlabel });
  axisLeft(svg, y, { left, right, top, label });
  for (const rung of rungs) if (rung <= most) svg.append(make("line", { x1: x.at(rung), x2: x.at(rung), y1: top, y2: bottom, stroke: "var(--soft)", "stroke-dasharray": "2 4", "data-tip": `rung: after epoch ${rung} a trial that is behind those before it is stopped` }), word(x.at(rung) + 3, top + 10, "rung", { class: "soft" }));
  for (const l of [...lines].reverse()) {
    const steps = l.values.map((v, i) => [x.at(i + 1), y.at(v), finite(v)]).filter(s => s[2]);
    if (!steps.length) continue;
    const attributes = { stroke: l.strong || l.control ? colourOf(l.control) : "var(--grey)", "stroke-width": l.strong ? 2.2 : 1.3, opacity: l.strong || l.control ? 0.95 : 0.5, "stroke-dasharray": l.control ? "5 3" : null, class: "mark", "data-tip": l.tip };
    svg.append(make("path", { d: "M" + steps.map(s => `${s[0]},${s[1]}`).join("L"), ...attributes }));
    const end = steps[steps.length - 1];
    svg.append(make("circle", { cx: end[0], cy: end[1], r: l.strong ? 4 : 3, style: `fill:${attributes.stroke}`, opacity: attributes.opacity, "data-tip": l.tip }));
  }
  const controls = [...new Set(lines.map(l => l.control).filter(Boolean))];
  return [svg, key([["best searched trials", "var(--blue)"], ["other searched trials", "var(--grey)"], ...controls.map(c => [`${c} control`, colourOf(c)])])];
};

FIGURES.bars = ({ rows, label, high }, width) => {
  const left = leftFor(rows.map(r => r.name), width), right = width - 14, top = 4, step = 24, bottom = top + step * rows.length;
  const svg = surface(width, bottom + 40, label), x = linear([0, high || extent(rows.map(r => r.value))[1]], [left, right], { pad: 0 });
  axisBelow(svg, x, { left, right, top, bottom, label });
  const at = i => top + step * (i + 0.5);
  rowNames(svg, rows.map(r => r.name), left, at);
  rows.forEach((r, i) => finite(r.value) && svg.append(make("rect", { x: left, y: at(i) - 8, width: Math.max(1, x.at(r.value) - left), height: 16, rx: 2, style: `fill:${r.colour || "var(--blue)"}`, opacity: r.pale ? 0.4 : 1, class: "mark", "data-tip": r.tip })));
  return [svg];
};

FIGURES.map = ({ groups, label }, width) => {
  const side = Math.min(width, 360), svg = surface(side, side, label), every = groups.flatMap(g => g.points);
  const x = linear(extent(every.map(p => p[0])), [8, side - 8]), y = linear(extent(every.map(p => p[1])), [side - 8, 8]);
  svg.append(make("rect", { x: 0.5, y: 0.5, width: side - 1, height: side - 1, fill: "none", class: "axis" }));
  for (const g of groups) for (const p of g.points) svg.append(make("circle", { cx: x.at(p[0]), cy: y.at(p[1]), r: 3, style: `fill:${g.colour}`, opacity: 0.6, class: "mark", "data-tip": g.name }));
  return [svg, key(groups.map(g => [g.name, g.colour]))];
};

FIGURES.pairs = ({ rows, names, label }, width) => {
  const left = leftFor(rows.map(r => r.name), width), right = width - 14, top = 4, step = 24, bottom = top + step * rows.length;
  const svg = surface(width, bottom + 40, label), x = linear([0, 100], [left, right], { pad: 0.01 });
  axisBelow(svg, x, { left, right, top, bottom, label });
  const at = i => top + step * (i + 0.5), colours = ["var(--blue)", "var(--orange)"];
  rowNames(svg, rows.map(r => r.name), left, at);
  rows.forEach((r, i) => {
    const known = r.values.filter(finite);
    if (known.length === 2) svg.append(make("line", { x1: x.at(known[0]), x2: x.at(known[1]), y1: at(i), y2: at(i), stroke: "var(--grey)", "stroke-width": 2 }));
    [...r.values.entries()].reverse().forEach(([k, v]) => finite(v) && svg.append(make("circle", { cx: x.at(v), cy: at(i), r: 5, style: `fill:${colours[k]}`, class: "mark" })));
    svg.append(make("rect", { x: left, y: at(i) - 12, width: right - left, height: 24, fill: "transparent", "data-tip": r.tip }));
  });
  return [svg, key(names.map((n, k) => [n, colours[k]]))];
};

FIGURES.confusion = ({ classes, counts, label }, width) => {
  const named = classes.length <= 40, left = named ? leftFor(classes, width) : 20;
  const size = Math.max(4, Math.min(44, (width - left - 8) / classes.length)), top = 18, end = top + size * classes.length;
  const longest = named ? Math.min(110, Math.max(...classes.map(wordWidth)) * 0.75 + 10) : 6;
  const svg = surface(Math.max(left + size * classes.length + 8, Math.min(width, 320)), end + longest, label);
  svg.append(word(left, 12, "predicted → (true class by row)", { class: "soft" }));
  if (named && size >= 9) {
    rowNames(svg, classes, left, i => top + size * (i + 0.5));
    classes.forEach((c, j) => svg.append(make("text", { transform: `translate(${left + size * (j + 0.5)},${end + 10}) rotate(40)`, class: "soft", "data-tip": c }, cut(c, 18))));
  }
  counts.forEach((row, i) => {
    const all = row.reduce((a, b) => a + b, 0) || 1;
    row.forEach((n, j) => {
      svg.append(make("rect", { x: left + size * j, y: top + size * i, width: size - 0.6, height: size - 0.6, style: `fill:${shade(n / all)}`, class: "mark", "data-tip": `true: ${classes[i]}\npredicted: ${classes[j]}\n${n.toLocaleString("en")}, ${(100 * n / all).toFixed(1)} % of the row` }));
      const text = n >= 1e4 ? `${(100 * n / all).toFixed(0)}%` : String(n);
      if (n && size >= 6.5 * text.length + 4) svg.append(word(left + size * (j + 0.5), top + size * (i + 0.5) + 4, text, { "text-anchor": "middle", "pointer-events": "none", style: `fill:${n / all > 0.55 ? "var(--ground)" : "var(--ink)"};font-size:11px` }));
    });
  });
  return [svg];
};

FIGURES.agreement = ({ points, xlabel, ylabel }, width) => {
  const side = Math.min(width, 420), left = 58, right = side - 10, top = 26, bottom = side - 40, svg = surface(side, side, ylabel);
  const both = extent(points.flatMap(p => [p[0], p[1]])), x = linear(both, [left, right]), y = linear(both, [bottom, top]);
  axisBelow(svg, x, { left, right, top, bottom, label: xlabel });
  axisLeft(svg, y, { left, right, top, label: ylabel });
  svg.append(make("line", { x1: x.at(both[0]), y1: y.at(both[0]), x2: x.at(both[1]), y2: y.at(both[1]), stroke: "var(--soft)" }));
  for (const [a, b, id] of points) svg.append(make("circle", { cx: x.at(a), cy: y.at(b), r: 3.5, style: "fill:var(--blue)", opacity: 0.45, class: "mark", "data-tip": `row ${id}\ntrue ${short(a)}\npredicted ${short(b)}` }));
  return [svg];
};
