"""The rows of `peers.py`: drawn and split once by seed, and written as files that every tool reads.

A split's rows are dicts of words: the input columns (`image`: the file of a picture) and `label`.
"""

import csv
import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

Row = dict[str, str]
IMAGES = (".jpg", ".jpeg", ".png")
LABEL, IMAGE = "label", "image"
TRAIN, TEST = "train.csv", "test.csv"
SENTIMENT = {"0": "negative", "1": "positive"}
CREDIT = {"1": "good", "2": "bad"}


@dataclass(frozen=True)
class Split:
    """Rows to learn from, and rows to predict, whose labels no tool sees."""

    train: list[Row]
    test: list[Row]

    @property
    def truth(self) -> list[str]:
        """The labels of the test rows."""
        return [row[LABEL] for row in self.test]


@dataclass(frozen=True)
class Source:
    """A data set. `rare`: the class whose average precision is the score; None for accuracy.
    `by_class`: whether it is given as a folder of pictures for each class."""

    read: Callable[[Path, random.Random], Split]
    rare: str | None = None
    by_class: bool = False


def of_each_class(rows: Iterable[Row], number: int | float, rng: random.Random) -> Split:
    """Draw a number of rows of each class, or a share of them, to learn from; the others are the
    test rows. Both are shuffled. Raises ValueError where a class has no row left to test on."""
    classes: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        classes[row[LABEL]].append(row)
    train, test = [], []
    for label in sorted(classes):
        own = classes[label]
        rng.shuffle(own)
        first = number if isinstance(number, int) else round(number * len(own))
        if not 0 < first < len(own):
            raise ValueError(
                f"a class needs rows to learn from and to test on, but {label} has {len(own)} "
                f"rows, of which {first} would be learnt from"
            )
        train += own[:first]
        test += own[first:]
    return shuffled(train, test, rng)


def shuffled(train: list[Row], test: list[Row], rng: random.Random) -> Split:
    rng.shuffle(train)
    rng.shuffle(test)
    return Split(train, test)


def pictures(folder: Path) -> list[Row]:
    """Return a row for each picture in a folder of classes. Raises FileNotFoundError for none."""
    found = [
        {IMAGE: str(file), LABEL: file.parent.name}
        for file in sorted(folder.glob("*/*"))
        if file.suffix.lower() in IMAGES
    ]
    if not found:
        raise FileNotFoundError(f"{folder}: no CLASS/picture in it; see --data")
    return found


def hymenoptera(data: Path, rng: random.Random) -> Split:
    folder = data / "hymenoptera" / "hymenoptera_data"
    return shuffled(pictures(folder / "train"), pictures(folder / "val"), rng)


def office(data: Path, rng: random.Random) -> Split:
    return of_each_class(pictures(data / "office" / "amazon"), 8, rng)


def sentiment(data: Path, rng: random.Random) -> Split:
    file = data / "text" / "sentiment" / "imdb.txt"
    lines = [line.rpartition("\t") for line in file.read_text("utf-8").split("\n") if line.strip()]
    rows = [{"text": text.strip(), LABEL: SENTIMENT[label.strip()]} for text, _, label in lines]
    return of_each_class(rows, 16, rng)


def german(data: Path, rng: random.Random) -> Split:
    lines = (data / "tabular" / "german.csv").read_text("utf-8").split()
    cells = [line.split(",") for line in lines]
    rows = [
        {f"a{k}": word for k, word in enumerate(row[:-1], 1)} | {LABEL: CREDIT[row[-1]]}
        for row in cells
    ]
    return of_each_class(rows, 0.7, rng)


def emoji(data: Path, rng: random.Random) -> Split:
    folder = data / "emoji"
    with (folder / "emoji.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            {
                IMAGE: str(folder / "google" / f"{row['row']}.png"),
                "name": row["name"],
                LABEL: row["category"],
            }
            for row in csv.DictReader(file)
        ]
    return of_each_class(rows, 0.7, rng)


SOURCES = {
    "hymenoptera": Source(hymenoptera, by_class=True),
    "office": Source(office, by_class=True),
    "sentiment": Source(sentiment),
    "german": Source(german, rare="bad"),
    "emoji": Source(emoji),
}


def split_of(name: str, data: Path, seed: int) -> Split:
    """Return the rows of a data set, the same for one seed, whichever others were read before."""
    return SOURCES[name].read(data, random.Random(f"{name} {seed}"))


def write(split: Split, folder: Path, *, by_class: bool) -> None:
    """Write train.csv and test.csv, without labels, in the order of the rows, and the pictures that
    they name: train/CLASS/NUMBER.jpg and test/NUMBER.jpg where they are given by class, else
    pictures/NUMBER.png. Numbers are those of the rows."""
    trained = [_placed(row, k, "train", folder, by_class) for k, row in enumerate(split.train)]
    tested = [_placed(row, k, "test", folder, by_class) for k, row in enumerate(split.test)]
    _table(folder / TRAIN, trained)
    _table(folder / TEST, [{k: v for k, v in row.items() if k != LABEL} for row in tested])


def _placed(row: Row, number: int, part: str, folder: Path, by_class: bool) -> Row:
    """Copy a row's picture, if it has one; return the row with the copy's path in the folder."""
    if IMAGE not in row:
        return row
    source = Path(row[IMAGE])
    name = f"{number:04d}{source.suffix.lower()}"
    place = Path("pictures", f"{part}{name}")
    if by_class:
        place = Path("train", row[LABEL], name) if part == "train" else Path("test", name)
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, folder / place)
    return row | {IMAGE: str(place)}


def _table(file: Path, rows: list[Row]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
