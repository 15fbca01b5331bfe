"""Which controls are retrained."""

from raytl.sweeping.selection import Outcome, best_controls, dropped_controls


def outcome(number: int, control: str | None, accuracy: float | None, rows: int = 200) -> Outcome:
    loss = -(accuracy if accuracy is not None else number)
    return Outcome(number, control, {}, loss, accuracy, rows)


def names(outcomes: list[Outcome]) -> list[str | None]:
    return [found.control for found in best_controls(outcomes)]


def test_the_best_try_of_each_control_is_retrained() -> None:
    outcomes = [
        outcome(0, "scratch", 0.80), outcome(1, "scratch", 0.85), outcome(2, "source_only", 0.83),
        outcome(3, "target_only", 0.9), outcome(4, None, 0.99),
    ]  # fmt: skip
    assert [(o.control, o.number) for o in best_controls(outcomes)] == [
        ("scratch", 1), ("source_only", 2), ("target_only", 3),
    ]  # fmt: skip
    assert dropped_controls(outcomes) == []


def test_a_control_clearly_behind_its_kind_is_not_and_that_is_said() -> None:
    outcomes = [
        outcome(0, "scratch", 0.5), outcome(1, "source_only", 0.9),
        outcome(2, "linear_probe", 0.6), outcome(3, "target_only", 0.62),
    ]  # fmt: skip
    assert names(outcomes) == ["source_only", "linear_probe", "target_only"]
    (dropped,) = dropped_controls(outcomes)
    assert dropped.sentence == (
        "the scratch control was not retrained: 50.0 % against 90.0 % of source_only on 200 "
        "validation rows"
    )


def test_the_other_kind_drops_no_control() -> None:
    """scratch transfers nothing: that fine-tuning is better is what the verdict is about."""
    assert names([outcome(0, "scratch", 0.5), outcome(1, "target_only", 0.99)]) == [
        "scratch", "target_only",
    ]  # fmt: skip


def test_few_validation_rows_drop_no_control() -> None:
    few = [outcome(0, "scratch", 0.6, rows=10), outcome(1, "source_only", 0.9, rows=10)]
    assert names(few) == ["scratch", "source_only"]


def test_without_labels_no_control_is_dropped() -> None:
    assert names([outcome(0, "scratch", None), outcome(1, "source_only", None)]) == [
        "scratch", "source_only",
    ]  # fmt: skip
