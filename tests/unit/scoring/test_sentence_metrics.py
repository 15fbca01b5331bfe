"""BLEU and chrF against sacrebleu's of the same rows, under any weighting."""

import importlib.util

import numpy as np
import pytest

from raytl.errors import ConfigError
from raytl.scoring import sentence_metrics
from raytl.scoring.metrics import METRICS
from raytl.scoring.sentence_metrics import WIDTH, all_right, one_answer, sentence_counts

sacrebleu = pytest.importorskip("sacrebleu", reason="raytl[text] is not installed")

TARGETS = [
    "Ein Mann, der auf einem Fahrrad fährt.",
    "Zwei Hunde spielen im Schnee.",
    "Ja!",
    "Ein kleines Mädchen liest ein Buch über Ägypten.",
    "Drei Frauen (alle in Rot) stehen vor dem Haus und lachen.",
]
GOOD = [
    "Ein Mann fährt auf einem Fahrrad.",
    "Zwei Hunde spielen im Schnee.",
    "",
    "Ein Mädchen liest ein Buch.",
    "Drei Frauen stehen vor dem Haus und lachen.",
]
OTHERS = {
    "good": GOOD,
    "right": TARGETS,
    "of two words": ["Ein Mann"] * 5,
    "without a word of theirs": ["xyz qqq"] * 5,
    "empty": [""] * 5,
    "shifted": [*TARGETS[1:], TARGETS[0]],
}


def score_of(name: str, said: list[str], targets: list[str]) -> float:
    metric = {"bleu": sacrebleu.metrics.BLEU, "chrf": sacrebleu.metrics.CHRF}[name]()
    return float(metric.corpus_score(said, [targets]).score)


@pytest.mark.parametrize("name", ["bleu", "chrf"])
@pytest.mark.parametrize("said", OTHERS.values(), ids=OTHERS.keys())
def test_scores_are_sacrebleus(name: str, said: list[str]) -> None:
    counts_NM = sentence_counts(said, TARGETS)
    assert counts_NM.shape == (5, WIDTH)
    found = METRICS[name].plain(np.zeros(5), counts_NM)
    assert 100 * found == pytest.approx(score_of(name, said, TARGETS), abs=1e-6)


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_a_row_of_weight_two_is_a_row_that_is_there_twice(name: str) -> None:
    draws_RN = np.random.default_rng(0).multinomial(5, [0.2] * 5, size=8)
    counts_NM = sentence_counts(GOOD, TARGETS)
    found_R = METRICS[name].score(np.zeros(5), counts_NM, draws_RN.astype(float))
    for found, draw_N in zip(found_R, draws_RN, strict=True):
        rows = np.repeat(np.arange(5), draw_N)
        wanted = score_of(name, [GOOD[i] for i in rows], [TARGETS[i] for i in rows])
        assert 100 * found == pytest.approx(wanted, abs=1e-6)


def test_rows_that_are_all_right_are_those_answered_with_their_targets() -> None:
    counts_NM = sentence_counts(GOOD, TARGETS)
    np.testing.assert_array_equal(all_right(counts_NM), sentence_counts(TARGETS, TARGETS))
    np.testing.assert_array_equal(one_answer(counts_NM), sentence_counts([""] * 5, TARGETS))
    np.testing.assert_array_equal(counts_NM, sentence_counts(GOOD, TARGETS))  # not changed


def test_of_no_row_there_is_no_count() -> None:
    assert sentence_counts([], []).shape == (0, WIDTH)


def test_without_sacrebleu_a_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sentence_metrics._counters.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"sacrebleu, which is not installed; .*raytl\[text\]"):
        sentence_counts(["a"], ["b"])
