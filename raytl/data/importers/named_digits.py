"""Digits as an image and as a misspelt English name, which need each other. SOURCE is `rendered` or
`handwritten`: digits rendered from fonts, or scikit-learn's; their names are misspelt in ways of
their own."""

import string
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.digits import read_digits
from raytl.data.importers.on_the_spot import domain_of
from raytl.data.importers.rendered_digits import read_rendered_digits
from raytl.data.stored import Chunk, Chunks, StoredRows
from raytl.errors import ConfigError
from raytl.modalities.text.column import TextColumn
from raytl.seeds import seed_for

SIDE = 28
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Slips:
    """The chance that a letter is left out, is another one, changes places with the next, or is
    followed by one too many."""

    lost: float
    other: float
    swapped: float
    added: float


SLIPS = {
    "rendered": Slips(lost=0.05, other=0.2, swapped=0.05, added=0.05),
    "handwritten": Slips(lost=0.1, other=0.05, swapped=0.1, added=0.1),
}


def read_named_digits(source: str | None, options: ShardOptions) -> Imported:
    """Read images as `rendered-digits` or `digits` do, and misspell a name for each, by seed.

    `--rows` is of rendered digits alone: raises ConfigError for handwritten ones.
    """
    domain = domain_of("named-digits", source, list(SLIPS))
    options = options.model_copy(update={"size": options.size or SIDE})
    if domain == "rendered":
        found = read_rendered_digits(None, options)
    elif options.rows is not None:
        raise ConfigError("shard named-digits: --rows is of rendered digits; leave it out")
    else:
        found = read_digits(None, options)
    splits = {
        split: _named(_chunks(rows), SLIPS[domain], seed_for(options.seed, "names", domain, split))
        for split, rows in found.splits.items()
    }
    image, label = found.columns["image"], found.columns["label"]
    columns = {"image": image, "name": TextColumn(mean_bytes=8), "label": label}
    return Imported(columns, splits, found.rows)


def _chunks(rows: Chunks | StoredRows) -> Chunks:
    return rows.chunks() if isinstance(rows, StoredRows) else rows


def _named(chunks: Chunks, slips: Slips, seed: int) -> Iterator[Chunk]:
    generator = np.random.default_rng(seed)
    for chunk in chunks:
        names = np.empty(len(chunk.places_N), dtype=object)
        names[:] = [misspelt(NAMES[k], slips, generator) for k in chunk.values["label"]]
        yield Chunk(chunk.values | {"name": names}, chunk.places_N)


def misspelt(name: str, slips: Slips, generator: np.random.Generator) -> str:
    """Return a name with slips, drawn for each letter on its own."""
    letters = list(name)
    for place in range(len(letters) - 1):
        if generator.random() < slips.swapped:
            letters[place], letters[place + 1] = letters[place + 1], letters[place]
    out = []
    for letter in letters:
        kept, wrong, more = generator.random(3)
        drawn = generator.choice(list(string.ascii_lowercase), size=2)
        if kept >= slips.lost:
            out.append(str(drawn[0]) if wrong < slips.other else letter)
        if more < slips.added:
            out.append(str(drawn[1]))
    return "".join(out)
