"""Photos that a tag says to turn: whoever reads them sees what a viewer shows."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from importing import written
from PIL import Image, ImageOps
from upright import photo

from raytl.data.importers.decoding import decode, is_turned, upright, upright_size
from raytl.data.importers.pixels import pixels_of
from raytl.data.raw.pictures import image_rows
from raytl.data.raw.rows import RawReading
from raytl.data.shard import shard_options
from raytl.modalities.image.column import ImageColumn

SIDE = 32


def is_upright(pixels_HWC: np.ndarray) -> bool:
    return bool((pixels_HWC[:14] > 240).all() and (pixels_HWC[18:] < 15).all())


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "webp"])
def test_sharding_and_predicting_see_the_same(tmp_path: Path, kind: str) -> None:
    content = photo(kind, (SIDE, SIDE))
    file = written(tmp_path / f"a.{kind}", content)
    in_memory = Image.open(io.BytesIO(content))
    options = shard_options(size=SIDE)
    column = ImageColumn(shape=(SIDE, SIDE, 3), dtype="uint8")
    reading = RawReading({"image": column}, "image-folder", options)
    rows = image_rows(column, [file, ("b", content), ("c", in_memory)], reading)
    found = rows.reading.joined(rows.reading.read(rows.items))
    for pixels in (decode(file, SIDE, options), pixels_of(in_memory, "c"), *found):
        assert isinstance(pixels, np.ndarray) and is_upright(pixels)


def test_another_tag_that_is_odd_changes_nothing() -> None:
    # EXIF's Orientation, and XResolution as a text, which is to be a ratio
    entries = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack(
        ">HHI4s", 0x011A, 2, 4, b"abc"
    )
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + entries + bytes(4)
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4)).save(buffer, "jpeg", exif=exif)
    pixels = decode(("a", buffer.getvalue()), None, shard_options())
    assert isinstance(pixels, np.ndarray) and pixels.shape == (6, 4, 3)


@pytest.mark.parametrize("kind", ["jpeg", "tiff", "webp"])
@pytest.mark.parametrize("tag", range(10))
def test_the_size_is_that_of_the_turned_image(kind: str, tag: int) -> None:
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = tag
    given = Image.fromarray(np.arange(6 * 4 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3)
    given.save(buffer, kind, exif=exif)
    with Image.open(buffer) as opened:
        assert is_turned(opened) == (tag in range(2, 9))
        size = upright_size(opened)
        pixels = np.asarray(upright(opened))
    with Image.open(buffer) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    assert size == pixels.shape[:2] == expected.shape[:2]
    assert (pixels == expected).all()


def test_an_image_without_the_tag_is_left_as_it_is(tmp_path: Path) -> None:
    for tag in (1, 0, 9):
        with Image.open(io.BytesIO(photo(tag=tag))) as opened:
            assert upright(opened) is opened


def test_the_header_of_an_image_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: Image.Image) -> None:
        raise AssertionError("decoded")

    for kind in ("png", "jpeg", "webp", "bmp"):
        buffer = io.BytesIO()
        Image.new("RGB", (4, 4)).save(buffer, kind)
        with Image.open(buffer) as opened:
            monkeypatch.setattr(type(opened), "load", load)
            assert upright(opened).size == (4, 4)
