"""A split's rows as an importer found them, none of them read yet.

Legend: N rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from raytl.data.importers.base import ShardOptions
from raytl.data.importers.cells import Cells, gather
from raytl.data.importers.inputs import Input, InputPart
from raytl.data.stored import Part, Readable, Work


@dataclass(frozen=True)
class Rows:
    """A split's rows, none of them read yet. `part` takes row numbers and returns what reads these,
    in this order, and numbers them from 0 in it."""

    count: int
    part: Callable[[np.ndarray], Part]
    targets: Mapping[str, np.ndarray] = field(default_factory=dict)  # by column, each (N,)
    groups: np.ndarray | None = None  # their names, str (N,)
    # Of rows that have to be gathered first: takes their numbers in the order of storage
    gathered: Callable[[np.ndarray, Work], Readable] | None = None


def rows_of(
    inputs: Mapping[str, Input],
    numbers: np.ndarray,
    targets: Mapping[str, np.ndarray],
    groups: np.ndarray | None,
    options: ShardOptions,
) -> Rows:
    """Return a split that has the rows `numbers` of inputs, targets and groups.

    A bad row is a DataError when it is read, or with `--skip-bad` left out.
    """

    def part(rows: np.ndarray) -> Part:
        own = {name: one.of(numbers[rows]) for name, one in inputs.items()}
        return InputPart(own, len(rows), options.skip_bad)

    own = {name: of_rows[numbers] for name, of_rows in targets.items()}
    of_groups = None if groups is None else groups[numbers]
    cells = {n: one for n, one in inputs.items() if isinstance(one.items, Cells)}
    if not cells:
        return Rows(len(numbers), part, own, of_groups)

    def gathered(order: np.ndarray, work: Work) -> Readable:
        shard = gather({n: one.items.of(numbers[order]) for n, one in cells.items()}, work)

        def of_shard(start: int, part: Part) -> Part:
            assert isinstance(part, InputPart)
            here = {
                name: replace(one, items=shard(cells[name].items.column, start // work.rows))
                if name in cells else one
                for name, one in part.inputs.items()
            }  # fmt: skip
            return replace(part, inputs=here)

        return of_shard

    return Rows(len(numbers), part, own, of_groups, gathered)
