"""The options of `raytl shard`."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt, model_validator

from raytl.config import Frozen
from raytl.data.fitting import Fit
from raytl.data.schema import SplitName

LARGEST_SIDE = 4096  # pixels of a stored image
ROWS = (10, 10_000_000)  # rendered images
MOST_RATE = 768_000  # samples a second


def _side(side: int) -> int:
    if not 1 <= side <= LARGEST_SIDE:
        raise ValueError(f"must be 1 to {LARGEST_SIDE} pixels")
    return side


def _shape(text: str) -> str:
    sides = text.split("x")
    whole = len(sides) in (2, 3) and all(s.isascii() and s.isdigit() and len(s) < 9 for s in sides)
    if not whole or not all(1 <= int(side) <= LARGEST_SIDE for side in sides):
        raise ValueError(f"must be HxW or HxWxC, such as 16x16, each 1 to {LARGEST_SIDE}")
    return text


def _class_names(text: str) -> str:
    if "," in text:
        distinct_names([name.strip() for name in text.split(",")])
    return text


def distinct_names(names: list[str]) -> tuple[str, ...]:
    """Return class names as a tuple; ValueError where one is empty or stands there twice."""
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise ValueError(
            f"the names of classes must differ, but '{name}' stands there {times} times"
        )
    if "" in names:
        raise ValueError("every class must have a name, but one is empty")
    return tuple(names)


def names_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Return class names, those that several classes have with their class's number."""
    times = Counter(names)
    return tuple(f"{name} ({k})" if times[name] > 1 else name for k, name in enumerate(names))


def _rows(rows: int) -> int:
    if not ROWS[0] <= rows <= ROWS[1]:
        raise ValueError(f"must be {ROWS[0]} to {ROWS[1]:,} images")
    return rows


def _share(share: float) -> float:
    if not 0 < share < 1:
        raise ValueError("must be a share of the rows between 0 and 1, such as 0.2")
    return share


def _delimiter(text: str) -> str:
    text = {r"\t": "\t", "tab": "\t"}.get(text, text)
    if len(text) != 1 or text in '"\n\r':
        raise ValueError("must be one character, such as ';', or tab")
    return text


def _rate(rate: int) -> int:
    if not 1 <= rate <= MOST_RATE:
        raise ValueError(f"must be 1 to {MOST_RATE} samples a second")
    return rate


def _encoding(name: str) -> str:
    try:
        # "".encode knows text encodings alone, codecs.lookup also those of bytes.
        "".encode(name)
    except (LookupError, ValueError):
        raise ValueError("is no encoding that Python knows, such as utf-8 or latin-1") from None
    return name


def _joined(given: Any) -> Any:
    return ",".join(given) if isinstance(given, list | tuple) else given


Side = Annotated[int, AfterValidator(_side)]
Share = Annotated[float, AfterValidator(_share)]
Names = tuple[Annotated[str, Field(min_length=1)], ...]
Name = Annotated[str, Field(min_length=1)]


class ShardOptions(Frozen):
    """The options of `raytl shard`; None is the importer's own default."""

    # Which rows stand in which split
    splits: dict[SplitName, Annotated[str, BeforeValidator(_joined)]] | None = None  # file or keys
    test: Share | None = None  # of the rows of train
    validation: Share | None = None  # of the rows of train
    seed: Annotated[int, Field(ge=0)] = 0
    skip_bad: bool = False

    # Images
    size: Side | None = None  # side of the stored images, pixels
    fit: Fit = "stretch"  # how another shape is fitted
    box: Side | None = None  # scale into a centred box of this side
    image_shape: Annotated[str, AfterValidator(_shape)] | None = None  # HxW or HxWxC
    rows: Annotated[int, AfterValidator(_rows)] | None = None
    root: str | None = None  # folder of the files

    # The target
    target: Name | None = None  # the column to be learnt
    task: Literal["classification", "regression", "translation"] | None = None
    classes: Annotated[str, AfterValidator(_class_names)] | None = None  # a key, or names by commas
    positive: Name | None = None  # makes no and yes of the target: >0, or names by commas
    unlabelled: bool = False  # rows may lack the target
    void: Annotated[int, Field(ge=0, le=255)] | None = None  # a mask's pixels without a class

    # The columns of tables
    text: Names = ()
    image: Name | None = None  # a column of paths, or a pattern such as pictures/{row}.png
    audio: Name | None = None  # likewise
    number: Names = ()
    category: Names = ()
    drop: Names = ()
    group: Name | None = None
    split_column: Name | None = None
    where: Names = ()  # COLUMN=VALUE: rows to keep
    no_header: bool = False
    series_id: Name | None = None
    time: Name | None = None
    horizon: PositiveInt | None = None  # steps to come, which are the target
    window: PositiveInt | None = None  # steps of a row that is cut from a longer series
    step: PositiveInt | None = None  # from one such row to the next; None: horizon
    season: PositiveInt | None = None  # steps after which much is as it was; None: horizon

    # Files of texts and sounds
    delimiter: Annotated[str, AfterValidator(_delimiter)] | None = None
    label_first: bool = False
    class_files: dict[Name, str] | None = None  # class → file
    encoding: Annotated[str, AfterValidator(_encoding)] | None = None
    pattern: Name | None = None  # {label}_{group}_{take}.wav
    rate: Annotated[PositiveInt, AfterValidator(_rate)] | None = None  # samples a second

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.size is not None and self.box is not None and self.box > self.size:
            raise ValueError(f"--box <= --size must hold, got box={self.box}, size={self.size}")
        if (self.test or 0) + (self.validation or 0) >= 1:
            raise ValueError(
                f"--test + --validation < 1 must hold, got {self.test:g} + {self.validation:g}"
            )
        other = self.task not in (None, "classification")
        if self.positive is not None and (self.classes or other):
            raise ValueError(
                "--positive makes the classes no and yes; leave out --classes and --task"
            )
        if self.classes is not None and other:
            raise ValueError(f"--classes names classes, but --task {self.task} has none; drop one")
        self._need_splits_of_their_own()
        return self

    def _need_splits_of_their_own(self) -> None:
        keys = [given.partition(",")[0] for given in (self.splits or {}).values()]
        for key, given in zip(keys, (self.splits or {}).values(), strict=True):
            if keys.count(key) > 1:
                what = "images" if "," in given else "a file"
                raise ValueError(
                    f"--split: each split needs {what} of its own, but '{key}' is named for two"
                )

    @property
    def listed_classes(self) -> tuple[str, ...] | None:
        """The classes that are named, one alone as well, of a kind whose files have no keys."""
        return self.class_names or (None if self.classes is None else (self.classes,))

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The classes that are named by commas."""
        if self.classes is None or "," not in self.classes:
            return None
        return tuple(name.strip() for name in self.classes.split(","))


def flag(name: str) -> str:
    """Return how the command line calls a field of ShardOptions."""
    called = {"splits": "split", "class_files": "class-file"}.get(name, name.replace("_", "-"))
    return f"--{called}"
