"""Which column of a table is to be learnt."""

from raytl.data.importers.roles import need_column
from raytl.data.importers.table_files import Table
from raytl.data.importers.targets import FEW_NUMBERS
from raytl.data.importers.words import words_of
from raytl.errors import ConfigError, DataError
from raytl.modalities.table.texts import MISSING
from raytl.starting.raw import Wanted

# What such a column is called, the surest name first
NAMES = ("target", "label", "labels", "class", "category", "outcome", "sentiment", "y")
FEATURE_NAMES = 12  # columns that a message lists


def target_of_table(table: Table, wanted: Wanted, *, named: bool) -> tuple[str, tuple[str, ...]]:
    """Return the column that is learnt, and what to say of how it was found. `named`: whether the
    columns have names. Raises ConfigError, with the columns, where it cannot be told."""
    columns = table.rows.column_names
    if wanted.target is not None:
        need_column(wanted.target, columns, "--target", table.name)
        return wanted.target, ()
    by_word = {name.strip().lower(): name for name in columns}
    found = next((by_word[word] for word in NAMES if word in by_word), None)
    if found is not None:
        return found, ()
    last = columns[-1]
    if not named and len(columns) > 1 and _has_few_words(table, last):
        told = (
            f"no line names the columns; the last one, {last}, has few different words, so it is "
            "learnt (--target names another)"
        )
        return last, (told,)
    listed = ", ".join(columns[:FEATURE_NAMES]) + (", …" if len(columns) > FEATURE_NAMES else "")
    raise ConfigError(
        f"{table.name}: which column is to be learnt cannot be told, as none is called "
        f"{', '.join(NAMES[:4])} or the like; name it with --target, one of {listed}"
    )


def lacks_some(table: Table, column: str) -> bool:
    """Whether a row has no value in a column of words or numbers."""
    try:
        words = words_of(table.rows[column], column)
    except DataError:
        return False
    return any(word is None or word.strip().lower() in MISSING for word in words)


def _has_few_words(table: Table, column: str) -> bool:
    try:
        words = {word for word in words_of(table.rows[column], column) if word is not None}
    except DataError:
        return False
    return 2 <= len(words) <= FEW_NUMBERS
