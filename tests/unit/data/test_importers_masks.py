"""`raytl shard mask-folder`: layouts, values, sizes, and files that are not so."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from upright import photo

from raytl.data.dataset import Dataset
from raytl.data.shard import ShardReport, shard, shard_options
from raytl.errors import ConfigError, DataError
from raytl.tasks.mask_column import VOID, MaskColumn


def save(path: Path, pixels: np.ndarray, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path)


def image(seed: int, size: tuple[int, int] = (4, 6)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (*size, 3)).astype(np.uint8)


def mask(seed: int, size: tuple[int, int] = (4, 6), values: tuple[int, ...] = (0, 1, 2)) -> Any:
    return np.random.default_rng(seed).choice(values, size).astype(np.uint8)


def folders(root: Path, rows: int = 5, **more: Any) -> Path:
    for row in range(rows):
        save(root / "images" / f"{row}.png", image(row))
        save(root / "masks" / f"{row}.png", mask(row, **more))
    return root


def made(source: Path, out: Path, **options: Any) -> tuple[Dataset, ShardReport]:
    report = shard("mask-folder", str(source), out, options=shard_options(**options))
    return Dataset.open(out), report


def column(dataset: Dataset) -> MaskColumn:
    found = dataset.columns["mask"]
    assert isinstance(found, MaskColumn)
    return found


def stored(dataset: Dataset, split: str = "train") -> dict[int, tuple[np.ndarray, np.ndarray]]:
    part = dataset.split(split)
    rows = np.arange(part.rows)
    return {
        int(i): (part.read("image", rows)[n], part.read("mask", rows)[n])
        for n, i in enumerate(part.ids())
    }


def test_images_stay_beside_their_masks(tmp_path: Path) -> None:
    dataset, _ = made(folders(tmp_path / "in"), tmp_path / "out")
    assert column(dataset) == MaskColumn(shape=(4, 6), classes=("0", "1", "2"))
    for row, (pixels, classes) in stored(dataset).items():
        assert np.array_equal(pixels, image(row)) and np.array_equal(classes, mask(row))
    dataset.verify()


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("{split}", "{split}_masks"), ("{split}", "{split}_labels"),
        ("{split}/image", "{split}/label"), ("{split}/images", "{split}/masks"),
        ("images/{split}", "annotations/{split}"), ("{split}/Images", "{split}/MASKS"),
    ],
)  # fmt: skip
def test_splits_are_found_in_every_layout(tmp_path: Path, images: str, masks: str) -> None:
    for split, rows in (("train", 4), ("val", 2)):
        for row in range(rows):
            save(tmp_path / "in" / images.format(split=split) / f"{row}.jpg", image(row))
            save(tmp_path / "in" / masks.format(split=split) / f"{row}.png", mask(row))
    dataset, _ = made(tmp_path / "in", tmp_path / "out")
    assert {name: info.rows for name, info in dataset.info.splits.items()} == {"train": 4, "val": 2}


def test_the_value_of_void_pixels_is_told(tmp_path: Path) -> None:
    dataset, _ = made(folders(tmp_path / "in", values=(0, 1, 7)), tmp_path / "out", void=7)
    assert column(dataset).classes == ("0", "1")
    for row, (_, classes) in stored(dataset).items():
        assert np.array_equal(classes == VOID, mask(row, values=(0, 1, 7)) == 7)


def test_black_and_white_are_background_and_foreground(tmp_path: Path) -> None:
    dataset, _ = made(folders(tmp_path / "in", values=(0, 255)), tmp_path / "out")
    assert column(dataset).classes == ("background", "foreground")
    assert np.array_equal(stored(dataset)[0][1], mask(0, values=(0, 255)) // 255)


def test_classes_are_named_and_may_be_more_than_there_are(tmp_path: Path) -> None:
    dataset, _ = made(folders(tmp_path / "in"), tmp_path / "out", classes="sky,road,car,bus")
    assert column(dataset).classes == ("sky", "road", "car", "bus")


def test_palettes_and_bits_are_numbers(tmp_path: Path) -> None:
    for row in range(3):
        save(tmp_path / "in/images" / f"{row}.png", image(row))
        picture = Image.fromarray(mask(row), mode="P")
        picture.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
        (tmp_path / "in/masks").mkdir(exist_ok=True)
        picture.save(tmp_path / "in/masks" / f"{row}.png")
    dataset, _ = made(tmp_path / "in", tmp_path / "out")
    assert np.array_equal(stored(dataset)[1][1], mask(1))


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_masks_are_fitted_as_their_images(tmp_path: Path, fit: str) -> None:
    side = np.zeros((4, 8), np.uint8)
    side[:, 4:] = 1
    for row in range(2):
        save(tmp_path / "in/images" / f"{row}.png", np.repeat(255 * side[..., None], 3, axis=2))
        save(tmp_path / "in/masks" / f"{row}.png", side)
    dataset, _ = made(tmp_path / "in", tmp_path / "out", size=8, fit=fit)
    pixels, classes = stored(dataset)[0]
    assert classes.shape == (8, 8)
    known = classes != VOID
    assert known.mean() == (0.5 if fit == "pad" else 1.0)
    sure = known & ((pixels[..., 0] < 40) | (pixels[..., 0] > 215))
    assert np.array_equal(classes[sure], (pixels[..., 0] > 127)[sure])


def test_test_rows_are_cut_off(tmp_path: Path) -> None:
    dataset, _ = made(folders(tmp_path / "in", rows=10), tmp_path / "out", test=0.3)
    assert {name: info.rows for name, info in dataset.info.splits.items()} == {
        "train": 7,
        "test": 3,
    }


def test_images_without_a_mask_are_kept_where_that_is_said(tmp_path: Path) -> None:
    source = folders(tmp_path / "in")
    save(source / "images" / "bare.png", image(9))
    with pytest.raises(
        DataError, match=r"bare.png: no mask of this name in .*masks \(1 such\); ad"
    ):
        made(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    dataset, _ = made(source, tmp_path / "out", unlabelled=True)
    assert column(dataset).nulls
    assert sum((classes == VOID).all() for _, classes in stored(dataset).values()) == 1


def test_images_that_have_no_mask_at_all_are_refused(tmp_path: Path) -> None:
    source = folders(tmp_path / "in")
    for path in (source / "masks").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="in: no image with a mask; give SOURCE/images and SOURCE"):
        made(source, tmp_path / "out", unlabelled=True)


def test_a_split_without_masks_is_left_out_and_told(tmp_path: Path) -> None:
    for row in range(3):
        save(tmp_path / "in/train/image" / f"{row}.png", image(row))
        save(tmp_path / "in/train/label" / f"{row}.png", mask(row))
        save(tmp_path / "in/test" / f"{row}.png", image(row))
    dataset, report = made(tmp_path / "in", tmp_path / "out")
    assert list(dataset.info.splits) == ["train"]
    assert report.skipped == [f"{tmp_path}/in/test: no folder of masks beside it"]


def test_a_mask_of_another_size_than_its_image(tmp_path: Path) -> None:
    source = folders(tmp_path / "in")
    save(source / "masks" / "2.png", mask(2, size=(3, 6)))
    with pytest.raises(DataError, match="2.png: a mask of 6 x 3 pixels for an image of 6 x 4; me"):
        made(source, tmp_path / "out")
    dataset, report = made(source, tmp_path / "out", skip_bad=True)
    assert dataset.split("train").rows == 4 and len(report.skipped) == 1


@pytest.mark.parametrize("mode", ["RGB", "I;16", "RGBA"])
def test_a_mask_that_has_no_class_numbers(tmp_path: Path, mode: str) -> None:
    source = folders(tmp_path / "in")
    if mode == "I;16":
        Image.fromarray(mask(0).astype(np.uint16)).save(source / "masks" / "0.png")
    else:
        save(source / "masks" / "0.png", mask(0), mode)
    with pytest.raises(DataError, match=f"0.png: a mask has one number a pixel, .* mode is {mode}"):
        made(source, tmp_path / "out")


@pytest.mark.parametrize("which", ["images", "masks"])
def test_a_file_that_does_not_decode(tmp_path: Path, which: str) -> None:
    source = folders(tmp_path / "in")
    (source / which / "3.png").write_bytes(b"\x89PNG no picture")
    with pytest.raises(DataError, match="3.png: does not decode"):
        made(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    dataset, _ = made(source, tmp_path / "out", skip_bad=True)
    assert dataset.split("train").rows == 4


def test_images_of_several_sizes_need_one(tmp_path: Path) -> None:
    source = folders(tmp_path / "in")
    save(source / "images" / "big.png", image(9, (8, 8)))
    save(source / "masks" / "big.png", mask(9, (8, 8)))
    with pytest.raises(
        ConfigError, match=r"images are of 2 sizes \(6 x 4, 8 x 8, …\); give --size"
    ):
        made(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("values", "options", "text"),
    [
        ((0, 1, 9), {"classes": "a,b"}, "they have the values 0, 1, 9 for 2 classes"),
        ((0,), {}, "they have the values 0 for 1 classes"),
        ((0, 5), {"void": 5}, "they have the values 0, 5 for 1 classes"),
        ((0, 128, 255), {}, "the values 0, 128, 255, which as class numbers would be 129 classes"),
    ],
)
def test_values_that_are_no_classes(
    tmp_path: Path, values: tuple[int, ...], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(DataError, match=text):
        made(folders(tmp_path / "in", values=values), tmp_path / "out", **options)


def test_what_was_decided_of_values_is_told(tmp_path: Path) -> None:
    _, report = made(folders(tmp_path / "in", values=(0, 2, 4, 255)), tmp_path / "out")
    assert report.notes[:2] == [
        "classes that are in no mask: 1, 3",
        "pixels of 255 have no class; --void says which value has none",
    ]
    _, report = made(tmp_path / "in", tmp_path / "again", classes="a,b,c,d,e", void=255)
    assert not any("class" in note for note in report.notes)


def test_masks_in_a_format_that_changes_numbers_are_refused(tmp_path: Path) -> None:
    source = folders(tmp_path / "in", values=(0, 255))
    for row in range(5):
        (source / "masks" / f"{row}.png").unlink()
        save(source / "masks" / f"{row}.jpg", mask(row, values=(0, 255)))
    with pytest.raises(DataError, match="0.jpg: a mask must keep its pixels' numbers, and JPEG"):
        made(source, tmp_path / "out")
    with pytest.raises(DataError, match="none of the images has a mask that can be read: .*JPEG"):
        made(source, tmp_path / "out", skip_bad=True)


def test_masks_of_no_type_that_is_read_are_named(tmp_path: Path) -> None:
    source = folders(tmp_path / "in")
    (source / "masks" / "2.png").rename(source / "masks" / "2.gif")
    with pytest.raises(DataError, match=r"2\.png: no mask .*: 2\.gif is of no type that is read"):
        made(source, tmp_path / "out")


def test_boxes_of_yolo_are_no_masks(tmp_path: Path) -> None:
    save(tmp_path / "in" / "images" / "0.png", image(0))
    (tmp_path / "in" / "labels").mkdir()
    (tmp_path / "in" / "labels" / "0.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(DataError, match="has boxes as YOLO writes them"):
        made(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize("ending", ["_mask", ".seg"])
def test_masks_may_all_end_in_one_word_more(tmp_path: Path, ending: str) -> None:
    source = folders(tmp_path / "in")
    before = stored(made(source, tmp_path / "before")[0])
    for path in (source / "masks").iterdir():
        path.rename(path.with_name(f"{path.stem}{ending}{path.suffix}"))
    dataset, report = made(source, tmp_path / "d")
    assert not report.skipped
    for id_, rows in stored(dataset).items():
        for array, other in zip(rows, before[id_], strict=True):
            np.testing.assert_array_equal(array, other)


def test_two_files_of_one_name(tmp_path: Path) -> None:
    source = folders(tmp_path / "in")
    save(source / "images" / "1.jpg", image(1))
    with pytest.raises(DataError, match="two files are called 1, the other is 1.jpg; remove one"):
        made(source, tmp_path / "out")


def test_masks_alone_and_other_files_are_told(tmp_path: Path) -> None:
    source = folders(tmp_path / "in")
    save(source / "masks" / "lonely.png", mask(1))
    (source / "images" / "notes.txt").write_text("x")
    _, report = made(source, tmp_path / "out")
    assert sorted(text.partition(": ")[2] for text in report.skipped) == [
        ".txt is no image type", "a mask without an image",
    ]  # fmt: skip


@pytest.mark.parametrize("what", ["nothing there", "no pairs", "no folder"])
def test_no_folders_of_pairs(tmp_path: Path, what: str) -> None:
    source = tmp_path / "in"
    if what != "no folder":
        source.mkdir()
    if what == "no pairs":
        save(source / "train" / "1.png", image(1))
    with pytest.raises(DataError, match="give SOURCE/images and SOURCE/masks, SOURCE/SPLIT and S"):
        made(source, tmp_path / "out")


def test_a_stored_mask_beyond_the_classes_is_found(tmp_path: Path) -> None:
    wrong = MaskColumn(shape=(2, 2), classes=("a", "b"))
    values = np.array([[[0, 1], [1, VOID]], [[0, 3], [0, 0]]], np.uint8)
    with pytest.raises(ValueError, match=r"row 1 has 3 at \(1, 0\)"):
        wrong.check(values)
    with pytest.raises(ValueError, match="row 1 has 3"):
        wrong.verify(wrong.to_arrow(values))
    with pytest.raises(ValueError, match="row 0 has no pixel with a class"):
        wrong.check(np.full((1, 2, 2), VOID, np.uint8))


def test_images_and_masks_are_read_upright(tmp_path: Path) -> None:
    white = np.zeros((4, 6), np.uint8)
    white[:2] = 1
    for row, (of_image, of_mask) in enumerate([(6, 6), (6, 1), (1, 6), (1, 1)]):
        for folder, tag in (("images", of_image), ("masks", of_mask)):
            (tmp_path / "in" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "in" / folder / f"{row}.png").write_bytes(photo(tag=tag))
        file = tmp_path / "in" / "masks" / f"{row}.png"
        exif = Image.Exif()
        exif[0x0112] = of_mask
        Image.fromarray(np.rot90(white) if of_mask == 6 else white).save(file, exif=exif)
    dataset, report = made(tmp_path / "in", tmp_path / "out")
    assert report.skipped == [] and column(dataset).shape == (4, 6)
    for pixels, classes in stored(dataset).values():
        assert np.array_equal(classes, white)
        assert np.array_equal(pixels[..., 0], 255 * white)


def test_a_box_in_a_frame_needs_the_frames_size(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--box 3 is a square in a frame of --size.*give both"):
        made(folders(tmp_path / "in"), tmp_path / "out", box=3)


def test_a_mask_without_a_pixel_of_a_class_is_named_or_skipped(tmp_path: Path) -> None:
    source = folders(tmp_path / "in")
    save(source / "masks" / "2.png", np.full((4, 6), VOID, np.uint8))
    told = r"2\.png: has no pixel with a class; mend or remove it, or give --skip-bad"
    with pytest.raises(DataError, match=told):
        made(source, tmp_path / "out")
    dataset, report = made(source, tmp_path / "out", skip_bad=True)
    assert len(stored(dataset)) == 4
    assert report.skipped == [f"{source / 'masks' / '2.png'}: has no pixel with a class"]
    whole, _ = made(source, tmp_path / "all", unlabelled=True)
    assert len(stored(whole)) == 5


def test_a_mask_whose_classes_are_all_cropped_away_is_skipped_likewise(tmp_path: Path) -> None:
    source = folders(tmp_path / "in", size=(4, 6))
    only = np.full((4, 6), VOID, np.uint8)
    only[:, 0] = 1
    save(source / "masks" / "2.png", only)
    dataset, report = made(source, tmp_path / "out", size=4, fit="crop", skip_bad=True)
    assert len(stored(dataset)) == 4 and len(report.skipped) == 1
