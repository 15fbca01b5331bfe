"""What the pictures are drawn with: SVG of boxes, arrows, dots and words, the same bytes each time.

Colours are the page's own where the picture stands in one, else light or dark as the reader has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

STYLE = """<style>
.raytl{--fg:var(--md-default-fg-color,#222);--line:#8a8f98;--soft:rgba(128,134,145,.16);
--source:#3f74d1;--target:#d07a22;--good:#2f9e5b;--bad:#cc4444;font-family:inherit,sans-serif}
@media (prefers-color-scheme:dark){.raytl{--fg:var(--md-default-fg-color,#ddd)}}
.raytl text{fill:var(--fg);font-size:13px}.raytl .small{font-size:11px}
.raytl .big{font-size:15px;font-weight:600}.raytl .line{stroke:var(--line);fill:none}
.raytl .soft{fill:var(--soft);stroke:var(--line)}.raytl .open{fill:none;stroke:var(--line)}
.raytl .source{fill:var(--source);stroke:var(--source)}
.raytl .target{fill:var(--target);stroke:var(--target)}
.raytl .good{fill:var(--good);stroke:var(--good)}.raytl .bad{fill:var(--bad);stroke:var(--bad)}
.raytl .faint{fill-opacity:.22}.raytl .ring{fill:none;stroke-width:2}
</style>"""


@dataclass
class Pen:
    """A picture of `width` × `height` units; `says` is read out to those who do not see it."""

    says: str
    height: int
    width: int = 720
    parts: list[str] = field(default_factory=list)

    def box(
        self, x: float, y: float, w: float, h: float, words: str = "", kind: str = "soft"
    ) -> None:
        """A box with words in its middle; `\\n` parts lines."""
        place = f'x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}"'
        self.parts.append(f'<rect class="{kind}" {place} rx="5"/>')
        lines = words.split("\n") if words else []
        for place, line in enumerate(lines):
            down = y + h / 2 + 4.5 + (place - (len(lines) - 1) / 2) * 16
            self.text(x + w / 2, down, line, middle=True)

    def text(self, x: float, y: float, words: str, *, middle: bool = False, kind: str = "") -> None:
        """Words from (x, y) on, or around it."""
        anchor = ' text-anchor="middle"' if middle else ""
        of = f' class="{kind}"' if kind else ""
        self.parts.append(f'<text{of} x="{_n(x)}" y="{_n(y)}"{anchor}>{escape(words)}</text>')

    def line(self, points: Sequence[tuple[float, float]], kind: str = "line") -> None:
        """A line through the points."""
        joined = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self.parts.append(f'<polyline class="{kind}" fill="none" points="{joined}"/>')

    def arrow(self, x: float, y: float, to_x: float, to_y: float, kind: str = "line") -> None:
        """A line with a head at its end; straight along an axis."""
        self.line([(x, y), (to_x, to_y)], kind)
        if abs(to_x - x) >= abs(to_y - y):
            back, side = (-6 if to_x > x else 6, 0), (0, 4)
        else:
            back, side = (0, -6 if to_y > y else 6), (4, 0)
        ends = [
            (to_x + back[0] + sign * side[0], to_y + back[1] + sign * side[1]) for sign in (1, -1)
        ]
        self.line([ends[0], (to_x, to_y), ends[1]], kind)

    def dot(self, x: float, y: float, radius: float = 4, kind: str = "source") -> None:
        """A dot."""
        self.parts.append(f'<circle class="{kind}" cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}"/>')

    def svg(self) -> str:
        """Return the picture."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="raytl" role="img" '
            f'viewBox="0 0 {self.width} {self.height}"><title>{escape(self.says)}</title>'
        )
        return "\n".join([head, STYLE, *self.parts, "</svg>"]) + "\n"


def _n(number: float) -> str:
    return f"{round(number, 1):g}"
