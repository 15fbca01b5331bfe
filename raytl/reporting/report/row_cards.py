"""Test rows to look at, each with what is known of it."""

from dataclasses import dataclass

from raytl.scoring.metrics import METRICS
from raytl.sweeping.insight.previews import Preview, Previews
from raytl.sweeping.insight.telling_rows import Telling, TellingRow

TITLES = {
    "missed": "Missed by every model", "mended": "Mended by the transfer",
    "broken": "Broken by the transfer",
}  # fmt: skip
WORST = "Worst of every model"


@dataclass(frozen=True)
class Card:
    """A row: `lines` say what is true and what was said."""

    id: int
    lines: list[tuple[str, str]]
    previews: dict[str, Preview]


@dataclass(frozen=True)
class Cards:
    """Rows of a kind, and how many there are in all, None where no line can be drawn."""

    title: str
    count: int | None
    cards: list[Card]


def cards_of(telling: Telling, previews: Previews, metric: str, ours: str) -> list[Cards]:
    """Return the rows by kind. `ours`: what the selected candidate is called."""
    plain = METRICS[metric].reads in ("classes", "probabilities")
    found = []
    for kind, title in TITLES.items():
        rows = [row for row in telling.rows if row.kind == kind]
        counted = plain or kind != "missed"
        found.append(
            Cards(
                title if counted else WORST,
                telling.counts[kind] if counted else None,  # type: ignore[index]
                [_card(row, previews, telling, plain, metric, ours) for row in rows],
            )
        )
    return [cards for cards in found if cards.cards]


def _card(
    row: TellingRow, previews: Previews, telling: Telling, plain: bool, metric: str, ours: str
) -> Card:
    lines: list[tuple[str, str]] = []
    if row.target is not None:
        lines += [("true", row.target), (ours, str(row.said))]
        lines += [(telling.control, str(row.control_said))]
    if plain:
        lines.append(("right", f"{row.ours:.0%} of seeds; {telling.control} {row.theirs:.0%}"))
    else:
        size = 1 if METRICS[metric].reads == "values" else METRICS[metric].scale
        errors = [f"{abs(value) * size:.4g}" for value in (row.ours, row.theirs)]
        lines.append((telling.words, f"{errors[0]}; {telling.control} {errors[1]}"))
    return Card(row.id, lines, previews.get(row.id, {}))


def path_of(values: list[float], width: float = 100, height: float = 30) -> str:
    """Return an SVG path of a line."""
    low, high = min(values), max(values)
    step, size = width / max(1, len(values) - 1), (high - low) or 1.0
    places = (
        f"{i * step:.1f},{height - (value - low) / size * height:.1f}"
        for i, value in enumerate(values)
    )
    return "M" + "L".join(places)
