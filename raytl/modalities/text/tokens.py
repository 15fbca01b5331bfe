"""Tokens of a text: words, or pieces of so many characters."""

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from itertools import chain

MARKED = (range(0x300, 0x20000), range(0xE0100, 0xE01F0))  # code points that all marks are among
JOINERS = "\u200c\u200d"  # inside words of Persian and of India's scripts

# A letter of a script that sets no spaces between words: Thai, Lao, Tibetan, Myanmar, Khmer, kana,
# Han
UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)

Tokenize = Callable[[str], list[str]]


def words(text: str, marks: bool = True) -> list[str]:
    """Return the words and the signs of a text, in order: `Don't go!` is `Don't`, `go`, `!`.
    `marks`: combining marks, which many scripts write vowels with, belong to their word; without,
    they end it, as in vocabularies of older versions."""
    return _pattern(marks).findall(text)


@cache
def _pattern(marks: bool) -> re.Pattern[str]:
    r"""Return a word with its apostrophes (don't), or one sign that is neither letter, digit nor
    space. No mark is of `\w`."""
    word = r"\w+"
    if marks:
        every = map(chr, chain(*MARKED))
        of_words = "".join(sign for sign in every if unicodedata.category(sign).startswith("M"))
        # Looked at first, as the long list costs much at the end of each word
        word += rf"(?:(?![\0-{chr(MARKED[0].start - 1)}])[{of_words}{JOINERS}]+\w*)*"
    return re.compile(rf"{word}(?:['’]{word})*|[^\w\s]")


def characters(text: str, ngram: int) -> list[str]:
    """Return every piece of `ngram` characters, in order, runs of white space taken as one space;
    a text that is shorter is one piece."""
    text = " ".join(text.split())
    if len(text) <= ngram:
        return [text] if text else []
    return [text[start : start + ngram] for start in range(len(text) - ngram + 1)]


def tokenizer(tokens: str, ngram: int, lowercase: bool, marks: bool = True) -> Tokenize:
    """Return what cuts a text into tokens, `marks` as of `words`. The text is brought into
    Unicode's composed form (NFC) first, so that an accent is the same however it was typed."""

    def cut(text: str) -> list[str]:
        text = unicodedata.normalize("NFC", text)
        text = text.lower() if lowercase else text
        return words(text, marks) if tokens == "words" else characters(text, ngram)

    return cut
