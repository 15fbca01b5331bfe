"""The tutorials are carried out: every block of every page, in order, from files to the verdict."""

from pathlib import Path

import pytest
from pages import run_page
from tests_support import ROOT

PAGES = sorted((ROOT / "docs" / "tutorials").glob("[!i]*.md")) + sorted(
    (ROOT / "docs" / "tutorials").glob("im*.md")
)

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_says_what_is_printed(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(page, tmp_path)
