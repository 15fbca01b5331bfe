"""The source models of a new study: what is given and cached, as far as it fits, and fresh ones."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from raytl.data.domain import Domains
from raytl.errors import ModelError
from raytl.modalities.column import Column
from raytl.modalities.text.tokens import UNSPACED
from raytl.starting.candidates import (
    MOST_PRETRAINED,
    Candidate,
    Fitting,
    Found,
    fitting,
    fresh_networks,
    in_parts,
    named_apart,
    need_one,
)
from raytl.starting.hub_caches import cached_models, downloads_for
from raytl.starting.local_models import models_in, models_of_parts

LOOKED_AT = 500  # texts by whose lengths it is chosen how many tokens are read
LENGTHS = (16, 256)  # tokens, fewest and most


def find_models(
    domains: Domains, tried: Fitting, places: Sequence[Path], kind_of_task: str
) -> tuple[Found, list[Candidate]]:
    """Return the source models that fit, the pretrained ones first, and those that could be
    downloaded. `places`: files and folders that were given. Raises ModelError where none fits, or
    none of those that were given does."""
    found, columns = Found(), domains.target.columns
    by_column: dict[str, list[Candidate]] = {}
    downloads: list[Candidate] = []
    for name, column in columns.items():
        words = text_words(domains, name) if column.kind == "text" else None
        pretrained = fitting(_alternatives(places, column, words), tried, name, found)
        fresh = [[one] for one in fresh_networks(column, words, kind_of_task)]
        by_column[name] = pretrained + fitting(fresh, tried, name, found)
        downloads += downloads_for(column, words)
        if not by_column[name]:
            need_one([], found)
    whole = [[candidate] for place in places for candidate in models_of_parts(place)]
    several = fitting(whole, tried, None, found)
    every = [*several, *(candidate for of in by_column.values() for candidate in of)]
    if places and not any(candidate.pretrained for candidate in every):
        told = "; ".join(found.left[:3]) or f"it is not for {', '.join(columns)}"
        raise ModelError(f"--source-model: nothing that was given fits the data: {told}")
    if len(columns) > 1:
        every, downloads = [*several, *in_parts(by_column)], []
    pretrained = sorted((one for one in every if one.pretrained), key=_order)
    for extra in pretrained[MOST_PRETRAINED:]:
        found.left.append(f"{extra.name} fits too; {MOST_PRETRAINED} are enough to start with")
    fresh_ones = [candidate for candidate in every if not candidate.pretrained]
    found.models = named_apart([*pretrained[:MOST_PRETRAINED], *fresh_ones])
    need_one(found.models, found)
    taken = [_network(candidate) for candidate in found.models]
    return found, [one for one in downloads if _network(one) not in taken]


def _order(candidate: Candidate) -> int:
    """Return how likely a pretrained network is the best to begin with: raytl's own source models,
    which were made for such rows, then hubs' networks, then small ones."""
    origins = ("path", "huggingface", "timm", "torchvision")
    return next((n for n, origin in enumerate(origins) if origin in candidate.config), len(origins))


def _network(candidate: Candidate) -> str | None:
    """Return the hub's name of a network."""
    config = candidate.config
    return config.get("torchvision") or config.get("timm") or config.get("huggingface")


def _alternatives(
    places: Sequence[Path], column: Column, words: int | None
) -> Iterator[Sequence[Candidate]]:
    given = (models_in(place, column, words) for place in places)
    yield from chain(*given, cached_models(column, words))


def text_words(domains: Domains, column: str) -> int:
    """Return how many tokens of a text are read: so many that few texts are cut off. Of scripts
    without spaces each letter counts."""
    split = domains.target.split(domains.target.config.splits.train)
    texts = split.read(column, np.arange(min(LOOKED_AT, split.rows)))
    counts = [len(UNSPACED.sub(" a ", str(text)).split()) for text in texts]
    tokens = 1.4 * float(np.quantile(counts, 0.95))  # a word is more than a token
    return int(max(LENGTHS[0], min(LENGTHS[1], 16 * np.ceil(tokens / 16))))
