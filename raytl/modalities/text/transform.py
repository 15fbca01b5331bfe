"""From strings to token numbers: by a vocabulary of one's own, or by a network's own tokenizer.

Legend: B rows, S tokens of the longest row.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt

from raytl.config.base import Count, Frozen
from raytl.errors import DataError, ModelError
from raytl.modalities.base import Transform
from raytl.modalities.column import Values
from raytl.modalities.text.options import VocabularyOptions
from raytl.modalities.text.tokens import Tokenize, tokenizer
from raytl.rows import Padded

PADDING, UNKNOWN, SPECIAL = 0, 1, 2  # words are numbered from SPECIAL on
EXAMPLE_LENGTH = 8


def padded_tokens(rows: Sequence[Sequence[int]], unknown: int, max_length: int) -> Padded:
    """Return token numbers, int32 (B, S), zeros behind each row's end. A row without any token
    becomes one unknown token, so that S >= 1 and every row has something to be read."""
    filled = [row[:max_length] or [unknown] for row in rows]
    sizes = np.array([len(row) for row in filled], dtype=np.int64)
    values = np.zeros((len(rows), int(sizes.max(initial=1))), dtype=np.int32)
    for row, tokens in enumerate(filled):
        values[row, : len(tokens)] = tokens
    return Padded(torch.from_numpy(values), torch.from_numpy(sizes).unsqueeze(1))


def _strings(values: Values) -> list[str]:
    texts = list(values)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"row {row}: a text must be a string, but got {type(text).__name__}")
    return texts


class _TokenFacts(Frozen):
    """What every transform of texts is made of."""

    max_length: PositiveInt


class VocabularyFacts(_TokenFacts):
    """What a vocabulary is made of."""

    kind: Literal["vocabulary"] = "vocabulary"
    tokens: Literal["words", "characters"]
    ngram: PositiveInt
    lowercase: bool
    marks: bool = False  # whether words keep their combining marks; older versions cut there
    vocabulary: list[str]  # numbered from 2 on: 0 is padding, 1 unknown
    dim: PositiveInt | None  # numbers of a word's vector, where there are vectors


class TokenizerFacts(_TokenFacts):
    """What a network's own tokenizer is made of."""

    kind: Literal["tokenizer"] = "tokenizer"
    tokenizer: str  # the content of tokenizer.json
    unknown: Count  # the token that stands for a text without any
    network: dict[str, Any] = Field(repr=False)  # the configuration of the network it belongs to


class VocabularyTransform(Transform):
    """Tokens by their numbers in a vocabulary; 0 is padding, and what is not in it is 1."""

    def __init__(self, facts: VocabularyFacts) -> None:
        self._facts = facts
        self.dim, self.size = facts.dim, SPECIAL + len(facts.vocabulary)
        self._numbers = {word: SPECIAL + i for i, word in enumerate(facts.vocabulary)}
        self._cut: Tokenize = tokenizer(facts.tokens, facts.ngram, facts.lowercase, facts.marks)

    @classmethod
    def fitted(
        cls,
        options: VocabularyOptions,
        texts: Values,
        known: Sequence[str] = (),
        dim: int | None = None,
    ) -> "VocabularyTransform":
        """Return the transform of these training rows: the most frequent tokens, of equally
        frequent ones the first in the alphabet; then, as far as there is place, `known` words.

        Raises ModelError where no token is left.
        """
        cut = tokenizer(options.tokens, options.ngram, options.lowercase)
        counts = Counter(token for text in _strings(texts) for token in cut(text))
        often = [word for word in counts if counts[word] >= options.min_count]
        often.sort(key=lambda word: (-counts[word], word))
        vocabulary = list(dict.fromkeys([*often, *known]))[: options.most]
        if not vocabulary:
            raise ModelError(
                f"none of the {len(counts)} tokens of the training rows occurs "
                f"min_count={options.min_count} times; lower transform.min_count"
            )
        same = options.model_dump(include={"tokens", "ngram", "lowercase", "max_length"})
        return cls(VocabularyFacts(marks=True, vocabulary=vocabulary, dim=dim, **same))

    @property
    def vocabulary(self) -> list[str]:
        """The tokens; token i has number i + 2."""
        return self._facts.vocabulary

    def spelled(self, numbers: Sequence[int]) -> list[str]:
        """Return the tokens that these numbers stand for; of padding and unknown ones a sign."""
        signs = ["[PAD]", "[UNK]"]
        known = self._facts.vocabulary
        return [signs[n] if n < SPECIAL else known[n - SPECIAL] for n in numbers]

    def prepare(self, values: Values) -> Padded:
        number, most = self._numbers.get, self._facts.max_length
        rows = [[number(t, UNKNOWN) for t in self._cut(text)[:most]] for text in _strings(values)]
        return padded_tokens(rows, UNKNOWN, most)

    def facts(self) -> dict[str, Any]:
        return self._facts.model_dump(mode="json")

    def example(self, rows: int) -> Padded:
        length = min(EXAMPLE_LENGTH, self._facts.max_length)
        return padded_tokens([[UNKNOWN] * length] * rows, UNKNOWN, length)


class TokenizerTransform(Transform):
    """Tokens as a Hugging Face network's own tokenizer numbers them, its special tokens ([CLS],
    [SEP]) included. Padding is 0 here whatever the network's is: see `Padded.mask`."""

    def __init__(self, facts: TokenizerFacts) -> None:
        """Raises ValueError where the tokenizer is none."""
        self._facts = facts
        self._tokenizer = load_tokenizer(facts.tokenizer)
        special = self._tokenizer.num_special_tokens_to_add(False)
        if facts.max_length <= special:
            raise ValueError(
                f"max_length > {special} must hold, as the tokenizer adds {special} tokens to "
                f"each row, but got {facts.max_length}; raise it"
            )
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(facts.max_length)

    @property
    def network(self) -> dict[str, Any]:
        """The Hugging Face configuration of the network that the tokenizer belongs to."""
        return self._facts.network

    @cached_property
    def size(self) -> int:
        """One more than the greatest token number."""
        return 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)

    def spelled(self, numbers: Sequence[int]) -> list[str]:
        """Return the tokens that these numbers stand for, as the tokenizer writes them."""
        return [self._tokenizer.id_to_token(n) or "" for n in numbers]

    def prepare(self, values: Values) -> Padded:
        encoded = self._tokenizer.encode_batch_fast(_strings(values))
        rows = [row.ids for row in encoded]
        return padded_tokens(rows, self._facts.unknown, self._facts.max_length)

    def facts(self) -> dict[str, Any]:
        return self._facts.model_dump(mode="json")

    def example(self, rows: int) -> Padded:
        length = min(EXAMPLE_LENGTH, self._facts.max_length)
        return padded_tokens([[self._facts.unknown] * length] * rows, 0, length)


def load_tokenizer(content: str) -> Any:
    """Return the tokenizer of a tokenizer.json; raises ValueError where it is none."""
    from tokenizers import Tokenizer

    try:
        parsed = json.loads(content)
        if isinstance(parsed, dict) and parsed.get("model", {}).get("dropout"):
            parsed["model"]["dropout"] = None  # BPE-dropout would cut the same text otherwise
            content = json.dumps(parsed)
        return Tokenizer.from_str(content)
    except Exception as error:  # tokenizers raises plain exceptions
        raise ValueError(f"no tokenizer of the tokenizers library: {error}"[:200]) from None


def transform_of(facts: Mapping[str, Any]) -> VocabularyTransform | TokenizerTransform:
    """Return the transform that facts were taken of; raises ValueError where they are none."""
    kind = facts.get("kind")
    if kind == "vocabulary":
        return VocabularyTransform(VocabularyFacts.model_validate(dict(facts)))
    if kind == "tokenizer":
        return TokenizerTransform(TokenizerFacts.model_validate(dict(facts)))
    raise ValueError(f"a transform of texts is a vocabulary or a tokenizer, but got kind={kind!r}")
