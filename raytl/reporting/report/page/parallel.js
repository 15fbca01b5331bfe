// Parallel coordinates: an axis for each searched setting, a line for each trial. Dragging along an
// axis keeps the trials whose line passes there, here and in the leaderboard.
const kept = new Map(); // axis → [low, high] in pixels

FIGURES.parallel = ({ axes, lines, low, high, mode, label }, width) => {
  kept.clear();
  const gap = Math.max(104, (width - 90) / Math.max(1, axes.length - 1)), top = 34, bottom = 300, left = 46;
  const svg = surface(Math.max(width, left + gap * (axes.length - 1) + 60), bottom + 20, label);
  const scales = axes.map(a => {
    if (a.names) return { at: v => a.names.length > 1 ? bottom - (bottom - top) * a.names.indexOf(v) / (a.names.length - 1) : (top + bottom) / 2, ticks: a.names };
    const range = extent(lines.map(l => l.values[a.key]));
    return a.log && range[0] > 0 ? log(range, [bottom, top], { pad: 0 }) : linear(range, [bottom, top], { pad: 0 });
  });
  const drawn = lines.map(l => {
    // A setting that a trial has not leaves a gap in its line.
    const places = axes.map((a, i) => l.values[a.key] == null ? null : [left + gap * i, scales[i].at(l.values[a.key])]);
    const d = places.map((p, i) => p ? `${places[i - 1] ? "L" : "M"}${p[0]},${p[1]}` : "").join("");
    const share = finite(l.objective) && high > low ? (l.objective - low) / (high - low) : 0.5;
    const path = make("path", { d, style: `stroke:${shade(0.15 + 0.85 * (mode === "max" ? share : 1 - share))}`, "stroke-width": 1.8, class: "mark", "data-tip": l.tip });
    const dots = places.filter(Boolean).map(p => make("circle", { cx: p[0], cy: p[1], r: 2.5, fill: path.style.stroke, "data-tip": l.tip }));
    return { path: make("g", {}, path, ...dots), places, trial: l.trial };
  });
  const holder = make("g", {}, ...drawn.map(l => l.path));
  svg.append(holder);
  const count = html("p", { class: "soft" });
  function choose() {
    let many = 0;
    const trials = new Set();
    for (const l of drawn) {
      const inside = [...kept].every(([i, [a, b]]) => l.places[i] && l.places[i][1] >= a && l.places[i][1] <= b);
      l.path.style.opacity = inside ? "" : 0.07;
      l.path.style.pointerEvents = inside ? "" : "none";
      if (inside) { many++; trials.add(l.trial); }
    }
    count.textContent = kept.size ? `${many} of ${drawn.length} trials; the leaderboard shows these. Click an axis to let go.` : `${drawn.length} searched trials; the stronger the colour, the better. Drag along an axis to keep some.`;
    window.dispatchEvent(new CustomEvent("chosen", { detail: kept.size ? trials : null }));
  }
  axes.forEach((a, i) => {
    const x = left + gap * i;
    svg.append(make("line", { x1: x, x2: x, y1: top, y2: bottom, stroke: "var(--soft)" }));
    svg.append(word(x, top - 16, cut(a.name, Math.floor(gap / 6.8)), { "text-anchor": i ? "middle" : "start", "data-tip": a.name, ...(i ? {} : { x: 2 }) }));
    for (const tick of scales[i].ticks) {
      const name = a.names ? tick : short(tick);
      svg.append(word(x + 6, scales[i].at(tick) + 4, cut(name, Math.floor((gap - 20) / 6.6)), { class: "soft", "pointer-events": "none", "paint-order": "stroke", style: "stroke:var(--ground);stroke-width:3px" }));
    }
    const band = make("rect", { x: x - 8, width: 16, y: top, height: 0, fill: "var(--blue)", opacity: 0.25, "pointer-events": "none" });
    const area = make("rect", { x: x - 10, width: 20, y: top - 4, height: bottom - top + 8, fill: "transparent", style: "cursor:ns-resize;touch-action:none" });
    const at = event => { const box = svg.getBoundingClientRect(); return Math.min(bottom + 4, Math.max(top - 4, (event.clientY - box.top) / box.height * (bottom + 20))); };
    let start = null;
    area.addEventListener("pointerdown", event => { start = at(event); area.setPointerCapture(event.pointerId); event.preventDefault(); });
    area.addEventListener("pointermove", event => {
      if (start === null) return;
      const ends = [start, at(event)].sort((p, q) => p - q);
      band.setAttribute("y", ends[0]); band.setAttribute("height", ends[1] - ends[0]);
      if (ends[1] - ends[0] > 3) kept.set(i, ends); else kept.delete(i);
      choose();
    });
    area.addEventListener("pointerup", event => {
      if (start !== null && Math.abs(at(event) - start) <= 3) { kept.delete(i); band.setAttribute("height", 0); choose(); }
      start = null;
    });
    svg.append(band, area);
  });
  choose();
  return [count, svg];
};
