"""Sentences of the docstrings that numpy and scipy ship: what is a function about?

SOURCE is the library. What there is to read hangs on its version.

Legend: N rows.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from raytl.data.group_column import GroupColumn
from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.on_the_spot import OfSplit, domain_of, in_memory
from raytl.errors import DataError
from raytl.modalities.text.column import TextColumn
from raytl.seeds import seed_for
from raytl.tasks.columns import LabelColumn

CLASSES = ("linear algebra", "Fourier", "statistics")  # random numbers are of the last
# Library → where it documents each class, in the order of CLASSES. Of numpy.random only the
# generator: the older functions say the same in the same words.
LIBRARIES = {
    "scipy": ("scipy.linalg", "scipy.fft", "scipy.stats"),
    "numpy": ("numpy.linalg", "numpy.fft", "numpy.random:Generator"),
}
TEST_SHARE = 0.4  # of the functions of each class
FEWEST_WORDS = 6
UNREAD = ("See Also", "References", "Examples", "Methods", "Attributes")
# What tells the module rather than what a sentence is about
GIVEAWAYS = frozenset(
    ["numpy", "np", "scipy", "sp", "linalg", "fft", "ffts", "fftpack", "stats", "random"]
) | {"lapack", "rng"}


Sentence = tuple[str, int, str]  # text, class, function


def read_docstrings(source: str | None, options: ShardOptions) -> Imported:
    """Rows are sentences with their class and, as group, their function; no function has sentences
    in both splits. Code, formulas and the names of modules are left out of them, and so are
    sentences that stand in several classes, and of scipy's those that numpy has too.

    `--rows`: that many at most, drawn at random. Raises DataError where Python runs without
    docstrings (-OO).
    """
    library = domain_of("docstrings", source, list(LIBRARIES))
    found = _sentences(library)
    if library == "scipy":
        known = {text for text, _, _ in _sentences("numpy")}
        found = [sentence for sentence in found if sentence[0] not in known]
    if not found:
        raise DataError("shard docstrings: this Python has no docstrings; run it without -OO")
    names = sorted({function for _, _, function in found})
    number = {name: i for i, name in enumerate(names)}
    columns = {
        "text": TextColumn(mean_bytes=128),
        "label": LabelColumn(classes=CLASSES),
        "function": GroupColumn(groups=len(names)),
    }
    if options.rows is not None:
        generator = np.random.default_rng(seed_for(options.seed, "docstrings", "rows"))
        drawn = np.sort(generator.permutation(len(found))[: options.rows])
        found = [found[i] for i in drawn]
    held = _held_out(found, options.seed)
    parts = {
        "train": [sentence for sentence in found if sentence[2] not in held],
        "test": [sentence for sentence in found if sentence[2] in held],
    }
    return in_memory(columns, {name: _values(part, number) for name, part in parts.items()})


def _values(sentences: list[Sentence], number: dict[str, int]) -> OfSplit:
    texts = np.empty(len(sentences), dtype=object)
    texts[:] = [text for text, _, _ in sentences]
    return {
        "text": texts,
        "label": np.array([label for _, label, _ in sentences], np.int64),
        "function": np.array([number[name] for _, _, name in sentences], np.int64),
    }


def _held_out(sentences: list[Sentence], seed: int) -> set[str]:
    """Return the functions of the test split: a share of those of each class."""
    held: set[str] = set()
    for label in range(len(CLASSES)):
        names = sorted({name for _, of, name in sentences if of == label})
        generator = np.random.default_rng(seed_for(seed, "docstrings", label))
        held.update(generator.permutation(names)[: max(1, round(len(names) * TEST_SHARE))].tolist())
    return held


def _sentences(library: str) -> list[Sentence]:
    """Return every sentence once, in the order of classes and functions' names."""
    classes: dict[str, set[int]] = {}
    first: dict[str, str] = {}
    for label, place in enumerate(LIBRARIES[library]):
        for name, documentation in _documented(place):
            for text in sentences_of(documentation):
                classes.setdefault(text, set()).add(label)
                first.setdefault(text, f"{place}.{name}")
    return [
        (text, next(iter(labels)), first[text])
        for text, labels in classes.items()
        if len(labels) == 1
    ]


def _documented(place: str) -> Iterator[tuple[str, str]]:
    """Yield names and docstrings of what MODULE or MODULE:CLASS has in public."""
    module, _, of_class = place.partition(":")
    holder: Any = importlib.import_module(module)
    if of_class:
        holder = getattr(holder, of_class)
    for name in sorted(getattr(holder, "__all__", dir(holder))):
        found = getattr(holder, name)
        if name.startswith("_") or not callable(found):
            continue
        # A distribution of scipy's is an object; its class has what was written of it alone.
        described = found if isinstance(found, type) or inspect.isroutine(found) else type(found)
        yield name, described.__doc__ or ""


def sentences_of(documentation: str) -> Iterator[str]:
    """Yield the sentences of a docstring in numpy's style, without code and module names."""
    for paragraph in _paragraphs(inspect.cleandoc(documentation)):
        for sentence in re.split(r"(?<=[.!?:])\s+(?=[A-Z])", paragraph):
            words = _words(sentence)
            if len(words) >= FEWEST_WORDS:
                yield " ".join(words)


def _words(sentence: str) -> list[str]:
    plain = re.sub(r"(:\w+:)?`+[^`]*`+_?|%\(\w+\)s|\S+\.\w\S*|\S*[=_()\[\]\\<>]\S*", " ", sentence)
    words = re.findall(r"[A-Za-z][A-Za-z'-]*", plain)
    return [word for word in words if word.lower() not in GIVEAWAYS]


def _paragraphs(documentation: str) -> Iterator[str]:
    """Yield runs of lines that are prose: neither code, nor a heading, a formula or a table."""
    unread, held, indent = False, list[str](), 0
    lines = [*documentation.split("\n"), ""]
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        under_line = re.fullmatch(r"\s*[-=~]{3,}\s*", below) is not None
        if under_line:
            unread = line.strip() in UNREAD
        here = len(line) - len(line.lstrip())
        is_prose = not re.match(r"\s*($|>>>|\.\.|[-=~+|*]{2,}|[\w*, ]+ : )|[\w*]+$", line)
        if not is_prose or under_line or here != indent:
            if held:
                yield " ".join(held)
            held = []
        if is_prose and not under_line and not unread:
            held.append(line.strip())
        indent = here
    if held:
        yield " ".join(held)
