"""Digits rendered from fonts: a labelled source domain made on the spot.

The fonts are those that matplotlib brings along, or a folder of one's own.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from raytl.data.importers.base import CHUNK, Imported, ShardOptions, fitted
from raytl.data.stored import Chunk
from raytl.errors import DataError
from raytl.folders import printable
from raytl.modalities.image.column import ImageColumn
from raytl.seeds import seed_for
from raytl.tasks.columns import LabelColumn

DEFAULT_ROWS = 8000
TEST_SHARE = 0.2
SIDE = 28
# matplotlib's fonts with plain digits; its others hold symbols or oversized brackets.
BUNDLED = (
    "DejaVuSans",
    "DejaVuSerif",
    "DejaVuSansMono",
    "STIXGeneral",
    "cmr10",
    "cmss10",
    "cmtt10",
    "cmb10",
)


def read_rendered_digits(source: str | None, options: ShardOptions) -> Imported:
    """Render light digits on black, in random font, size, place, rotation, shear, stroke and blur.

    `source`: a folder of .ttf or .otf files. `--rows` images in all, a fifth of them test. Digits
    come in an order drawn at random. Raises DataError for a folder without fonts or a broken one.
    """
    fonts = _fonts(source)
    rows = options.rows or DEFAULT_ROWS
    counts = {"train": rows - round(rows * TEST_SHARE), "test": round(rows * TEST_SHARE)}
    splits = {name: _chunks(name, count, fonts, options) for name, count in counts.items()}
    side = options.size or SIDE
    columns = {
        "image": ImageColumn(shape=(side, side, 1), dtype="uint8"),
        "label": LabelColumn(classes=tuple(str(k) for k in range(10))),
    }
    return Imported(columns, splits, rows)


def _chunks(name: str, count: int, fonts: list[str], options: ShardOptions) -> Iterator[Chunk]:
    generator = np.random.default_rng(seed_for(options.seed, "rendered digits", name))
    labels = generator.permutation(np.arange(count) % 10)
    for start in range(0, count, CHUNK):
        part = labels[start : start + CHUNK]
        images = np.stack([_render(int(label), fonts, generator) for label in part])
        values = {"image": fitted(images[..., None], options), "label": part}
        yield Chunk(values, np.arange(start, start + len(part)))


def _fonts(source: str | None) -> list[str]:
    if source is None:
        import matplotlib

        folder = Path(matplotlib.get_data_path()) / "fonts/ttf"
        found = [p for p in sorted(folder.glob("*.ttf")) if _is_bundled_text_font(p)]
    else:
        found = sorted(p for p in Path(source).glob("*") if p.suffix.lower() in (".ttf", ".otf"))
    if not found:
        raise DataError(f"{source}: no .ttf or .otf file in this folder")
    for path in found:
        _check(path)
    return [str(path) for path in found]


def _check(path: Path) -> None:
    try:
        _font(str(path), 40).getbbox("0123456789")
    except (OSError, ValueError) as error:
        raise DataError(f"{printable(path)}: not a font that can be read: {error}") from None


def _is_bundled_text_font(path: Path) -> bool:
    family = path.stem.split("-")[0]
    return family in BUNDLED or (family.startswith("STIXGeneral") and "Regular" not in family)


@lru_cache(maxsize=512)
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def _render(digit: int, fonts: list[str], generator: np.random.Generator) -> np.ndarray:
    """Return one (28, 28) uint8 image."""
    font = _font(fonts[generator.integers(len(fonts))], int(generator.integers(40, 58)))
    canvas = Image.new("L", (2 * SIDE, 2 * SIDE))
    ImageDraw.Draw(canvas).text(
        (SIDE, SIDE), str(digit), fill=255, font=font, anchor="mm",
        stroke_width=int(generator.integers(0, 3)),
    )  # fmt: skip
    angle, shear = np.deg2rad(generator.uniform(-15, 15)), generator.uniform(-0.3, 0.3)
    wide, high = generator.uniform(0.85, 1.25, size=2)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.array([[wide, shear], [0, high]])
    shift = SIDE - matrix @ np.array([SIDE, SIDE]) + generator.uniform(-5, 5, size=2)
    coefficients = (*matrix[0], shift[0], *matrix[1], shift[1])
    canvas = canvas.transform(
        canvas.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    canvas = canvas.filter(ImageFilter.GaussianBlur(generator.uniform(0.3, 1.6)))
    pixels = np.asarray(canvas.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
    noise = generator.normal(0, generator.uniform(0, 12), size=pixels.shape)
    return (pixels * generator.uniform(0.7, 1.1) + noise).round().clip(0, 255).astype(np.uint8)
