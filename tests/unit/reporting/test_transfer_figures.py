"""How blocks changed, and which λ a trial has, as the report says it."""

import pytest

from raytl.recipes import RECIPES
from raytl.reporting.report.rendering import ADVERSARIAL, ALIGNING
from raytl.reporting.report.transfer_figures import change_figure
from raytl.sweeping.insight.facts import Block, Transferred


def block(number: int, cka: float | None, *, frozen: bool) -> Block:
    return Block(branch="image", block=number, frozen=frozen, fresh=False, cka=cka)


def test_a_frozen_prefix_is_one_bar_and_frozen_blocks_behind_trained_ones_their_own() -> None:
    blocks = [
        block(0, 1.0, frozen=True), block(1, 1.0, frozen=True), block(2, 0.7, frozen=False),
        block(3, 0.6, frozen=True), block(4, 0.5, frozen=True), block(5, None, frozen=True),
    ]  # fmt: skip
    figure = change_figure(Transferred.model_construct(blocks=blocks))
    assert figure is not None
    shown = [(row["name"], row["value"], row["pale"]) for row in figure["rows"]]
    assert shown == [
        ("blocks 0–1", 1.0, True), ("block 2", 0.7, False), ("block 3", 0.6, True),
        ("block 4", 0.5, True), ("block 5", None, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("known", "key"), [(ADVERSARIAL, "adversarial_lambda"), (ALIGNING, "alignment_lambda")]
)
def test_every_recipe_that_reads_a_weight_has_it_in_its_column(
    known: tuple[str, ...], key: str
) -> None:
    assert set(known) == {name for name, recipe in RECIPES.items() if key in recipe.reads}
