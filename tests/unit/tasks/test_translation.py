"""Translation: vocabulary, teacher forcing, statistics, facts; columns of sentences."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from sentences_support import pairs

from raytl.config import HeadConfig
from raytl.modalities.column import BadRowError
from raytl.rows import Padded
from raytl.tasks.base import Predicted
from raytl.tasks.columns import LabelColumn
from raytl.tasks.decoders import ConstantDecoder
from raytl.tasks.registry import stored_task
from raytl.tasks.sentence_column import SentenceColumn
from raytl.tasks.translation import MOST_TOKENS, Translation
from raytl.tasks.vocabulary import END, MOST_PIECES, SPECIAL, START, Vocabulary

ODD = ["", " zwei  Blanks ", "Straße 𝄞 \n\t é", "</s> <s> [PAD]", "日本語"]


def texts(*given: str | None) -> np.ndarray:
    return np.array([*given, None], dtype=object)[:-1]


def fitted() -> Translation:
    pytest.importorskip("sacrebleu", reason="raytl[text] is not installed")
    return Translation.fitted(SentenceColumn(), [pairs(20, 0)[1], pairs(20, 1)[1]])


def test_any_sentence_comes_back_as_it_was() -> None:
    vocabulary = Vocabulary.learnt(pairs(50, 0)[1])
    tokens = vocabulary.encoded(ODD)
    assert vocabulary.decoded(tokens) == ODD
    assert vocabulary.decoded([[START, *row, END, 9, 9] for row in tokens]) == ODD
    assert min(map(min, tokens[1:])) >= SPECIAL and max(map(max, tokens[1:])) < vocabulary.size


def test_words_that_occur_often_become_one_token() -> None:
    vocabulary = Vocabulary.learnt(["hund sieht hund"] * 3)
    assert [len(row) for row in vocabulary.encoded(["hund", "hund sieht", "xq"])] == [1, 2, 2]
    assert vocabulary.size <= MOST_PIECES + 3


def test_the_same_sentences_give_the_same_vocabulary() -> None:
    contents = {Vocabulary.learnt(pairs(200, 0)[1]).content for _ in range(3)}
    assert len(contents) == 1 and Vocabulary(contents.pop()).size > 256


def test_what_is_no_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="no vocabulary of the tokenizers library"):
        Vocabulary("{}")


def test_targets_are_tokens_with_an_end() -> None:
    task = fitted()
    target = task.prepare(texts("hund", None, "", "hund sieht"))
    assert target.sizes[:, 0].tolist() == [2, 0, 1, 3]
    assert target.values[0].tolist()[1:] == [END, 0] and target.values[2, 0] == END
    assert task.known(target).tolist() == [True, False, True, True]
    assert task.known(np.array([0, -1])).tolist() == [True, False]


def test_the_constant_has_the_least_loss_of_one_answer() -> None:
    task = fitted()
    head = ConstantDecoder(HeadConfig(name="constant"), 3, task.out_dim)
    target = task.prepare(np.concatenate([pairs(20, 0)[1], pairs(20, 1)[1]]))
    weights_B = target.sizes[:, 0] / target.sizes.sum()

    def loss(bias_V: torch.Tensor) -> float:
        head.bias.data.copy_(bias_V)
        return float((task.loss(None, target, head=head).detach() * weights_B).sum())

    best = task.constant_out()
    assert best.exp().sum() == pytest.approx(1.0, abs=0.2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        moved = best + 0.3 * torch.randn(best.shape, generator=generator)
        assert loss(moved) > loss(best)


def test_the_loss_is_the_mean_over_a_rows_own_tokens() -> None:
    task = fitted()
    head = ConstantDecoder(HeadConfig(name="constant"), 3, task.out_dim)
    loss_B = task.loss(None, task.prepare(texts("hund", "zwei hund sieht röt .")), head=head)
    assert loss_B.tolist() == pytest.approx([math.log(task.out_dim)] * 2)
    head.bias.data[END] = 30.0
    of_end = task.loss(None, task.prepare(texts("", "hund")), head=head)
    assert of_end.tolist() == pytest.approx([0.0, 15.0], abs=1e-3)  # one of two tokens is END
    smooth = task.loss(None, task.prepare(texts("")), 0.1, head=head)
    assert smooth.item() == pytest.approx(0.1 * 30 * (1 - 1 / task.out_dim), rel=1e-3)
    nothing = Padded(torch.zeros(0, 4, dtype=torch.int64), torch.zeros(0, 1, dtype=torch.int64))
    assert task.loss(None, nothing, head=head).shape == (0,)


def test_a_sentence_is_learnt_up_to_the_longest_and_judged_whole() -> None:
    task = fitted()
    long = "hund sieht " * 40
    target = task.prepare(texts(long))
    assert task.longest < target.sizes.item() and task.longest <= MOST_TOKENS
    head = ConstantDecoder(HeadConfig(name="constant"), 3, task.out_dim)
    assert task.loss(None, target, head=head).isfinite().all()
    counts = task.statistics(Predicted([long.strip()]), target)
    assert counts[0, 0] == counts[0, 1] == 80


def test_what_it_is_made_of_makes_it_again() -> None:
    task = fitted()
    again = stored_task(json.loads(json.dumps(task.facts())))
    assert isinstance(again, Translation)
    assert again.facts() == task.facts() and again.out_dim == task.out_dim
    target = task.prepare(pairs(5, 3)[1])
    torch.testing.assert_close(again.prepare(pairs(5, 3)[1]).values, target.values)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"vocabulary": "{}"}, "no vocabulary of the tokenizers"),
        ({"vocabulary": None}, "a translation has a vocabulary"),
        ({"longest": 0}, "a longest sentence of 1 or more"),
    ],
)
def test_broken_facts_are_refused(change: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        stored_task({**fitted().facts(), **change})


def test_only_sentences_suit() -> None:
    task = fitted()
    assert task.mismatch(SentenceColumn()) is None
    wrong = task.mismatch(LabelColumn(classes=("a", "b")))
    assert wrong == "it asks for sentences, and the other for a label"


def test_columns_hold_strings_and_with_nulls_none() -> None:
    column, with_none = SentenceColumn(), SentenceColumn(nulls=True)
    some = texts("a", None, "ü")
    with pytest.raises(BadRowError, match="row 1: texts must be strings, but this is None"):
        column.check(some)
    with_none.check(some)
    stored = with_none.to_arrow(some)
    with_none.verify(stored)
    with pytest.raises(ValueError, match="rows without a value"):
        column.verify(stored)
    read = with_none.reader([stored])(np.array([2, 1]))
    assert read.tolist() == ["ü", None] and with_none.there(read).tolist() == [True, False]
    with pytest.raises(BadRowError, match="is of type int"):
        with_none.check(np.array(["a", 3], dtype=object))
    broken = pa.array([b"\xff"], pa.large_binary()).view(pa.large_string())
    with pytest.raises(ValueError, match="no UTF-8"):
        with_none.verify(broken)


def test_sentences_that_are_cut_are_counted() -> None:
    pytest.importorskip("sacrebleu", reason="raytl[text] is not installed")
    long = texts("ab cd", None, "".join(map(chr, range(200, 200 + MOST_TOKENS))), "x" * 9)
    assert Translation.fitted(SentenceColumn(), [long]).notes == (
        f"1 of 3 training sentences is longer than {MOST_TOKENS} tokens, of which no more are "
        "learnt or said; split it",
    )
    assert fitted().notes == ()
