"""Which metric a study is judged by where it names none."""

from collections.abc import Sequence

RARE = 0.10  # share of the rows below which one of two classes is rare


def rare_is_possible(known: int, rows: int) -> bool:
    """Whether one of two classes may be RARE among `rows` rows, when `known` of each are known and
    no further label is looked at."""
    return known < RARE * rows


def auto_metric(class_counts: Sequence[int]) -> tuple[str, str | None]:
    """Return the metric's name and, where it is not the usual one, a sentence that says why.

    `class_counts`: labelled rows of each class. Classes are judged by accuracy. Of two classes with
    one below RARE of the rows, "always the other" would be right in more than 90 %: by average
    precision where the rare one is class 1, the positive one; by AUC, which takes both classes
    alike, where it is class 0.
    """
    rows = sum(class_counts)
    assert rows > 0, "a labelled row at least"
    if len(class_counts) != 2:
        return "accuracy", None
    for rare, name in ((1, "average_precision"), (0, "auc")):
        share = class_counts[rare] / rows
        if share < RARE:
            return name, (
                f"the metric is {name}, as class {rare} is rare ({100 * share:.1f} % of the "
                f"labelled rows): accuracy would be {100 * (1 - share):.1f} for always saying "
                f"{1 - rare}"
            )
    return "accuracy", None
