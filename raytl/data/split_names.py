"""Which split plays which part, by its name."""

from collections.abc import Iterable
from dataclasses import dataclass

TRAIN = ("train", "training", "trn")
VALIDATION = ("validation", "val", "valid", "dev", "development")
TEST = ("test", "testing", "eval", "evaluation")


@dataclass(frozen=True)
class Parts:
    """The splits that are used; None where there is none. `stands_in`: whether a validation split
    plays the part of the test split, for want of one."""

    train: str | None
    validation: str | None
    test: str | None
    stands_in: bool = False

    def unread(self, names: Iterable[str]) -> list[str]:
        """Return which splits play no part."""
        return [name for name in names if name not in (self.train, self.validation, self.test)]


def parts_of(names: Iterable[str]) -> Parts:
    """Return which splits are learnt from, selected by and tested on. One that is called `val` is
    the test split where there is no other: nothing has looked at it, and rows to select by can be
    held out of train, while rows that were learnt from cannot become test rows."""
    there = list(names)
    train, validation, test = (_one(there, known) for known in (TRAIN, VALIDATION, TEST))
    if test is None and validation is not None:
        return Parts(train, None, validation, stands_in=True)
    return Parts(train, validation, test)


def _one(names: list[str], known: tuple[str, ...]) -> str | None:
    """Return the name that is a known one, in the order of those; else the first, in alphabetical
    order, that begins with one and goes on after a mark: test_2016_flickr."""
    by_word = {name.lower(): name for name in names}
    exact = next((by_word[word] for word in known if word in by_word), None)
    if exact is not None:
        return exact
    marked = tuple(f"{word}{mark}" for word in known for mark in "_-")
    return next((name for name in sorted(names) if name.lower().startswith(marked)), None)
