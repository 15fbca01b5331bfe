"""Test rows to look at, each with what is known of it."""

from dataclasses import dataclass

from raytl.scoring.metrics import METRICS
from raytl.scoring.wording import value_text
from raytl.sweeping.insight.previews import Preview, Previews
from raytl.sweeping.insight.telling_rows import Kind, Telling, TellingRow

TITLES: dict[Kind, tuple[str, str]] = {  # of right and wrong answers, and of others
    "missed": ("Missed by every model", "Worst of every model"),
    "mended": ("Mended by the transfer", "Better with the transfer"),
    "broken": ("Broken by the transfer", "Worse with the transfer"),
}


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
    for kind, titles in TITLES.items():
        rows = [row for row in telling.rows if row.kind == kind]
        counted = plain or kind != "missed"
        found.append(
            Cards(
                titles[0 if plain else 1],
                telling.counts[kind] if counted else None,
                [_card(row, previews, telling, plain, ours) for row in rows],
            )
        )
    return [cards for cards in found if cards.cards]


def _card(row: TellingRow, previews: Previews, telling: Telling, plain: bool, ours: str) -> Card:
    lines = [] if row.target is None else [("true", row.target)]
    said = ((ours, row.said, row.ours), (telling.control, row.control_said, row.theirs))
    for name, answer, score in said:
        if plain:
            lines.append((name, f"{answer} ({100 * score:.0f} % right)"))
        else:
            size = abs(score) * telling.scale
            off = f"{size:.4g}" if answer is None else f"{answer} ({value_text(size)} off)"
            lines.append((name, off))
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
