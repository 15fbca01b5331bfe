"""Texts to predict: a file of lines."""

from pathlib import Path

from raytl.data.importers.inputs import Bad, Input, texts_of
from raytl.data.importers.opened_files import reading
from raytl.data.importers.options import ShardOptions
from raytl.data.importers.text_lines import decoded_line
from raytl.data.raw.rows import raw_input
from raytl.errors import DataError
from raytl.folders import printable
from raytl.modalities.text.column import TextColumn


def text_rows(items: list[str | Bad]) -> Input:
    """Return texts, or what is Bad about them."""
    return raw_input(TextColumn(), items, texts_of)


def lines_of(path: Path, options: ShardOptions) -> list[str | Bad]:
    """Return each line of a file without blanks at its ends; one that is empty, or no text in
    `--encoding`, is bad. Raises DataError for a file without a line."""
    with reading(path):
        content = path.read_bytes()
    lines = content.split(b"\n")
    if not lines[-1].strip():
        lines.pop()  # behind the last line feed
    if not lines:
        raise DataError(f"{printable(path)}: the file has no text; give one with lines")
    return [_line(printable(path), number, line, options) for number, line in enumerate(lines, 1)]


def _line(name: str, number: int, line: bytes, options: ShardOptions) -> str | Bad:
    try:
        text = decoded_line(name, number, line, options).strip()
    except DataError as error:
        return Bad(str(error))
    return text or Bad(f"{name}, line {number}: has no text")
