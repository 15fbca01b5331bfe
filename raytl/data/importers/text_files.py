"""Texts that are files of their own, or pieces of one."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from raytl.data.importers.decoding import threads_for
from raytl.data.importers.encoded import Piece, content_of
from raytl.data.importers.inputs import Bad, Input, Reading, seal_files, texts_of
from raytl.errors import DataError
from raytl.modalities.text.column import TextColumn


def text_file_input(files: Sequence[Piece]) -> Input:
    """Return UTF-8 texts, without blanks at their ends; one that is none is a bad row."""
    mean = sum(file.size for file in files) // max(1, len(files))
    return Input(TextColumn(mean_bytes=max(1, mean)), files, Reading(texts_of, seal_files, _texts))


def _texts(files: Sequence[Piece]) -> list[str | Bad]:
    with ThreadPoolExecutor(threads_for(files)) as pool:
        return list(pool.map(_text, files))


def _text(file: Piece) -> str | Bad:
    try:
        content = content_of(file)
    except DataError as error:
        return Bad(str(error))
    content = content.read_bytes() if isinstance(content, Path) else content
    try:
        return content.decode().strip()
    except UnicodeDecodeError as error:
        return Bad(f"{file.name}: byte {error.start} is no utf-8; save it as UTF-8")
