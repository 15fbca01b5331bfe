"""Scores of predicted sentences: BLEU and chrF as sacrebleu has them, from counts of each row.

Legend: R weightings, N rows, n orders of n-grams. `counts_NM`, M = 32, of each row: how many words
the answer and the target have; of 1 to 4 words in a row how many of the answer's are the target's
(MATCHES), how many the answer has (TOTALS), and the target (OWN); and of 1 to 6 characters in a row
how many the answer has, the target has, and both (CHARACTERS). Their sums over rows are all that a
score needs, so a bootstrap draws rows.
"""

import importlib.util
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from raytl.errors import ConfigError
from raytl.scoring.weighing import Floats, Ints, Scorer

WORD_ORDER, CHARACTER_ORDER, BETA = 4, 6, 2
SAID, TRUE = 0, 1  # words
MATCHES, TOTALS, OWN = (slice(2 + 4 * i, 6 + 4 * i) for i in range(3))
CHARACTERS = slice(14, 14 + 3 * CHARACTER_ORDER)  # answer, target, both, by order
WIDTH = CHARACTERS.stop


def need_sacrebleu() -> None:
    """Raise ConfigError where sacrebleu is not installed."""
    if importlib.util.find_spec("sacrebleu") is None:
        raise ConfigError(
            "sentences are judged by sacrebleu, which is not installed; run "
            "`pip install 'raytl[text]'`"
        )


@cache
def _counters() -> tuple[Any, Any]:
    need_sacrebleu()
    from sacrebleu.metrics import BLEU, CHRF

    # force: nobody is told that a hundred answers look as if they were cut into words.
    return BLEU(force=True), CHRF()


def sentence_counts(answers: Sequence[str], targets: Sequence[str]) -> Floats:
    """Return the counts of each row, (N, M), with sacrebleu's own splitting into words (13a).
    Raises ConfigError where sacrebleu is not installed."""
    bleu, chrf = _counters()
    counts_NM = np.zeros((len(answers), WIDTH))
    if not len(answers):
        return counts_NM
    # What corpus_score adds up; sacrebleu has no public name for it, and may change it with 3.
    of_words, of_characters = (
        np.asarray(counter._extract_corpus_statistics(answers, [targets]))
        for counter in (bleu, chrf)
    )
    widths = of_words.shape[1], of_characters.shape[1]
    assert widths == (TOTALS.stop, 3 * CHARACTER_ORDER), f"sacrebleu counts otherwise: {widths}"
    counts_NM[:, : TOTALS.stop] = of_words
    orders = np.arange(WORD_ORDER)
    counts_NM[:, OWN] = (counts_NM[:, [TRUE]] - orders).clip(min=0)
    counts_NM[:, CHARACTERS] = of_characters
    return counts_NM


def bleu(target_N: Ints, counts_NM: Floats) -> Scorer:
    """Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation",
    section 2.3, of words in rows of 1 to 4, with sacrebleu's smoothing `exp` of orders without a
    match (Chen & Cherry 2014, method 3)."""

    def score(weights_RN: Floats) -> Floats:
        sums_RM = weights_RN @ counts_NM
        matches_Rn, totals_Rn = sums_RM[:, MATCHES], sums_RM[:, TOTALS]
        missed_Rn = np.cumsum((matches_Rn == 0) & (totals_Rn > 0), axis=1)
        smoothed_Rn = np.where(matches_Rn > 0, matches_Rn, 0.5**missed_Rn)
        precision_Rn = smoothed_Rn / np.where(totals_Rn > 0, totals_Rn, 1)
        said_R, true_R = sums_RM[:, SAID], sums_RM[:, TRUE]
        brevity_R = np.exp(np.minimum(0.0, 1 - true_R / np.where(said_R > 0, said_R, 1)))
        some_R = matches_Rn.any(axis=1) & (totals_Rn > 0).all(axis=1)
        return np.asarray(np.where(some_R, brevity_R * np.exp(np.log(precision_Rn).mean(1)), 0.0))

    return score


def chrf(target_N: Ints, counts_NM: Floats) -> Scorer:
    """Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation", section 2: the
    F-score, recall counting twice, of the means over orders 1 to 6 of precision and recall; as in
    sacrebleu, over the orders that answers and targets have."""

    def score(weights_RN: Floats) -> Floats:
        sums_R3n = (weights_RN @ counts_NM[:, CHARACTERS]).reshape(-1, CHARACTER_ORDER, 3)
        said_Rn, true_Rn, both_Rn = np.moveaxis(sums_R3n, 2, 0)
        there_Rn = (said_Rn > 0) & (true_Rn > 0)
        orders_R = there_Rn.sum(axis=1).clip(min=1)
        precision_R, recall_R = (
            (there_Rn * both_Rn / np.where(there_Rn, of_Rn, 1)).sum(axis=1) / orders_R
            for of_Rn in (said_Rn, true_Rn)
        )
        below_R = BETA**2 * precision_R + recall_R
        above_R = (1 + BETA**2) * precision_R * recall_R
        return np.asarray(above_R / np.where(below_R > 0, below_R, 1))

    return score


def all_right(counts_NM: Floats) -> Floats:
    """Return the counts of the same rows, each answered with its target."""
    right_NM = counts_NM.copy()
    right_NM[:, SAID] = counts_NM[:, TRUE]
    right_NM[:, MATCHES] = right_NM[:, TOTALS] = counts_NM[:, OWN]
    orders_N3n = _characters(right_NM)
    orders_N3n[:, :, [0, 2]] = orders_N3n[:, :, [1]]
    return right_NM


def one_answer(counts_NM: Floats) -> Floats:
    """Return the counts of the same rows, each answered with nothing at all: there is no sentence
    that is right for many."""
    none_NM = counts_NM.copy()
    none_NM[:, SAID] = none_NM[:, MATCHES] = none_NM[:, TOTALS] = 0
    _characters(none_NM)[:, :, [0, 2]] = 0
    return none_NM


def _characters(counts_NM: Floats) -> Floats:
    """Return a view of the counts of characters, (N, n, 3)."""
    return counts_NM[:, CHARACTERS].reshape(len(counts_NM), CHARACTER_ORDER, 3)
