"""What was transferred, as figures."""

from itertools import groupby
from typing import Any

from raytl.sweeping.insight.facts import Block, Gap, Transferred

STAGES = {
    "before": "features of the source model", "after": "features after training",
    "mapped": "behind the trained mapper",
}  # fmt: skip


def change_figure(found: Transferred) -> dict[str, Any] | None:
    """Return each block's similarity before and after; frozen ones that follow each other and give
    what they gave before are one pale bar."""
    if not found.blocks:
        return None
    several = len({block.branch for block in found.blocks}) > 1
    rows = []
    for (branch, frozen, _), some in groupby(found.blocks, key=_bar):
        first, *rest = some
        last = rest[-1] if rest else first
        name = f"blocks {first.block}–{last.block}" if rest else f"block {first.block}"
        state = "frozen" if frozen else "fresh, trained" if first.fresh else "trained"
        said = "the same in all rows" if first.cka is None else f"CKA {first.cka:.3f}"
        rows.append({
            "name": f"{branch}: {name}" if several else name, "value": first.cka, "pale": frozen,
            "tip": f"{branch}, {name}, {state}\n{said}",
            "colour": "var(--orange)" if first.fresh else "var(--blue)",
        })  # fmt: skip
    return {"rows": rows, "high": 1, "label": "linear CKA, before and after: 1 is unchanged"}


def _bar(block: Block) -> tuple[str, bool, int]:
    """Return what blocks of one bar have in common. Frozen ones behind trained ones are given other
    features than before, and are bars of their own."""
    unchanged = block.frozen and block.cka is not None and round(block.cka, 4) == 1
    return block.branch, block.frozen, 0 if unchanged else block.block


def map_figure(gap: Gap) -> dict[str, Any]:
    """Return both domains' rows in one plane."""
    return {
        "label": STAGES[gap.stage],
        "groups": [
            {"name": "source domain", "colour": "var(--orange)", "points": gap.source},
            {"name": "target domain", "colour": "var(--blue)", "points": gap.target},
        ],
    }  # fmt: skip


def shade_of(share: float) -> str:
    """Return the colour of what a token says for the answer (green) or against it (red)."""
    colour = "--green" if share > 0 else "--red"
    return f"color-mix(in srgb, var({colour}) {round(60 * abs(share))}%, transparent)"
