"""What raw data are: which kind of `raytl shard` reads them, with which options."""

from pathlib import Path

from raytl.data.importers.listing import is_hidden
from raytl.errors import DataError
from raytl.folders import printable
from raytl.starting.annotated_folders import box_folder, mask_folder, no_yolo
from raytl.starting.array_files import array_file
from raytl.starting.media_folders import classes_of_media, named_sounds
from raytl.starting.raw import Raw, Wanted
from raytl.starting.saved_datasets import saved_datasets
from raytl.starting.table_files import (
    TABLES,
    table_file,
    table_folder,
    table_of_files,
    table_of_text,
)
from raytl.starting.table_pieces import is_piece
from raytl.starting.text_files import class_files, text_file, text_pairs

KNOWN = (
    "a folder of classes (CLASS/file or SPLIT/CLASS/file) of images, sounds (.wav) or texts "
    "(.txt); images with masks or with boxes; a table (.csv, .tsv, .parquet, .jsonl); lines "
    "text<TAB>label; pairs of texts (train.en, train.de); series (.ts); arrays (.npz, .h5); "
    "MNIST's files; tars of samples; a folder of datasets.save_to_disk"
)
ARRAYS = (".npz", ".h5", ".hdf5")
ASIDE = ("readme", "license", "licence", "copying", "changelog", "citation")  # no data
ASIDE_SUFFIXES = (".md", ".names", ".pdf", ".py", ".ipynb", ".yaml", ".yml", ".log", ".html")


def look(path: Path, wanted: Wanted) -> Raw:
    """Return what a file or folder is. Raises DataError for what is not there or empty, and, with
    what was seen and what is known, for what is none of the kinds that can be told; ConfigError
    where more must be said than can be seen."""
    if not path.exists():
        raise DataError(f"{printable(path)}: no such file or folder")
    if path.is_file():
        return _file(path, wanted)
    root = _descended(path)
    if root.is_file():
        return _file(root, wanted)
    files, folders = _inside(root)
    if not files and not folders:
        raise DataError(f"{printable(path)}: the folder is empty; give one with data")
    for kind in (
        _mnist, saved_datasets, _tars, named_sounds, box_folder, no_yolo, mask_folder, _series,
        table_of_files, classes_of_media, text_pairs, table_folder,
    ):  # fmt: skip
        found = kind(root, files, folders, wanted)
        if found is not None:
            return found
    raise DataError(_nothing(root, files, folders))


def _nothing(root: Path, files: list[Path], folders: list[Path]) -> str:
    if len(files) > 1 and not folders:
        several = ", ".join(file.name for file in files[:6]) + (", …" if len(files) > 6 else "")
        return (
            f"{printable(root)}: holds {len(files)} files ({several}), which are not known to "
            f"belong together; give one of them. Known are {KNOWN}"
        )
    seen = [f"{len(files)} files", *(f"folder {folder.name}" for folder in folders[:5])]
    told = ", ".join(seen) + (", …" if len(folders) > 5 else "")
    return f"{printable(root)}: nothing is recognised in it ({told}); known are {KNOWN}"


def _descended(path: Path) -> Path:
    """Return the folder, or the file, that holds the data: one that is alone in its folder."""
    for _ in range(8):
        files, folders = _inside(path)
        if len(files) + len(folders) != 1:
            return path
        if files:
            alone = files[0].suffix.lower().removesuffix(".gz") in (*ARRAYS, *TABLES, ".ts", ".txt")
            return files[0] if alone and not is_piece(files[0]) else path
        path = folders[0]
    return path


def _inside(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the files and folders in a folder, without hidden ones and what is no data."""
    every = sorted(path for path in folder.iterdir() if not is_hidden(path))
    files = [path for path in every if path.is_file() and not _is_aside(path)]
    return files, [path for path in every if path.is_dir()]


def _is_aside(path: Path) -> bool:
    return path.stem.lower() in ASIDE or path.suffix.lower() in ASIDE_SUFFIXES


def _file(path: Path, wanted: Wanted) -> Raw:
    suffix = path.suffix.lower()
    plain = Path(path.stem).suffix.lower() if suffix == ".gz" else suffix
    if plain == ".txt":
        return text_file(path, wanted) or table_of_text(path, wanted)
    if plain in TABLES:
        return table_file(path, wanted)
    if suffix in ARRAYS:
        return array_file(path)
    if suffix == ".ts":
        return Raw("series", str(path), {}, "a file of series").with_test_of(["train"])
    if suffix == ".tar":
        return Raw("webdataset", str(path), {}, "a tar of samples").with_test_of(["train"])
    found = class_files(path)
    if found is not None:
        return found
    raise DataError(
        f"{printable(path)}: '{suffix or 'no extension'}' is no kind of file that is known; known "
        f"are {KNOWN}"
    )


def _mnist(root: Path, files: list[Path], folders: list[Path], wanted: Wanted) -> Raw | None:
    there = any("train-images-idx3-ubyte" in file.name for file in files)
    return Raw("mnist", str(root), {}, "MNIST's files") if there else None


def _tars(root: Path, files: list[Path], folders: list[Path], wanted: Wanted) -> Raw | None:
    if not files or any(file.suffix != ".tar" for file in files):
        return None
    options = {} if wanted.target is None else {"target": wanted.target}
    return Raw("webdataset", str(root), options, f"{len(files)} tars of samples").with_test_of(
        ["train"]
    )


def _series(root: Path, files: list[Path], folders: list[Path], wanted: Wanted) -> Raw | None:
    series = [file for file in files if file.suffix == ".ts"]
    if not any(file.name.endswith("_TRAIN.ts") for file in series):
        return None
    there = any(file.name.endswith("_TEST.ts") for file in series)
    return Raw("series", str(root), {}, "a folder of series").with_test_of(
        ["train", "test"] if there else ["train"]
    )
