"""Which fields two tables share, by name. No torch here: reports use it, too."""

from dataclasses import dataclass

from raytl.errors import ModelError
from raytl.modalities.table.column import FieldKind, TableColumn


@dataclass(frozen=True)
class SharedFields:
    """Names of fields, each group in the order of the table that it is of (`shared`: the first)."""

    shared: tuple[str, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    # In both, but a number in one and a category in the other: these cannot be read as one
    of_another_kind: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return it as a sentence."""
        parts = [f"{len(self.shared)} shared"]
        parts += [f"only in the first: {', '.join(self.only_first)}"] if self.only_first else []
        parts += [f"only in the second: {', '.join(self.only_second)}"] if self.only_second else []
        if self.of_another_kind:
            parts.append(f"of another kind: {', '.join(self.of_another_kind)}")
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
