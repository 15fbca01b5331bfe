"""What mkdocs does beyond rendering the pages: made parts, pictures, links out of docs/.

- `<!-- made: NAME -->` becomes what the package itself says of NAME (made.py).
- An image that is an SVG of docs/figures is put into the page, so that it takes the page's colours.
- A link out of docs/, as to ../cluster.yaml, leads to a page that shows the file.
- A page in docs/ itself that the navigation does not name comes last under "How to".
"""

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import made  # noqa: E402

MADE = re.compile(r"^<!-- made: (.+?) -->$", re.MULTILINE)
PICTURE = re.compile(r'<p><img alt="([^"]*)" src="([^"]*figures/([\w-]+)\.svg)" ?/?></p>')
LINK = re.compile(r"(?<=\]\()(\.\./[^)#\s]+)(?=[)#])")
SHOWN = "repository"  # the folder of the pages that show files of the repository


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name the pages of docs/ that others have added."""
    assert config.nav is not None
    named = set(_pages(config.nav))
    section = next(part["How to"] for part in config.nav if "How to" in part)
    found = sorted(path.name for path in Path(config.docs_dir).glob("*.md"))
    section += [name for name in found if name not in named]
    return config


def _pages(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [page for part in parts for page in _pages(part)]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file of the repository that a page links to."""
    linked = {
        target
        for file in files.documentation_pages()
        for link in LINK.findall(file.content_string)
        if (target := _outside(link, file.src_uri)) is not None
    }
    for target in sorted(linked):
        kind = Path(target).suffix.removeprefix(".") or "text"
        text = (ROOT / target).read_text(encoding="utf-8")
        shown = f"# {target}\n\n~~~~{kind}\n{text}~~~~\n"
        files.append(File.generated(config, f"{SHOWN}/{target}.md", content=shown))
    return files


def _outside(link: str, page: str) -> str | None:
    """Return the path in the repository of what a page links to, where that is a file that does
    not stand in docs/."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))
    return None if path.startswith("docs/") or not (ROOT / path).is_file() else path


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in what is made, and lead links out of docs/ to the pages that show files."""

    def shown(link: re.Match[str]) -> str:
        target = _outside(link[1], page.file.src_uri)
        if target is None:
            return link[1]
        return posixpath.relpath(f"{SHOWN}/{target}.md", posixpath.dirname(page.file.src_uri))

    return LINK.sub(shown, MADE.sub(lambda marker: made.part(marker[1]), markdown))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put pictures into the page itself."""

    def drawn(image: re.Match[str]) -> str:
        svg = (Path(config.docs_dir) / "figures" / f"{image[3]}.svg").read_text(encoding="utf-8")
        return f'<figure class="drawn">{svg}</figure>'

    return PICTURE.sub(drawn, html)
