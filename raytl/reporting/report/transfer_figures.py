"""What was transferred, as figures."""

from typing import Any

from raytl.sweeping.insight.facts import Gap, Transferred

STAGES = {
    "before": "features of the source model", "after": "features after training",
    "mapped": "behind the trained mapper",
}  # fmt: skip


def change_figure(found: Transferred) -> dict[str, Any] | None:
    """Return each block's similarity before and after, frozen ones pale."""
    if not found.blocks:
        return None
    several = len({block.branch for block in found.blocks}) > 1
    rows = []
    for block in found.blocks:
        name = f"block {block.block}"
        state = "frozen" if block.frozen else "fresh, trained" if block.fresh else "trained"
        said = "the same in all rows" if block.cka is None else f"CKA {block.cka:.3f}"
        rows.append({
            "name": f"{block.branch}: {name}" if several else name, "value": block.cka,
            "pale": block.frozen, "tip": f"{block.branch}, {name}, {state}\n{said}",
            "colour": "var(--orange)" if block.fresh else "var(--blue)",
        })  # fmt: skip
    return {"rows": rows, "high": 1,
            "label": "linear CKA, before and after: 1 is unchanged"}  # fmt: skip


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
