"""The tutorials up to their sweep, which tests/ray/test_tutorials.py runs; and what runs pages."""

from pathlib import Path

import pytest
from pages import called, commands, compare, run_page
from tests_support import ROOT

from raytl.config import load_study
from raytl.sweeping.preflight import preflight

PAGES = sorted(p for p in (ROOT / "docs" / "tutorials").glob("*.md") if p.stem != "index")


class SweepReachedError(Exception):
    """The page has come to its study, which holds."""


def up_to_the_sweep(words: list[str]) -> str:
    """Run a command; of a sweep look at what it would run instead."""
    if words[0] != "sweep":
        return called(words)
    preflight(load_study(Path(words[1]), []))
    raise SweepReachedError


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_comes_to_a_study_that_holds(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SweepReachedError):
        run_page(page, tmp_path, up_to_the_sweep)


def test_there_is_a_tutorial_for_each_modality_and_each_task() -> None:
    from raytl.modalities.registry import MODALITIES
    from raytl.tasks.registry import TASKS

    names = {"image": "images", "table": "tables"}
    wanted = {names.get(name, name) for name in [*MODALITIES, *TASKS]} | {"image-text"}
    assert {page.stem for page in PAGES} == wanted


def test_a_line_that_was_not_printed_is_told() -> None:
    said = "a: 12 rows in 0.3 s\nhelps: +7.3 ± 5.4 points\n"
    compare("a: 15 rows in 1.0 s\n…\nhelps: +1,207.1 ± 2 points\n", said, Path("page.md"))
    with pytest.raises(AssertionError, match="page.md shows what is not printed:\nhurts"):
        compare("hurts: -7.3 ± 5.4 points\n", said, Path("page.md"))


def test_a_shell_block_is_parted_into_commands_of_raytl_alone() -> None:
    block = "raytl shard a b \\\n    --test 0.2  # words\n\nraytl inspect 'a b'\n"
    assert commands(block) == [["shard", "a", "b", "--test", "0.2"], ["inspect", "a b"]]
    with pytest.raises(AssertionError, match="no command of raytl"):
        commands("rm -r data\n")


def test_blocks_of_a_page_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        '```yaml title="a.yaml"\nkey: 3\n```\n\n```python\ntold = open("a.yaml").read()\n```\n'
        "\n```sh\nraytl demo --list\n```\n\n```python\nprint(told)\n```\n\n```text\nkey: 4\n```\n"
    )
    run_page(page, tmp_path)
    page.write_text(page.read_text().replace("key: 4", "value: 4"))
    with pytest.raises(AssertionError, match="value: 4"):
        run_page(page, tmp_path)


def test_a_command_that_fails_ends_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\nraytl no-such-command\n```\n")
    with pytest.raises(AssertionError, match="raytl no-such-command"):
        run_page(page, tmp_path)
