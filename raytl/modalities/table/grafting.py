"""Weights carried from a network for one table to one for another: shared fields keep theirs.

Legend: K codes, E width of an embedding.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
from raytl.modalities.table.coding import FIRST_KNOWN
from raytl.modalities.table.fields import FieldStem, module_name

EMBEDDING = "embedding"  # a category field's parameter with a row a code


@dataclass(frozen=True)
class GraftReport:
    """What became of each field, by name, and which categories of shared fields are new."""

    transferred: tuple[str, ...]
    fresh: tuple[str, ...]  # only in the new network
    dropped: tuple[str, ...]  # only in the old one
    fresh_categories: dict[str, tuple[str, ...]]

    def describe(self) -> str:
        """Return it as a sentence."""
        parts = [f"{len(self.transferred)} fields transferred"]
        parts += [f"started fresh: {', '.join(self.fresh)}"] if self.fresh else []
        parts += [f"dropped: {', '.join(self.dropped)}"] if self.dropped else []
        parts += [
            f"new categories of {name}: {', '.join(new)}"
            for name, new in self.fresh_categories.items()
        ]
        return "; ".join(parts)


@torch.no_grad()
def graft_fields(old: Backbone, new: Backbone) -> GraftReport:
    """Copy all weights of `old` that `new` has a place for, into `new`: those of shared fields, by
    name, and of every block behind the stem. Fields, and categories of shared fields, that only
    `new` has keep the weights they were drawn with.

    It makes sense where both transforms scale shared fields alike: see `TableTransform.extended`.
    Raises ModelError where the two are not the same network but for their fields.
    """
    old_stem, new_stem = _stem(old), _stem(new)
    old_fields, new_fields = _known(old_stem), _known(new_stem)
    shared = [n for n in new_fields if n in old_fields and _alike(old_fields[n], new_fields[n])]
    state, given = new.state_dict(), old.state_dict()
    own = {f"blocks.0.fields.{module_name(name)}." for name in {*old_fields, *new_fields}}
    for key in (key for key in (state | given) if not key.startswith(tuple(own))):
        _copy(key, state, given)
    for name in shared:
        prefix = f"blocks.0.fields.{module_name(name)}."
        codes = _codes(old_fields[name], new_fields[name])
        for key in (key for key in state if key.startswith(prefix)):
            _copy(key, state, given, codes if key == prefix + EMBEDDING else None)
    return GraftReport(
        tuple(shared),
        tuple(name for name in new_fields if name not in shared),
        tuple(name for name in old_fields if name not in shared),
        {n: extra for n in shared if (extra := _new(old_fields[n], new_fields[n]))},
    )


Known = tuple[str, ...] | None  # a category's known categories; None: a number


def _stem(backbone: Backbone) -> FieldStem:
    stem = backbone.blocks[0]
    if not isinstance(stem, FieldStem):
        raise ModelError(f"{backbone.name} is no network for tables, so it has no fields to carry")
    return stem


def _known(stem: FieldStem) -> dict[str, Known]:
    return dict.fromkeys(stem.layout.numbers, None) | dict(stem.layout.categories)


def _alike(old: Known, new: Known) -> bool:
    return (old is None) == (new is None)


def _new(old: Known, new: Known) -> tuple[str, ...]:
    return tuple(category for category in new or () if category not in set(old or ()))


def _codes(old: Known, new: Known) -> list[tuple[int, int]]:
    """Return the old and the new code of what both know: unknown, missing, shared categories."""
    code_of = {category: code for code, category in enumerate(old or (), FIRST_KNOWN)}
    pairs = enumerate(new or (), FIRST_KNOWN)
    shared = [(code_of[category], code) for code, category in pairs if category in code_of]
    return [(code, code) for code in range(FIRST_KNOWN)] + shared


def _copy(
    key: str,
    state: dict[str, Tensor],
    given: dict[str, Tensor],
    codes: list[tuple[int, int]] | None = None,
) -> None:
    """Copy one tensor of a state dict, or the rows of an embedding that both know."""
    fits = key in state and key in given
    start = 0 if codes is None else 1  # the number of categories may differ
    if not fits or state[key].shape[start:] != given[key].shape[start:]:
        raise ModelError(
            "networks for tables exchange weights where they differ in fields alone, but these "
            f"differ in '{key}'; build both with the same backbone and args"
        )
    if codes is None:
        state[key].copy_(given[key])
    else:
        old_codes, new_codes = zip(*codes, strict=True)
        state[key][list(new_codes)] = given[key][list(old_codes)]
