"""The documentation's site: it builds without a warning, needs no network, leaves nothing out."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from pages import FENCE
from tests_support import ROOT
from typer.main import get_command

import raytl
from raytl.cli import app
from raytl.config import Study, TrialConfig
from raytl.recipes import RECIPES

DOCS = ROOT / "docs"
sys.path[:0] = [str(DOCS / "hooks"), str(DOCS / "figures")]

# What a browser loads by itself, by element: a link is followed by a person
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}
LOADING = {"stylesheet", "icon", "preload", "preconnect", "prefetch", "dns-prefetch", "manifest"}
CHROMIUM = shutil.which("chromium")
OUTSIDE = re.compile(r"^\s*(https?:)?//")


class Loads(HTMLParser):
    """Collects what a page loads, and the ids of its elements."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids.add(given.get("id", ""))
        if tag in LOADED:
            self.urls.append(given.get(LOADED[tag], ""))
        if tag == "link" and LOADING & set(given.get("rel", "").split()):
            self.urls.append(given.get("href", ""))
        self.urls += re.findall(r"url\(['\"]?([^)'\"]+)", given.get("style", ""))


def loads(page: Path) -> Loads:
    found = Loads()
    found.feed(page.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    path = {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=ROOT, env=os.environ | path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-4000:]
    return out


def test_no_page_loads_anything_from_outside(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    outside = {page.name: [u for u in loads(page).urls if OUTSIDE.match(u)] for page in pages}
    assert not any(outside.values()), outside
    assert loads(site / "index.html").urls  # the parser finds what pages do load


def test_no_style_loads_anything_from_outside(site: Path) -> None:
    styles = sorted(site.rglob("*.css"))
    assert styles
    for style in styles:
        text = style.read_text(encoding="utf-8")
        urls = re.findall(r"url\(['\"]?([^)'\"]+)", text) + re.findall(
            r"@import ['\"]([^'\"]+)", text
        )
        assert not [url for url in urls if OUTSIDE.match(url)], style


def test_the_search_finds_pages_without_a_server(site: Path) -> None:
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    for word in ("negative transfer", "frozen_depth", "seasonal_naive"):
        assert word in index
    assert index.startswith("var __index = {")
    assert "iframe-worker.js" in loads(site / "index.html").urls


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_a_browser_searches_a_page_from_the_disk_without_a_network(site: Path) -> None:
    page = f"{(site / 'index.html').as_uri()}?q=nuclear+norm"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000"]
    nowhere = "--host-resolver-rules=MAP * ~NOTFOUND"
    command = [str(CHROMIUM), *options, nowhere, "--dump-dom", page]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    found = re.findall(r'<a href="([^"]+)" class="md-search-result__link"', shown)
    assert any("how-to/recipe.html" in link for link in found), found


def test_the_reference_has_every_public_name(site: Path) -> None:
    ids = loads(site / "reference" / "python.html").ids
    assert {f"raytl.{n}" for n in raytl.__all__ if not n.startswith("_")} <= ids
    assert {"raytl.recipes.base.Recipe", "raytl.errors.DataError"} <= ids


def test_the_reference_has_every_command_and_option(site: Path) -> None:
    text = (site / "reference" / "cli.html").read_text(encoding="utf-8")
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        assert f'id="raytl-{name}"' in text
        for option in (o for p in command.params for o in p.opts if o.startswith("--")):
            assert f"<code>{option}" in text, f"raytl {name} {option}"


def test_the_reference_has_every_key_and_recipe(site: Path) -> None:
    keys = (site / "reference" / "study.html").read_text(encoding="utf-8")
    for name in [*Study.model_fields, *TrialConfig.model_fields]:
        assert f"<td><code>{name}</code></td>" in keys
    names = (site / "reference" / "registries.html").read_text(encoding="utf-8")
    for name in RECIPES:
        assert f"<td><code>{name}</code></td>" in names


def test_links_out_of_the_docs_lead_to_pages_that_show_the_file(site: Path) -> None:
    page = (site / "operations.html").read_text(encoding="utf-8")
    assert 'href="repository/cluster.yaml.html"' in page
    shown = (site / "repository" / "cluster.yaml.html").read_text(encoding="utf-8")
    assert "cluster_name" in shown


def test_pictures_are_those_that_their_script_draws() -> None:
    import draw

    drawn = draw.pictures()
    stored = {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("figures/*.svg")}
    assert stored.keys() == drawn.keys()
    for name, svg in drawn.items():
        assert stored[name] == svg, f"docs/figures/{name}: run python docs/figures/draw.py"


def test_every_concept_has_a_picture(site: Path) -> None:
    for page in sorted((site / "concepts").glob("*.html")):
        text = page.read_text(encoding="utf-8")
        assert page.name == "index.html" or '<figure class="drawn"><svg' in text, page.name


def test_a_part_that_is_not_made_ends_the_build() -> None:
    import made

    with pytest.raises(KeyError, match="recipies"):
        made.part("recipies")


def test_comments_are_of_the_field_behind_or_below_them() -> None:
    import study_keys

    source = '''
class Some(Frozen):
    """Words."""

    plain: int = 1
    # above it
    below: int = 2
    behind: int = 3  # behind it,
    # and on
    next: int = 4  # its own
    last: Annotated[
        int, Field(gt=0)
    ] = 5
'''
    assert study_keys.comments(source) == {
        "plain": "", "below": "above it", "behind": "behind it, and on", "next": "its own",
        "last": "",
    }  # fmt: skip


def yaml_blocks() -> list[tuple[str, dict[str, object]]]:
    """Return the YAML blocks of all pages that are a study or a part of one."""
    found = []
    for page in sorted(DOCS.rglob("*.md")):
        for language, _, content in FENCE.findall(page.read_text(encoding="utf-8")):
            block = yaml.safe_load(content) if language == "yaml" else None
            if isinstance(block, dict) and block.keys() <= Study.model_fields.keys():
                found.append((f"{page.relative_to(DOCS)}: {', '.join(block)}", block))
    return found


@pytest.mark.parametrize(("place", "block"), yaml_blocks(), ids=lambda value: str(value)[:60])
def test_every_study_in_the_docs_holds(place: str, block: dict[str, object]) -> None:
    least = {
        "study": "page",
        "source_domain": {"dataset": "source"},
        "target_domain": {"dataset": "target"},
        "source_models": {"net": {"backbone": "lenet"}},
        "space": {"optimizer.lr": {"float": [0.001, 0.1]}},
    }
    Study.model_validate(block if "study" in block else least | block)


def test_a_page_that_others_add_comes_last_under_how_to(tmp_path: Path) -> None:
    import on_build
    from mkdocs.config.defaults import MkDocsConfig

    for name in ("index.md", "data.md", "serving.md"):
        (tmp_path / name).write_text("# A page\n")
    config = MkDocsConfig()
    config.docs_dir = str(tmp_path)
    config.nav = [{"Start": "index.md"}, {"How to": [{"Data": "data.md"}]}]
    found = on_build.on_config(config).nav
    assert found == [{"Start": "index.md"}, {"How to": [{"Data": "data.md"}, "serving.md"]}]
