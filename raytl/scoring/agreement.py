"""How well a ranking before training foretold the order after it."""

from typing import Any

from scipy.stats import weightedtau


def agreement(ranking: list[dict[str, Any]], realised: dict[str, float]) -> dict[str, float]:
    """Return for each score the weighted τ (Vigna 2015, as LogME's authors use it) between its
    order and the realised one: source model → its best value, more is better. Empty with fewer
    than two source models that were tried."""
    rows = [row for row in ranking if row["source_model"] in realised]
    if len(rows) < 2:
        return {}
    truth = [realised[row["source_model"]] for row in rows]
    return {
        score: float(weightedtau([row["scores"][score] for row in rows], truth).statistic)
        for score in rows[0]["scores"]
    }
