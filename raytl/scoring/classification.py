"""Scores of a confusion matrix: counts, true class by predicted class."""


def class_recall(confusion: list[list[int]]) -> list[float | None]:
    """Return each class's recall, None for a class without a row."""
    return [row[k] / sum(row) if sum(row) else None for k, row in enumerate(confusion)]


def macro_f1(confusion: list[list[int]]) -> float:
    """Return the mean over classes of 2·TP / (2·TP + FP + FN); 0 for a class that is neither
    there nor predicted, as scikit-learn has it."""
    predicted = [sum(column) for column in zip(*confusion, strict=True)]
    sizes = [sum(row) + predicted[k] for k, row in enumerate(confusion)]
    scores = [2 * row[k] / sizes[k] if sizes[k] else 0.0 for k, row in enumerate(confusion)]
    return sum(scores) / len(scores)
