"""Tokens of a text: words, or pieces of so many characters."""

import re
import unicodedata
from collections.abc import Callable

# A word with its apostrophes (don't), or one sign that is neither letter, digit nor space
_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")

# A letter of a script that sets no spaces between words: Thai, Lao, Tibetan, Myanmar, Khmer, kana,
# Han
UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)

Tokenize = Callable[[str], list[str]]


def words(text: str) -> list[str]:
    """Return the words and the signs of a text, in order: `Don't go!` is `Don't`, `go`, `!`."""
    return _WORD.findall(text)


def characters(text: str, ngram: int) -> list[str]:
    """Return every piece of `ngram` characters, in order, runs of white space taken as one space;
    a text that is shorter is one piece."""
    text = " ".join(text.split())
    if len(text) <= ngram:
        return [text] if text else []
    return [text[start : start + ngram] for start in range(len(text) - ngram + 1)]


def tokenizer(tokens: str, ngram: int, lowercase: bool) -> Tokenize:
    """Return what cuts a text into tokens. The text is brought into Unicode's composed form (NFC)
    first, so that an accent is the same however it was typed."""

    def cut(text: str) -> list[str]:
        text = unicodedata.normalize("NFC", text)
        text = text.lower() if lowercase else text
        return words(text) if tokens == "words" else characters(text, ngram)

    return cut
