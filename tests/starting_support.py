"""Raw data of each kind, small and made on the spot."""

import wave
from pathlib import Path

import numpy as np
from PIL import Image

ANNOTATION = """<annotation>
<size><width>{side}</width><height>{side}</height><depth>3</depth></size>
<object><name>{name}</name><bndbox><xmin>{low}</xmin><ymin>{low}</ymin>
<xmax>{high}</xmax><ymax>{high}</ymax></bndbox></object></annotation>"""


def pictures(root: Path, classes: tuple[str, ...] = ("cats", "dogs"), count: int = 12) -> Path:
    """Write a folder of PNGs for each class: stripes across or along, noisy."""
    generator = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for row in range(count):
            pixels = generator.integers(0, 60, (16, 16, 3), dtype=np.uint8)
            pixels[
                (slice(None, None, 2),) if number % 2 else (slice(None), slice(None, None, 2))
            ] += 150
            Image.fromarray(pixels).save(root / name / f"{row}.png")
    return root


def sound(path: Path, pitch: float, samples: int = 1600) -> None:
    """Write a tone of 0.2 s at 8 kHz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = np.sin(np.arange(samples) * pitch) * 20_000
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(tone.astype("<i2").tobytes())


def sounds_by_class(root: Path) -> Path:
    """Write twelve tones for each of two classes, a folder each."""
    for row in range(12):
        sound(root / "low" / f"{row}.wav", 0.1 + 0.002 * row)
        sound(root / "high" / f"{row}.wav", 0.9 + 0.002 * row)
    return root


def table(path: Path, rows: int = 60, header: str | None = "age,job,target") -> Path:
    """Write a CSV file of a number, a category and two classes."""
    generator = np.random.default_rng(0)
    lines = [] if header is None else [header]
    for row in range(rows):
        age = 20 + row % 40 + generator.random()
        lines.append(f"{age:.2f},{('cook', 'smith')[row % 2]},{('no', 'yes')[row % 4 < 2]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def lines_of_text(path: Path, rows: int = 40) -> Path:
    """Write lines of a sentence, a tab and a label."""
    words = (("good", "fine"), ("bad", "poor"))
    lines = [f"a {words[row % 2][row % 3 % 2]} film no {row}\t{1 - row % 2}" for row in range(rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def language_pairs(root: Path) -> Path:
    """Write train and test of English and German, line by line."""
    root.mkdir(parents=True)
    for split, count in (("train", 40), ("test", 12)):
        for language, (noun, verb) in {"en": ("dog", "runs"), "de": ("Hund", "rennt")}.items():
            text = "".join(f"{noun} {row % 7} {verb}\n" for row in range(count))
            (root / f"{split}.{language}").write_text(text, encoding="utf-8")
    return root


def series_files(root: Path) -> Path:
    """Write .ts files of train and test: two channels, rising or falling."""
    root.mkdir(parents=True)
    head = "@problemName t\n@univariate false\n@dimensions 2\n@classLabel true up down\n@data\n"
    for split, count in (("TRAIN", 24), ("TEST", 12)):
        rows = []
        for row in range(count):
            steps = [step * (1 if row % 2 else -1) + 0.1 * row for step in range(12)]
            one = ",".join(f"{step:.2f}" for step in steps)
            rows.append(f"{one}:{one}:{('down', 'up')[row % 2]}")
        (root / f"M_{split}.ts").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    return root


def images_with_masks(root: Path) -> Path:
    """Write images of 32 pixels a side and masks of 0 and 255 beside them."""
    generator = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for row in range(20):
        mask = np.zeros((32, 32), np.uint8)
        mask[: 4 + row, 8:24] = 255
        image = np.repeat(mask[..., None] // 2, 3, 2) + generator.integers(
            0, 40, (32, 32, 3), dtype=np.uint8
        )
        Image.fromarray(image).save(root / "images" / f"{row}.png")
        Image.fromarray(mask).save(root / "masks" / f"{row}.png")
    return root


def images_with_boxes(root: Path, side: int = 64) -> Path:
    """Write images and an XML file each, as Pascal VOC has them."""
    generator = np.random.default_rng(0)
    for folder in ("JPEGImages", "Annotations"):
        (root / folder).mkdir(parents=True)
    for row in range(20):
        image = generator.integers(0, 60, (side, side, 3), dtype=np.uint8)
        low, high = 10 + row % 4, 40 + row % 5
        image[low:high, low:high] += 120
        Image.fromarray(image).save(root / "JPEGImages" / f"{row}.jpg")
        text = ANNOTATION.format(side=side, name=("cell", "clot")[row % 2], low=low, high=high)
        (root / "Annotations" / f"{row}.xml").write_text(text, encoding="utf-8")
    return root


def image_arrays(path: Path) -> Path:
    """Write arrays of 8 × 8 images, train and test, with labels."""
    generator = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 40), ("test", 20)):
        arrays[f"x_{split}"] = generator.integers(0, 255, (count, 8, 8), dtype=np.uint8)
        arrays[f"y_{split}"] = np.arange(count) % 2
    np.savez(path, **arrays)
    return path
