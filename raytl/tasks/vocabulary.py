"""Subword vocabularies: pieces of words by number, learnt from sentences.

Legend: B sentences, T tokens of one.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from raytl.modalities.text.transform import load_tokenizer

PADDING, START, END = 0, 1, 2
SPECIAL = 3  # numbers before the first piece's
# 256 bytes and what is made of them: few, for with few pairs a small vocabulary does best (Sennrich
# & Zhang 2019, "Revisiting Low-Resource Neural Machine Translation: A Case Study")
MOST_PIECES = 2000
LEAST_OFTEN = 2  # times that two pieces stand side by side before they become one


class Tokens(Protocol):
    """What sentences are said with: token numbers, that they start with and end with."""

    start: int
    end: int

    def encoded(self, sentences: Sequence[str]) -> list[list[int]]:
        """Return each sentence's token numbers, `end` not among them."""
        ...

    def decoded(self, tokens: Iterable[Sequence[int]]) -> list[str]:
        """Return the sentences of token numbers; each ends before `end`."""
        ...


class Vocabulary:
    """Byte-pair encoding over bytes (Sennrich et al. 2016, "Neural Machine Translation of Rare
    Words with Subword Units", section 3.2; over bytes Radford et al. 2019, section 2.2): any string
    can be said, and comes back as it was."""

    start, end = START, END

    def __init__(self, content: str) -> None:
        """`content`: as `content` gives it. Raises ValueError where that is none."""
        from tokenizers import Tokenizer

        try:
            self._pieces: Any = Tokenizer.from_str(content)
        except Exception as error:  # tokenizers raises plain exceptions
            raise ValueError(f"no vocabulary of the tokenizers library: {error}"[:200]) from None

    @classmethod
    def learnt(cls, sentences: Iterable[str]) -> "Vocabulary":
        """Return the vocabulary of sentences: MOST_PIECES at most."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        pieces = Tokenizer(models.BPE())
        pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        pieces.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=MOST_PIECES, min_frequency=LEAST_OFTEN, show_progress=False,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        )  # fmt: skip
        pieces.train_from_iterator(sentences, trainer)
        return cls(pieces.to_str())

    @property
    def content(self) -> str:
        """All that it is made of, JSON."""
        return str(self._pieces.to_str())

    @property
    def size(self) -> int:
        """One more than the greatest token number."""
        return SPECIAL + int(self._pieces.get_vocab_size())

    def encoded(self, sentences: Sequence[str]) -> list[list[int]]:
        """Return each sentence's token numbers, END not among them."""
        found = self._pieces.encode_batch_fast(list(sentences))
        return [[SPECIAL + piece for piece in row.ids] for row in found]

    def decoded(self, tokens: Iterable[Sequence[int]]) -> list[str]:
        """Return the sentences of token numbers; each ends before END, and what is no piece is
        left out. Bytes that make no character become U+FFFD."""
        return self._pieces.decode_batch(
            [[token - SPECIAL for token in _before(END, row) if token >= SPECIAL] for row in tokens]
        )


class OwnVocabulary:
    """The tokenizer of a network that was trained before."""

    def __init__(self, content: str, start: int, end: int) -> None:
        """`content`: of its tokenizer.json. Raises ValueError where that is none."""
        self._tokenizer = load_tokenizer(content)
        # A sentence is a row's own tokens, all of them, whatever the file says of batches
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.start, self.end = start, end

    def encoded(self, sentences: Sequence[str]) -> list[list[int]]:
        """Return each sentence's token numbers, no special ones among them."""
        found = self._tokenizer.encode_batch_fast(list(sentences), add_special_tokens=False)
        return [list(row.ids) for row in found]

    def decoded(self, tokens: Iterable[Sequence[int]]) -> list[str]:
        """Return the sentences of token numbers, special ones left out."""
        return self._tokenizer.decode_batch([list(_before(self.end, row)) for row in tokens])


def _before(end: int, tokens: Sequence[int]) -> Sequence[int]:
    return tokens[: tokens.index(end)] if end in tokens else tokens
