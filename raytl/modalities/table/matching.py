"""Which fields two tables share, by name. No torch here: reports use it, too."""

from collections.abc import Sequence
from dataclasses import dataclass

from raytl.config import closest
from raytl.errors import ConfigError, ModelError
from raytl.modalities.table.column import FieldKind, TableColumn

MOST_LISTED = 8  # fields in a sentence


@dataclass(frozen=True)
class SharedFields:
    """Names of fields, each group in the order of the table that it is of (`shared`: the first)."""

    shared: tuple[str, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    # In both, but a number in one and a category in the other: these cannot be read as one
    of_another_kind: tuple[str, ...] = ()

    @property
    def differ(self) -> bool:
        """Whether a field is not shared."""
        return bool(self.only_first or self.only_second or self.of_another_kind)

    def describe(self, first: str, second: str) -> str:
        """Return it as a sentence in which the tables are called `first` and `second`."""
        parts = [f"{len(self.shared)} shared"]
        parts += [f"only in {first}: {_listed(self.only_first)}"] if self.only_first else []
        parts += [f"only in {second}: {_listed(self.only_second)}"] if self.only_second else []
        if self.of_another_kind:
            parts.append(f"of another kind: {_listed(self.of_another_kind)}")
        return "; ".join(parts)


def shared_fields(first: TableColumn, second: TableColumn) -> SharedFields:
    """Return which fields two tables share, whatever the order of fields and categories."""
    first_kinds, second_kinds = _kinds(first), _kinds(second)
    both = [name for name in first_kinds if name in second_kinds]
    return SharedFields(
        tuple(name for name in both if first_kinds[name] == second_kinds[name]),
        tuple(name for name in first_kinds if name not in second_kinds),
        tuple(name for name in second_kinds if name not in first_kinds),
        tuple(name for name in both if first_kinds[name] != second_kinds[name]),
    )


def compared_tables(target: TableColumn, source: TableColumn) -> str | None:
    """Return which fields of two domains' tables are in one only; None where the tables are alike.
    Raises ConfigError where they share no field."""
    found = shared_fields(target, source)
    if found.shared:
        told = found.describe("the target", "the source domain")
        return f"fields: {told}" if found.differ else None
    if found.of_another_kind:
        name = found.of_another_kind[0]
        here, there = _kinds(source)[name], _kinds(target)[name]
        raise ConfigError(
            f"no field of its table is one of the target's: {name} is a {here} in it, but a "
            f"{there} in the target; shard one of them again as the other has it"
        )
    mine, its = _listed(found.only_first), _listed(found.only_second)
    raise ConfigError(
        f"no field of its table is one of the target's: it has {its}, the target {mine}; rename "
        f"fields that mean the same{_alike(found.only_second, found.only_first)}"
    )


def _alike(names: Sequence[str], known: Sequence[str]) -> str:
    """Return which name is spelt nearest to a known one, as an example; "" where none is near."""
    for name in names:
        if (close := closest(name, known, cutoff=0.8)) is not None:
            return f", {name} to {close}, say"
    return ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(names[:MOST_LISTED]) + more


def check_readable(own: TableColumn, other: TableColumn) -> None:
    """Raise ModelError where a source model that was fitted to `own` cannot read `other`: they
    share no field, or a field is of another kind."""
    found = shared_fields(own, other)
    if found.of_another_kind:
        name = found.of_another_kind[0]
        own_kind, kind = (_kinds(column)[name] for column in (own, other))
        raise ModelError(
            f"field '{name}' is a {own_kind} in the source model's table, but a {kind} in this "
            "one; import one of them again with the other's kind, or rename the field"
        )
    if not found.shared:
        raise ModelError(
            "a source model of tables needs a field of the same name to transfer anything, but it "
            f"has {', '.join(found.only_first[:5])} and the table "
            f"{', '.join(found.only_second[:5])}; rename fields that mean the same"
        )


def _kinds(column: TableColumn) -> dict[str, FieldKind]:
    return {field.name: field.kind for field in column.fields}
