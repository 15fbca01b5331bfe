"""The target of somebody's rows: classes or values, out of words.

Legend: N rows.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from raytl.config import nearest
from raytl.data.importers.base import ShardOptions
from raytl.errors import ConfigError, DataError
from raytl.modalities.table.texts import CODE, MISSING, WHOLE, first_written, is_number, spelled
from raytl.tasks.columns import NO_LABEL, LabelColumn, ValueColumn
from raytl.tasks.sentence_column import SentenceColumn

FEW_NUMBERS = 20  # so many different whole numbers or fewer are taken for classes
MANY_ROWS = 20  # with more rows, one class a row is a mistake
NO_YES = ("no", "yes")
COMPARISON = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")
COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip

Place = Callable[[int], str]  # a row's number → where it stands, such as "a.csv, line 7"


@dataclass(frozen=True)
class Target:
    """A target column and its values: class numbers int64 (N,), values float64 (N,), or sentences,
    objects (N,)."""

    column: LabelColumn | ValueColumn | SentenceColumn
    values: np.ndarray
    notes: list[str] = field(default_factory=list)


def target_of(
    name: str,
    words: Sequence[str | None],
    options: ShardOptions,
    place: Place,
    known: tuple[str, ...] | None = None,
) -> Target:
    """Return what the column `name` asks for. `--positive` makes no and yes of it, `--classes` and
    `--task` say what it is; else words, and up to 20 different whole numbers, are classes, other
    numbers values. Classes stand in the order of their names, numbers by value.

    `known`: names of classes that the source declares. Raises DataError for rows without a target
    unless `--unlabelled`, for a target that no row has unless its classes are named, for less than
    two classes, for a class or a value that is none, and ConfigError for options that do not fit
    what is there.
    """
    if options.task == "translation":
        return _sentences(name, words, options, place)
    named = _named(options) or known
    words = [_word(word, named) for word in words]
    there = [word for word in words if word is not None]
    if not there:
        return _of_no_row(name, words, named, options, place)
    if len(there) < len(words) and not options.unlabelled:
        row = words.index(None)
        raise DataError(
            f"{place(row)}: the target '{name}' is missing ({len(words) - len(there)} such rows); "
            "label or drop these rows, or keep them as unlabelled ones with --unlabelled"
        )
    if options.positive is not None:
        words = _no_yes(name, words, options.positive, place)
        return _classes(name, words, NO_YES, options, place)
    odd = next((i for i, word in enumerate(words) if word is not None and not _number(word)), None)
    if options.task == "regression":
        if odd is not None:
            raise DataError(
                f"{place(odd)}: the target '{name}' must be a number for --task regression, got "
                f"'{_short(words[odd])}'"
            )
        return _values(name, words, options, place)
    if named is not None:
        words = [_as_named(word, named) for word in words]
        return _classes(name, words, named, options, place)
    return _found(name, words, odd is None, options, place)


def _of_no_row(
    name: str,
    words: Sequence[str | None],
    named: tuple[str, ...] | None,
    options: ShardOptions,
    place: Place,
) -> Target:
    """Return a target that no row has, as of a domain that is only adapted to: its classes have to
    be said."""
    classes = named if options.positive is None else NO_YES
    if classes is None or not options.unlabelled:
        raise DataError(
            f"the target '{name}' has no value in any row; give another --target, or for a domain "
            "without labels --unlabelled and --classes with the names of the other domain's"
        )
    return _classes(name, words, classes, options, place)


def _found(
    name: str, words: Sequence[str | None], numbers: bool, options: ShardOptions, place: Place
) -> Target:
    if not numbers:
        if options.task is None:
            _refuse_half_numbers(name, words, place)
        names = sorted({word for word in words if word is not None})
        return _classes(name, words, tuple(names), options, place)
    infinite = next(
        (i for i, w in enumerate(words) if w is not None and math.isinf(float(w))), None
    )
    if infinite is not None:
        raise _not_finite(name, words, infinite, place)
    plain = [None if word is None else _plain(word) for word in words]
    different = sorted({word for word in plain if word is not None}, key=_exact)
    few = len(different) <= FEW_NUMBERS and all("." not in w and "e" not in w for w in different)
    if options.task is None and not few:
        return _values(name, words, options, place)
    target = _classes(name, plain, tuple(different), options, place)
    if options.task is None:
        target.notes.append(
            f"the target's {len(different)} different whole numbers are taken for classes; "
            "--task regression takes them for values"
        )
    return target


def _refuse_half_numbers(name: str, words: Sequence[str | None], place: Place) -> None:
    """Raise DataError for values that are meant to be numbers, but some of which are none: they
    would be classes."""
    written = first_written(words)
    if written is not None:
        raise DataError(
            f"{place(written)}: the target '{name}' has numbers that are not written plainly, such "
            f"as '{_short(words[written])}'; write them as 1234.5, or say --task classification"
        )
    there = {word for word in words if word is not None}
    odd = {word for word in there if not is_number(word)}
    codes = any(CODE.fullmatch(word) for word in there)
    if not codes and len(there) - len(odd) > max(FEW_NUMBERS, len(odd)):
        row = next(i for i, word in enumerate(words) if word in odd)
        raise DataError(
            f"{place(row)}: the target '{name}' has numbers, but here '{_short(words[row])}'; mend "
            "or drop the row, or say --task classification"
        )


def _sentences(
    name: str, words: Sequence[str | None], options: ShardOptions, place: Place
) -> Target:
    """Return sentences as they are, without blanks at their ends; an empty one is none."""
    texts = np.array([(word or "").strip() or None for word in words] + [None], dtype=object)[:-1]
    missing = [row for row, text in enumerate(texts) if text is None]
    if len(missing) == len(texts):
        raise DataError(f"the target '{name}' has no sentence in any row; give another --target")
    if missing and not options.unlabelled:
        raise DataError(
            f"{place(missing[0])}: the target '{name}' has no sentence ({len(missing)} such rows); "
            "write or drop these rows, or keep them as unlabelled ones with --unlabelled"
        )
    return Target(sentence_column(texts, nulls=options.unlabelled), texts)


def sentence_column(texts: np.ndarray, nulls: bool = False) -> SentenceColumn:
    """Return the column that holds such sentences, objects (N,)."""
    size = sum(len((text or "").encode()) for text in texts) // max(1, len(texts))
    return SentenceColumn(mean_bytes=max(1, size), nulls=nulls)


def _named(options: ShardOptions) -> tuple[str, ...] | None:
    if options.classes is not None and options.class_names is None:
        raise ConfigError(
            f"--classes {options.classes}: name all classes by commas, e.g. --classes no,yes"
        )
    return options.class_names


def _word(text: str | None, named: Sequence[str] | None) -> str | None:
    word = None if text is None else text.strip()
    if word is None or (word.lower() in MISSING and not (named and word in named)):
        return None
    return word


def _as_named(word: str | None, named: Sequence[str]) -> str | None:
    """Return a number as it is named where it is spelled otherwise: 0 of 0.0."""
    if word is None or word in named or not _number(word):
        return word
    return plain if (plain := _plain(word)) in named else word


def _number(word: str) -> bool:
    return is_number(word) and not CODE.fullmatch(word)


def _plain(word: str) -> str:
    value = _exact(word)
    whole = isinstance(value, int) or (value.is_integer() and abs(value) < 2**53)
    return spelled(int(value)) if whole else repr(value)


def _exact(word: str) -> int | float:
    return int(word) if WHOLE.fullmatch(word) else float(word)


def _short(word: str | None) -> str:
    return (word or "")[:40]


def _classes(
    name: str,
    words: Sequence[str | None],
    classes: tuple[str, ...],
    options: ShardOptions,
    place: Place,
) -> Target:
    number = {word: k for k, word in enumerate(classes)}
    bad = next((i for i, w in enumerate(words) if w is not None and w not in number), None)
    if bad is not None:
        raise DataError(
            f"{place(bad)}: the target '{name}' has the class '{_short(words[bad])}', which is "
            f"none of those named; {nearest(str(words[bad]), list(classes[:20]))}"
        )
    if len(classes) < 2:
        raise DataError(
            f"the target '{name}' has one class alone, '{_short(classes[0])}'; a classification "
            "needs two or more: add rows of the others, or name them all with --classes"
        )
    if len(classes) == sum(word is not None for word in words) > MANY_ROWS:
        raise DataError(
            f"the target '{name}' has a class of its own for each of {len(classes)} rows, such as "
            f"'{_short(classes[0])}'; give another --target"
        )
    values = np.array([NO_LABEL if word is None else number[word] for word in words], np.int64)
    return Target(LabelColumn(classes=classes, nulls=options.unlabelled), values)


def _values(name: str, words: Sequence[str | None], options: ShardOptions, place: Place) -> Target:
    values = np.array([np.nan if word is None else float(word) for word in words])
    if np.isinf(values).any():
        raise _not_finite(name, words, int(np.isinf(values).argmax()), place)
    if len(np.unique(values[~np.isnan(values)])) < 2:
        raise DataError(
            f"the target '{name}' is {values[~np.isnan(values)][0]:g} in every row, so there is "
            "nothing to learn; give another --target"
        )
    return Target(ValueColumn(nulls=options.unlabelled), values)


def _not_finite(name: str, words: Sequence[str | None], row: int, place: Place) -> DataError:
    return DataError(f"{place(row)}: the target '{name}' must be finite, got {words[row]}")


def _no_yes(
    name: str, words: Sequence[str | None], positive: str, place: Place
) -> list[str | None]:
    """Return no or yes for each word: `positive` compares numbers, or lists the words of yes."""
    comparison = COMPARISON.fullmatch(positive)
    if comparison is None:
        return _listed(name, words, positive)
    compare, bound = COMPARE[comparison[1]], float(comparison[2])
    out: list[str | None] = []
    for row, word in enumerate(words):
        if word is not None and not _number(word):
            raise DataError(
                f"{place(row)}: the target '{name}' must be a number for --positive "
                f"'{positive}', got '{_short(word)}'"
            )
        out.append(None if word is None else NO_YES[compare(float(word), bound)])
    if len(set(out) - {None}) < 2:
        raise DataError(
            f"--positive '{positive}': every row would be '{next(w for w in out if w)}'; the "
            f"target '{name}' has values such as {', '.join(sorted({w for w in words if w})[:5])}"
        )
    return out


def _listed(name: str, words: Sequence[str | None], positive: str) -> list[str | None]:
    if re.match(r"\s*[<>=!]", positive):
        raise ConfigError(
            f"--positive '{positive}': expected a comparison with a number, such as >0, >=3 or "
            "==2, or values by commas, such as ill,very-ill"
        )
    there = sorted({word for word in words if word is not None})
    yes = {word.strip() for word in positive.split(",")}
    unknown = sorted(yes - set(there))
    if unknown:
        raise ConfigError(
            f"--positive: the target '{name}' has no '{unknown[0]}'; "
            + nearest(unknown[0], there[:20])
        )
    if yes >= set(there):
        raise ConfigError("--positive: names all of the target's values, so that none is a no")
    return [None if word is None else NO_YES[word in yes] for word in words]
