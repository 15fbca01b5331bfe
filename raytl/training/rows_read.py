"""Which rows of every split a trial reads, and of which of them it stores features.

Legend: N rows.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from raytl.config import Study
from raytl.data.domain import Domain
from raytl.data.views import MixedView, View
from raytl.training.material import Material
from raytl.training.splits import source_rows, target_rows

# Of a split, at most: so the rows that a search and eight confirmation seeds draw, each anew, are
# together about as many as the split has.
FEW = 1 / 8
Place = tuple[bool, str, bool]  # whether it is the source domain's, the split, whether in views


def reads_source(study: Study, streams: Collection[str]) -> bool:
    """Whether a trial with these streams reads rows of the source domain, where there is one: to
    learn from them, or, without target labels, to be judged by iwv, dev and circv."""
    return "source" in streams or not study.labelled


@dataclass(frozen=True)
class Part:
    """The `rows`, (N,), of a split that a trial reads for one purpose. `labelled`: with what is to
    be learnt of them; `learns`: to learn from them."""

    domain: Domain
    split: str
    rows: np.ndarray
    labelled: bool = True
    learns: bool = False


def rows_read(material: Material, streams: Collection[str], rows_seed: int) -> dict[str, Part]:
    """Return what a trial with these streams reads: its training streams by name, "validation",
    and "source validation" and "test", which confirmation alone reads, where there are such.
    `rows_seed` draws the target's labelled and held-out rows."""
    study, target, source = material.study, material.domains.target, material.domains.source
    of_target, train = target_rows(target, rows_seed), target.config.splits.train
    test, parts = study.target_domain.splits.test, dict[str, Part]()
    if source is not None and reads_source(study, streams):
        known = source_rows(source, study.search.seed)
        if "source" in streams:
            own = source.config.splits.train
            parts["source"] = Part(source, own, known.train, learns=True)
        parts["source validation"] = Part(source, known.validation_split, known.validation)
    if "target" in streams:
        parts["target"] = Part(target, train, of_target.unlabelled, labelled=False, learns=True)
    if "labelled" in streams:
        parts["labelled"] = Part(target, train, of_target.labelled, learns=True)
    parts["validation"] = Part(target, of_target.validation_split, of_target.validation)
    if test in target.config.read_splits():  # where a model is judged
        parts["test"] = Part(target, test, np.arange(target.split(test).rows))
    return parts


@dataclass(frozen=True)
class StoredRows:
    """Of which rows a trial stores a branch's features: where it reads few of a split, in views or
    as they are, of these alone, else of all. `few`: their numbers, sorted; `whole`: the places of
    which all are stored; `count`: how many rows that are, every view's counted."""

    source: Domain | None = None
    few: Mapping[Place, np.ndarray] = field(default_factory=dict)
    whole: frozenset[Place] = frozenset()
    count: int = 0

    @classmethod
    def of(cls, parts: Collection[Part], source: Domain | None, views: int) -> "StoredRows":
        """Return what is stored of `parts`. `views`: how many of each row are learnt from, 0 where
        that is the row itself."""
        few, whole, count = dict[Place, np.ndarray](), set[Place](), 0
        found: dict[Place, list[Part]] = {}
        for part in parts:
            place = part.domain is source, part.split, part.learns and views > 0
            found.setdefault(place, []).append(part)
        for place, there in found.items():
            read_N = np.zeros(there[0].domain.split(place[1]).rows, bool)
            for part in there:
                read_N[part.rows] = True
            if read_N.sum() <= FEW * len(read_N):
                few[place] = np.flatnonzero(read_N)
            else:
                whole.add(place)
            rows = len(few.get(place, read_N))
            count += rows * (views if place[2] else 1)
        return cls(source, few, frozenset(whole), count)

    def of_view(self, domain: Domain, split: str, view: View | None) -> np.ndarray | None:
        """Return the few rows that are stored of a split, or of a view of it; None: all of them. A
        mixed view shows few by itself."""
        if isinstance(view, MixedView):
            return None
        return self.few.get((domain is self.source, split, view is not None))

    def beside(self, held: Collection[tuple[bool, str]]) -> "StoredRows":
        """Return what is stored where all rows of the splits `held` are there, and of what is read
        whole."""
        few = {place: rows for place, rows in self.few.items() if place[:2] not in held}
        return StoredRows(self.source, few, count=sum(len(rows) for rows in few.values()))


ALL_ROWS = StoredRows()
