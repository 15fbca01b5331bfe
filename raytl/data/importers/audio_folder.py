"""Sounds by class: a folder a class, or files whose names say it."""

from collections.abc import Sequence

import numpy as np

from raytl.config import nearest
from raytl.data.importers.arranging import arranged, how_to_cut
from raytl.data.importers.base import Imported, ShardOptions, need_source
from raytl.data.importers.encoded import Encoded
from raytl.data.importers.joined import conditions
from raytl.data.importers.labelled_files import labelled_files
from raytl.data.importers.listing import Entry, entry_of, shown
from raytl.data.importers.name_patterns import Named, files_by_pattern
from raytl.data.importers.sounds import EXTENSIONS, sound_input
from raytl.data.importers.split_rows import rows_of
from raytl.data.importers.targets import Target, target_of
from raytl.data.stored import Each
from raytl.errors import ConfigError
from raytl.modalities.column import Column


def read_audio_folder(source: str | None, options: ShardOptions, each: Each) -> Imported:
    """Read SOURCE/CLASS/sound.wav and SOURCE/SPLIT/CLASS/sound.wav, or with `--pattern` files whose
    names have a {label}, and maybe a {group} and a {split}; `--where group=NAME` keeps some. With
    `--unlabelled` and `--classes` sounds may stand in no class folder, too: they have no label.

    Sounds are brought to one rate; see `sound_input`. Other files are skipped and listed.
    """
    root = entry_of(need_source(source))
    if options.pattern is not None:
        return _by_pattern(root, options.pattern, options, each)
    for name in ("where", "task", "positive"):
        if name in options.model_fields_set:
            raise ConfigError(f"--{name}: is about the names of files; give their --pattern too")
    skipped: list[str] = []
    label, items, notes = labelled_files(root, EXTENSIONS, "sound", options, skipped)
    files: list[Encoded] = [item.path for part in items.values() for item in part]
    labels = np.array([item.label for part in items.values() for item in part], dtype=np.int64)
    ends = np.cumsum([0, *map(len, items.values())])
    splits = {
        name: np.arange(start, end)
        for name, start, end in zip(items, ends[:-1], ends[1:], strict=True)
    }
    target = Target(label, labels, notes)
    return _made(files, splits, target, None, options, skipped, each)


def _by_pattern(root: Entry, pattern: str, options: ShardOptions, each: Each) -> Imported:
    skipped: list[str] = []
    named = _kept(files_by_pattern(root, pattern, options.skip_bad, skipped), options)
    words: list[str | None] = [one.words["label"] for one in named]
    target = target_of("label", words, options, lambda row: shown(named[row].path))
    groups = None
    if "group" in named[0].words:
        groups = np.array([one.words["group"] for one in named])
    of_row = np.array([one.words.get("split", "train") for one in named])
    names = sorted(set(of_row.tolist()), key=lambda name: (name != "train", name))
    splits = {name: np.flatnonzero(of_row == name) for name in names}
    files: list[Encoded] = [one.path for one in named]
    return _made(files, splits, target, groups, options, skipped, each)


def _kept(named: list[Named], options: ShardOptions) -> list[Named]:
    """Return the files that `--where` keeps."""
    for name, wanted in conditions(options).items():
        if name not in named[0].words:
            raise ConfigError(
                f"--where: the pattern has no {{{name}}}; {nearest(name, list(named[0].words))}"
            )
        there = sorted({one.words[name] for one in named})
        for value in sorted(wanted - set(there)):
            raise ConfigError(
                f"--where {name}={value}: no file has it; {nearest(value, there[:20])}"
            )
        named = [one for one in named if one.words[name] in wanted]
    return named


def _made(
    files: Sequence[Encoded],
    splits: dict[str, np.ndarray],
    target: Target,
    groups: np.ndarray | None,
    options: ShardOptions,
    skipped: list[str],
    each: Each,
) -> Imported:
    sounds = sound_input(files, options, each)
    rows = {
        name: rows_of({"audio": sounds}, numbers, {"label": target.values}, groups, options)
        for name, numbers in splits.items()
    }
    columns: dict[str, Column] = {"audio": sounds.column, "label": target.column}
    found = arranged(columns, rows, options)
    found.skipped = skipped
    found.notes += [*target.notes, *sounds.notes, *how_to_cut(found, options)]
    return found
