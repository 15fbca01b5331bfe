"""Pages of the documentation whose blocks are run, in order, in a folder of their own.

A fenced block with a title is saved under that name; one of Python is executed, in one namespace
for the page; each command of a shell block is called in this process. A block of text is what has
been printed since the one before: its lines must be there, but for numbers, and `…` stands for
whatever.
"""

import contextlib
import io
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from raytl.cli import app

FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[+-]?\d[\d,]*(\.\d+)?(e-?\d+)?")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file that it is saved as, its content."""

    language: str
    title: str
    content: str


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [Block(*found) for found in FENCE.findall(page.read_text(encoding="utf-8"))]


def run_page(page: Path, folder: Path, call: Callable[[list[str]], str] | None = None) -> None:
    """Run a page's blocks in the folder, which the process must be in. `call`: runs the words of a
    command and returns what it prints. Raises what a block raises, and AssertionError where a page
    says what was not printed."""
    names: dict[str, Any] = {"__name__": "page"}
    said = ""
    for block in blocks(page):
        if block.title:
            (folder / block.title).write_text(block.content, encoding="utf-8")
        elif block.language == "python":
            said += _executed(block.content, names, page)
        elif block.language == "sh":
            said += "".join(map(call or called, commands(block.content)))
        elif block.language == "text":
            compare(block.content, said, page)
            said = ""
        else:
            raise AssertionError(f"{page}: a block of {block.language} without a title")


def commands(content: str) -> list[list[str]]:
    """Return the words of each command of a shell block, without `raytl`."""
    lines = [line for line in content.replace("\\\n", " ").splitlines() if line.strip()]
    found = [shlex.split(line, comments=True) for line in lines]
    assert all(words[0] == "raytl" for words in found), f"no command of raytl: {content}"
    return [words[1:] for words in found]


def _executed(content: str, names: dict[str, Any], page: Path) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(content, str(page), "exec"), names)
    return out.getvalue()


def called(words: list[str]) -> str:
    """Run the words of a command in this process; return what it prints."""
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, f"raytl {' '.join(words)}: {result.output[-2000:]}"
    return result.stdout


def compare(wanted: str, said: str, page: Path) -> None:
    """Raise AssertionError where a line that the page shows was not printed."""
    printed = {_plain(line) for line in said.splitlines()}
    for line in wanted.splitlines():
        if line.strip() not in ("", "…") and _plain(line) not in printed:
            raise AssertionError(f"{page} shows what is not printed:\n{line}\nbut:\n{said}")


def _plain(line: str) -> str:
    """Return a line without numbers and with single blanks."""
    return " ".join(NUMBER.sub("0", line).split())
