"""How strings become token numbers: the keys of `transform` of a source model that reads text."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, PositiveInt, ValidationError, model_validator

from raytl.config.base import Frozen, Location
from raytl.errors import ModelError

MAX_LENGTH = 256  # tokens of a row that are read, unless it is said

Options = TypeVar("Options", bound=Frozen)


class VocabularyOptions(Frozen):
    """Of a vocabulary that is fitted to training rows."""

    tokens: Literal["words", "characters"] = "words"
    ngram: Annotated[int, Field(ge=1, le=8)] = 3  # characters of a token, for `characters`
    lowercase: bool = True
    min_count: PositiveInt = 1  # tokens that occur less often are unknown
    most: PositiveInt = 50_000  # tokens of the vocabulary, the most frequent ones
    max_length: PositiveInt = MAX_LENGTH  # tokens a row; what is behind them is cut off
    vectors: Location | None = None  # word vectors: .npz, or GloVe's or word2vec's .txt, .gz
    # all: words that have a vector are known, also where no training row has them
    vector_words: Literal["seen", "all"] = "seen"

    @model_validator(mode="after")
    def _goes_together(self) -> "VocabularyOptions":
        if self.tokens == "words" and "ngram" in self.model_fields_set:
            raise ValueError("ngram means something to tokens: characters alone; remove it")
        if self.vectors is not None and self.tokens != "words":
            raise ValueError("vectors are of words; take tokens: words, or remove vectors")
        if self.vectors is None and self.vector_words == "all":
            raise ValueError("vector_words: all needs vectors; give their file")
        return self


class TokenizerOptions(Frozen):
    """Of a Hugging Face network, which has its own tokenizer."""

    # Tokens a row, special ones included; None: 256, or fewer where the network has fewer positions
    max_length: PositiveInt | None = None


def checked(kind: type[Options], given: Mapping[str, Any], place: str) -> Options:
    """Return options checked; raises ModelError that names the first key and its law."""
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        law = str(first["msg"]).removeprefix("Value error, ")
        got = f", got {first['input']!r}"[:100] if where else ""
        raise ModelError(f"{place}{f'.{where}' if where else ''}: {law}{got}") from None
