"""Folders of images, sounds and texts by class, or named by a pattern."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from raytl.data.importers.class_folders import Found, class_folders, folders_in
from raytl.data.importers.decoding import unwarned, upright_size
from raytl.data.importers.image_folder import EXTENSIONS as IMAGES
from raytl.data.importers.labelled_files import partly_labelled, split_folders
from raytl.data.importers.mask_pairs import IMAGES as IMAGE_FOLDERS
from raytl.data.importers.name_patterns import files_by_pattern
from raytl.data.importers.sounds import EXTENSIONS as SOUNDS
from raytl.data.importers.text_lines import EXTENSIONS as TEXTS
from raytl.data.importers.voc_boxes import IMAGES as BOXED
from raytl.data.split_names import parts_of
from raytl.errors import ConfigError, DataError
from raytl.folders import printable
from raytl.starting.raw import Raw, Wanted

LOOKED_AT = 2000  # files by whose names it is told what a folder holds
SIZED_BY = 40  # images by which the stored size is chosen
MOST_SIDE = 224  # pixels of stored images of classes, those that source models of images know best
DENSE = {name.lower() for name in (*IMAGE_FOLDERS, *BOXED)}  # of images, beside what goes with them
MEDIA = {
    "image-folder": (IMAGES, "image"),
    "audio-folder": (SOUNDS, "sound"),
    "text-lines": (TEXTS, "text"),
}
UNLABELLED = ("image-folder", "audio-folder")  # kinds whose files may have no class


def below(root: Path) -> Iterator[Path]:
    """Yield files of a folder and the folders in it, the first LOOKED_AT."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
    yield from islice(files, LOOKED_AT)


def classes_of_media(
    root: Path, files: list[Path], folders: list[Path], wanted: Wanted
) -> Raw | None:
    """Return a folder a class, of the kind of files that most are; None where there are no folders
    of such. Raises DataError where they are no two classes, or no splits but domains."""
    kinds = Counter(path.suffix.lower() for path in below(root))
    every = sum(kinds.values())
    counts = {kind: sum(kinds[s] for s in suffixes) for kind, (suffixes, _) in MEDIA.items()}
    kind = max(counts, key=lambda name: counts[name])
    if counts[kind] <= every / 2:  # of something else
        return None
    suffixes, what = MEDIA[kind]
    if wanted.unlabelled and kind in UNLABELLED and _lack_classes(root, folders):
        return _without_classes(root, kind)
    if not folders:
        if kind == "text-lines":
            return None  # files of lines, maybe
        raise DataError(
            f"{printable(root)}: {counts[kind]} {what}s in no class folder, so that nothing says "
            "what they are of; put those of each class, two or more, into a folder of its own, or "
            "name the files in a table (raytl shard table --help)"
        )
    found = class_folders(root, suffixes, what, [])
    _refuse_dense(root, found, what)
    _check_rows(root, found, what)
    parts = parts_of(found.splits)
    if parts.train is None:
        names = ", ".join(list(found.splits)[:5])
        raise DataError(
            f"{printable(root)}: its folders {names} have class folders in them, and none is "
            "called train; where they are domains give one of them, and with --source another"
        )
    options: dict[str, Any] = {}
    if kind != "text-lines":
        options["skip_bad"] = True
    if kind == "image-folder":
        options["size"] = stored_side([item.path for of in found.splits.values() for item in of])
    rows = sum(len(of) for of in found.splits.values())
    told = f"a folder a class, {rows:,} {what}s of {len(found.classes)} classes"
    return Raw(kind, str(root), options, told).with_test_of(found.splits)


def _lack_classes(root: Path, folders: list[Path]) -> bool:
    """Whether files stand in no class folder: there is none, or a split's folder has none."""
    if not folders:
        return True
    return not all(map(folders_in, split_folders(root).values()))


def _without_classes(root: Path, kind: str) -> Raw:
    """Return files that have no class, of a target that is adapted to."""
    suffixes, what = MEDIA[kind]
    splits, _ = partly_labelled(root, (), suffixes, what, [])
    options: dict[str, Any] = {"unlabelled": True, "skip_bad": True}
    if kind == "image-folder":
        options["size"] = stored_side([item.path for of in splits.values() for item in of])
    rows = sum(map(len, splits.values()))
    return Raw(kind, str(root), options, f"{rows:,} {what}s without a class").with_test_of(splits)


def _refuse_dense(root: Path, found: Found, what: str) -> None:
    """Raise DataError where a class is called images: the other folders go with them, then."""
    named = next((name for name in found.classes if name.lower() in DENSE), None)
    if what == "image" and named is not None:
        others = ", ".join(name for name in found.classes if name != named)
        raise DataError(
            f"{printable(root)}: a folder is called {named}, as of images that others go with, and "
            f"what is in {others} is not known; call them masks, or annotations (boxes)"
        )


def _check_rows(root: Path, found: Found, what: str) -> None:
    parts = parts_of(found.splits)
    if parts.train is None:
        return
    uses = ["to learn from", *(f"to {use}" for use, of in (
        ("be selected by", parts.validation), ("test on", parts.test)
    ) if of is None)]  # fmt: skip
    counts = Counter(item.label for item in found.splits[parts.train])
    few = next((n for k, n in enumerate(found.classes) if counts[k] < len(uses)), None)
    if few is not None:
        raise DataError(
            f"{printable(root)}: a class needs {len(uses)} {what}s at least, one "
            f"{', one '.join(uses)}, but '{few}' has {counts[found.classes.index(few)]}; add some, "
            "or remove its folder"
        )


def stored_side(paths: list[Any]) -> int:
    """Return the side, in pixels, at which images are stored: their own, at most MOST_SIDE."""
    sides = [max(size) for size in sizes_of(paths)]
    if not sides:
        return MOST_SIDE
    return max(8, min(MOST_SIDE, sorted(sides)[len(sides) // 2]))


def sizes_of(paths: list[Any]) -> list[tuple[int, int]]:
    """Return the sizes, (W, H), of some of the images, of those that can be opened."""
    found = []
    for path in paths[:: max(1, len(paths) // SIZED_BY)]:
        try:
            with unwarned(), Image.open(path) as image:
                height, width = upright_size(image)
                found.append((width, height))
        except Exception:  # Pillow's decoders raise whatever the bytes provoke; the importer tells
            continue
    return found


def named_sounds(root: Path, files: list[Path], folders: list[Path], wanted: Wanted) -> Raw | None:
    """Return sounds whose names say their class, by `--pattern`, or by the one part of their names
    that can be a class, if they have to have one. Raises ConfigError where several can."""
    sounds = [file for file in files if file.suffix.lower() in SOUNDS]
    if wanted.pattern is None:
        few = len(sounds) < 2 or len(sounds) < len(files) / 2
        if few or wanted.unlabelled:
            return None
    pattern = wanted.pattern or _pattern(root, sounds)
    what = f"{len(sounds)} sounds whose names are {pattern}"
    options = {"pattern": pattern, "skip_bad": True}
    raw = Raw("audio-folder", str(root), options, what)
    if wanted.pattern is None:
        return raw.with_test_of(["train"])
    named = files_by_pattern(root, pattern, True, [])
    splits = {one.words.get("split", "train") for one in named}
    groups = {one.words["group"] for one in named if "group" in one.words}
    return raw.with_test_of(splits, len(groups) or None)


def _pattern(root: Path, sounds: list[Path]) -> str:
    mark = "_" if "_" in sounds[0].stem else "-"
    names = [sound.stem.split(mark) for sound in sounds]
    most = max(len(parts) for parts in names)
    if most < 2 or any(len(parts) != most for parts in names):
        raise ConfigError(
            f"{printable(root)}: {len(sounds)} sounds in no class folder, and their names have not "
            f"one form, such as {sounds[0].name}; put each class into a folder of its own, or give "
            "--pattern, e.g. '{label}_{group}_{take}.wav'"
        )
    columns = [sorted({parts[k] for parts in names}) for k in range(most)]
    able = [k for k, of in enumerate(columns) if 1 < len(of) <= len(sounds) / 4]
    suffix = sounds[0].suffix
    if len(able) == 1:
        fields = ["label" if k == able[0] else f"part{k + 1}" for k in range(most)]
        return mark.join(f"{{{field}}}" for field in fields) + suffix
    told = "; ".join(
        f"part {k + 1}: {len(of)} different, such as {', '.join(of[:3])}"
        for k, of in enumerate(columns)
    )
    fields = [f"part{k + 1}" for k in range(most)]
    for k, field in zip(able, ("label", "group", "take"), strict=False):
        fields[k] = field
    example = mark.join(f"{{{field}}}" for field in fields) + suffix
    raise ConfigError(
        f"{printable(root)}: which part of the {len(sounds)} sounds' names is the class cannot be "
        f"told ({told}); say it, and what stays together (a speaker, say), with --pattern "
        f"'{example}'"
    )
