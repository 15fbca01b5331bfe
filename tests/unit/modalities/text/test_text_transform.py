import json
import sys
import unicodedata
from typing import Any

import numpy as np
import pytest
import torch
from text_support import tiny_tokenizer

from raytl.errors import DataError, ModelError
from raytl.modalities.text.options import VocabularyOptions, checked
from raytl.modalities.text.tokens import characters, words
from raytl.modalities.text.transform import (
    TokenizerFacts,
    TokenizerTransform,
    VocabularyTransform,
    transform_of,
)
from raytl.modalities.text.wing import Text

ROWS = np.array(["b b b a a c", "a b d"], dtype=object)  # b 4, a 3, c 1, d 1


def fitted(rows: np.ndarray = ROWS, **options: Any) -> VocabularyTransform:
    return VocabularyTransform.fitted(VocabularyOptions(**options), rows)


def texts(*rows: str) -> np.ndarray:
    return np.array(rows, dtype=object)


def test_words_keep_their_apostrophes_and_signs_stand_alone() -> None:
    assert words("Don't go, Zoë’s 2nd!!") == ["Don't", "go", ",", "Zoë’s", "2nd", "!", "!"]


@pytest.mark.parametrize(
    "text",
    [
        "हिन्दी भाषा",
        "বাংলা ভাষা",
        "தமிழ் மொழி",
        "ภาษา ไทย",
        "مُحَمَّد كَتَبَ",
        "می\u200cخواهم من",
        "x\u0331y's x",
    ],
)
def test_words_keep_their_combining_marks_and_joiners(text: str) -> None:
    assert words(text) == text.split()


def test_every_mark_of_unicode_stays_in_its_word() -> None:
    every = (chr(code) for code in range(sys.maxunicode + 1))
    marks = [sign for sign in every if unicodedata.category(sign).startswith("M")]
    assert len(marks) > 2000
    assert words(" ".join(f"x{mark}y" for mark in marks)) == [f"x{mark}y" for mark in marks]


def test_a_vocabulary_of_before_marks_were_kept_cuts_as_it_did() -> None:
    facts = fitted(texts("हिन्दी भाषा")).facts()
    now = transform_of(facts).prepare(texts("हिन्दी भाषा"))
    assert now.values.tolist() == [[3, 2]] or now.values.tolist() == [[2, 3]]
    before = {key: value for key, value in facts.items() if key != "marks"}
    before["vocabulary"] = ["ह", "ि"]
    assert transform_of(before).prepare(texts("हिन्दी")).values[0, :2].tolist() == [2, 3]
    assert transform_of(before).facts().get("marks", False) is False


def test_characters_are_every_piece_and_a_short_text_is_one() -> None:
    assert characters("a  b\nc", 3) == ["a b", " b ", "b c"]
    assert characters("ab", 3) == ["ab"]
    assert characters(" ", 3) == []


def test_the_vocabulary_is_by_frequency_then_alphabet_whatever_the_order_of_rows() -> None:
    assert fitted().vocabulary == ["b", "a", "c", "d"]
    assert fitted(ROWS[::-1]).vocabulary == ["b", "a", "c", "d"]


def test_rare_words_are_cut_off_by_count_and_by_number() -> None:
    assert fitted(min_count=2).vocabulary == ["b", "a"]
    assert fitted(most=1).vocabulary == ["b"]


def test_a_word_never_seen_is_unknown_and_ends_are_zeros() -> None:
    rows = fitted().prepare(texts("a z", "b", "c d a"))
    assert rows.values.tolist() == [[3, 1, 0], [2, 0, 0], [4, 5, 3]]
    assert rows.sizes.tolist() == [[2], [1], [3]]
    assert rows.values.dtype == torch.int32 and rows.sizes.dtype == torch.int64


def test_an_empty_text_is_one_unknown_token() -> None:
    rows = fitted().prepare(texts("", " \n"))
    assert rows.values.tolist() == [[1], [1]] and rows.sizes.tolist() == [[1], [1]]


def test_no_rows_at_all_are_prepared_too() -> None:
    assert fitted().prepare(texts()).values.shape == (0, 1)


def test_a_long_text_is_cut() -> None:
    assert fitted(max_length=2).prepare(texts("a b c d")).values.tolist() == [[3, 2]]


def test_case_is_kept_where_it_is_asked_for() -> None:
    rows = texts("A a a")
    assert fitted(rows).vocabulary == ["a"]
    assert fitted(rows, lowercase=False).vocabulary == ["a", "A"]


def test_an_accent_is_the_same_however_it_was_typed() -> None:
    assert fitted(texts("caf\u00e9", "cafe\u0301")).vocabulary == ["caf\u00e9"]


def test_character_pieces_are_a_vocabulary_too() -> None:
    transform = fitted(texts("abab"), tokens="characters", ngram=2)
    assert transform.vocabulary == ["ab", "ba"]
    assert transform.prepare(texts("bab?")).values.tolist() == [[3, 2, 1]]


def test_the_same_transform_comes_of_its_facts() -> None:
    transform = fitted(tokens="characters", ngram=2, lowercase=False, max_length=4)
    again = transform_of(json.loads(json.dumps(transform.facts())))
    rows = texts("a b d", "B b")
    assert torch.equal(again.prepare(rows).values, transform.prepare(rows).values)
    assert again.facts() == transform.facts()


def test_an_example_looks_like_real_rows() -> None:
    example = fitted(max_length=3).example(2)
    assert example.values.shape == (2, 3) and example.values.dtype == torch.int32
    assert example.mask.all()


def test_rows_without_any_frequent_token_are_refused() -> None:
    with pytest.raises(ModelError, match="none of the 4 tokens.*min_count=9"):
        fitted(min_count=9)


def test_a_value_that_is_no_string_is_refused() -> None:
    with pytest.raises(DataError, match="row 1: .*NoneType"):
        fitted().prepare(np.array(["a", None], dtype=object))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lowercse": True}, "transform: unknown key 'lowercse'; did you mean 'lowercase'"),
        ({"min_count": 0}, r"transform\.min_count: .*got 0"),
        ({"tokens": "letters"}, r"transform\.tokens: .*'words'"),
        ({"ngram": 3}, "ngram means something to tokens: characters alone"),
        ({"tokens": "characters", "vectors": "x.npz"}, "vectors are of words"),
        ({"vector_words": "all"}, "needs vectors"),
    ],
)
def test_options_that_are_wrong_are_refused_by_name(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        checked(VocabularyOptions, options, "transform")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "kind=None"),
        ({"kind": "vocabulary"}, "bad max_length: Field required"),
        (fitted().facts() | {"max_length": 0}, "bad max_length"),
        ({"kind": "tokenizer", "tokenizer": "{", "max_length": 9, "unknown": 0, "network": {}},
         "no tokenizer"),
    ],
)  # fmt: skip
def test_facts_that_are_none_are_refused(facts: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Text().transform(facts)


def tokenizing(max_length: int = 8, content: str | None = None) -> TokenizerTransform:
    content = content or tiny_tokenizer().to_str()
    facts = TokenizerFacts(tokenizer=content, max_length=max_length, unknown=1, network={})
    return TokenizerTransform(facts)


def test_a_tokenizer_adds_its_special_tokens_to_long_and_to_empty_rows() -> None:
    # [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, good 4, bad 5, film 6
    rows = tokenizing(5).prepare(texts("good film", "", "good good bad bad film", "what"))
    assert rows.values.tolist() == [
        [2, 4, 6, 3, 0], [2, 3, 0, 0, 0], [2, 4, 4, 5, 3], [2, 1, 3, 0, 0],
    ]  # fmt: skip
    assert rows.sizes.flatten().tolist() == [4, 2, 5, 3]


def test_a_tokenizer_without_special_tokens_makes_one_unknown_of_an_empty_text() -> None:
    tokenizer = tiny_tokenizer(special=False)
    rows = tokenizing(content=tokenizer.to_str()).prepare(texts("", "bad"))
    assert rows.values.tolist() == [[1], [5]]


def test_padding_that_a_tokenizer_file_asks_for_is_not_taken_for_tokens() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.enable_padding(length=30)
    assert tokenizing(content=tokenizer.to_str()).prepare(texts("bad")).sizes.tolist() == [[3]]


def test_numbers_are_spelled_as_the_tokens_that_they_stand_for() -> None:
    assert tokenizing().spelled([2, 4, 6, 3]) == ["[CLS]", "good", "film", "[SEP]"]
    own = fitted(texts("good film good"))
    rows = own.prepare(texts("Film unheard good"))
    assert own.spelled(rows.values[0].tolist()) == ["film", "[UNK]", "good"]
    assert own.spelled([0]) == ["[PAD]"]


def test_the_same_tokenizer_comes_of_its_facts() -> None:
    transform = tokenizing(4)
    again = transform_of(json.loads(json.dumps(transform.facts())))
    rows = texts("good bad film", "film")
    assert torch.equal(again.prepare(rows).values, transform.prepare(rows).values)
    assert again.size == transform.size == 7


def test_a_row_must_have_place_for_more_than_special_tokens() -> None:
    with pytest.raises(ValueError, match="max_length > 2 must hold"):
        tokenizing(2)


def test_merges_that_are_left_out_at_random_are_left_out_no_more() -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    vocabulary = {"a": 0, "b": 1, "ab": 2}
    tokenizer = Tokenizer(BPE(vocabulary, [("a", "b")], dropout=0.9))
    prepared = tokenizing(99, tokenizer.to_str()).prepare(texts("ab" * 20))
    assert prepared.values.tolist() == [[2] * 20]
