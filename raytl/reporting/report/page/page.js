// The page: every figure drawn at its width, again when that changes; the leaderboard's filters.
function drawAll() {
  for (const place of document.querySelectorAll("figure[data-figure]")) {
    const width = Math.max(260, Math.floor(place.clientWidth));
    if (place.dataset.width === String(width)) continue;
    place.dataset.width = width;
    const caption = place.querySelector("figcaption");
    place.replaceChildren(...(caption ? [caption] : []), ...FIGURES[place.dataset.figure](DATA.figures[place.dataset.of], width));
  }
}
let waiting = 0;
addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(drawAll, 150); });
for (const place of document.querySelectorAll("details")) place.addEventListener("toggle", drawAll);

const table = document.getElementById("leaderboard");
if (table) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells], say = document.getElementById("shown");
  const search = document.getElementById("search"), controls = document.getElementById("controls");
  let chosen = null;
  const value = (row, column) => {
    const cell = row.cells[column], given = cell.dataset.value;
    const number = parseFloat(given ?? cell.textContent.replaceAll(",", ""));
    return Number.isNaN(number) ? null : number;
  };
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase(), control = row.classList.contains("control");
      row.hidden = !words.every(w => text.includes(w)) || (control && !controls.checked) || (chosen !== null && !chosen.has(row.dataset.trial));
      if (!row.hidden) shown++;
    }
    say.textContent = `${shown} of ${body.rows.length} trials`;
  };
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const sign = up ? 1 : -1;
    [...body.rows].sort((a, b) => {
      const x = value(a, column), y = value(b, column);
      if (x !== null && y !== null) return sign * (x - y);
      if (x !== null || y !== null) return x !== null ? -1 : 1; // what has no number stands last
      return sign * a.cells[column].textContent.localeCompare(b.cells[column].textContent);
    }).forEach(row => body.append(row));
  }));
  search.addEventListener("input", filter);
  controls.addEventListener("change", filter);
  addEventListener("chosen", event => { chosen = event.detail; filter(); });
  filter();
}
drawAll();
document.documentElement.dataset.drawn = document.querySelectorAll("figure[data-figure] svg").length;
