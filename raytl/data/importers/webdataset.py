"""WebDataset's tars: samples of files with one name, as 000123.jpg, 000123.txt and 000123.cls.

Legend: N rows of all splits.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice

import numpy as np

from raytl.config import nearest
from raytl.data.importers import image_folder, sounds
from raytl.data.importers.arranging import arranged, how_to_cut
from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.decoding import how_fitted
from raytl.data.importers.encoded import Piece
from raytl.data.importers.inputs import Input, image_input
from raytl.data.importers.many_files import FileAt, files_of_splits, split_patterns
from raytl.data.importers.roles import plain_column
from raytl.data.importers.sounds import sound_input
from raytl.data.importers.split_rows import rows_of
from raytl.data.importers.tar_index import WORDS, Index, Sample, index_of
from raytl.data.importers.targets import Target, target_of
from raytl.data.importers.text_files import text_file_input
from raytl.data.stored import Each
from raytl.errors import ConfigError, DataError
from raytl.modalities.column import Column

TARS = frozenset([".tar", ".tar.gz", ".tgz"])  # compressed ones are refused by name
# Extension → what the member is
KINDS = {
    **{suffix[1:]: "image" for suffix in image_folder.EXTENSIONS},
    **{suffix[1:]: "audio" for suffix in sounds.EXTENSIONS},
    "txt": "text",
}
CLS = "cls"


def read_webdataset(source: str | None, options: ShardOptions, each: Each) -> Imported:
    """Read tars of a folder, a pattern such as train-{000..012}.tar, or URLs of such: all are the
    split train, or each split's files `--split` names. Members are images, sounds (.wav), texts
    (.txt), and the target: a class in .cls, or the key `--target` of .json; `--group` is another
    key. Tars are read once, by whom `each` names, for where their members are.

    Raises DataError, with tar and member, for what cannot be used so.
    """
    splits = files_of_splits(split_patterns("webdataset", source, options.splits), TARS)
    indices = _indices([tar for tars in splits.values() for tar in tars], options, each)
    samples = [sample for index in indices for sample in index.samples]
    _refuse_twice(samples)
    inputs = _inputs(samples, options, each)
    name = "label" if options.target is None else plain_column(options.target)
    target, groups = _target(samples, options), _groups(samples, options)
    rows, start, of_tars = {}, 0, iter(indices)
    for split, tars in splits.items():
        count = sum(len(index.samples) for index in islice(of_tars, len(tars)))
        numbers = np.arange(start, start + count)
        rows[split] = rows_of(inputs, numbers, {name: target.values}, groups, options)
        start += count
    columns: dict[str, Column] = {of: one.column for of, one in inputs.items()}
    columns[name] = target.column
    found = arranged(columns, rows, options, plain_column(options.group or "group"))
    found.skipped = [text for index in indices for text in index.skipped]
    notes = [note for one in inputs.values() for note in one.notes]
    fit = how_fitted(options) if "image" in inputs else []
    found.notes += [*target.notes, *notes, *fit, *how_to_cut(found, options)]
    return found


def _indices(tars: Sequence[FileAt], options: ShardOptions, each: Each) -> list[Index]:
    """Return what each tar holds."""
    packed = next((tar for tar in tars if not tar.name.endswith(".tar")), None)
    if packed is not None:
        raise DataError(
            f"{packed.name}: members of a compressed tar cannot be read one by one; uncompress it"
        )
    keys = tuple(key for key in (options.target, options.group) if key not in (None, CLS))
    indices = list(each(partial(index_of, keys=keys), tars))
    for tar, index in zip(tars, indices, strict=True):
        if not index.samples:
            raise DataError(f"{tar.name}: holds no sample; leave it out")
    return indices


def _refuse_twice(samples: Iterable[Sample]) -> None:
    seen: dict[str, Sample] = {}
    for sample in samples:
        other = seen.setdefault(sample.key, sample)
        if other is not sample:
            raise DataError(
                f"{sample.name}: {other.tar.name} has a sample of this name, too; a name is one "
                "sample's in all tars: leave one out, or pack them anew"
            )


def _inputs(samples: Sequence[Sample], options: ShardOptions, each: Each) -> dict[str, Input]:
    first = _columns(samples[0], options)
    if not first:
        raise DataError(
            f"{samples[0].name}: has no image, sound or text (.jpg, .png, .wav, .txt, …), only "
            + ", ".join(f".{extension}" for extension in samples[0].members)
        )
    pieces: dict[str, list[Piece]] = {kind: [] for kind in first}
    for sample in samples:
        own = _columns(sample, options)
        if own.keys() != first.keys():
            kind = min(own.keys() ^ first.keys())
            has, lacks = (sample, samples[0]) if kind in own else (samples[0], sample)
            raise DataError(
                f"{lacks.name}: has no {kind}, but {has.name} has; all samples must have the same "
                f"members: leave these out, or all .{_columns(has, options)[kind]} by --drop"
            )
        for kind, extension in own.items():
            pieces[kind].append(sample.piece(extension))
    make: Mapping[str, Callable[[list[Piece]], Input]] = {
        "image": lambda files: image_input(files, options),
        "audio": lambda files: sound_input(files, options, each),
        "text": text_file_input,
    }
    return {kind: make[kind](files) for kind, files in pieces.items()}


def _columns(sample: Sample, options: ShardOptions) -> dict[str, str]:
    """Return the extension of each input column that a sample has."""
    found: dict[str, str] = {}
    for extension in sample.members:
        if extension in WORDS or extension in options.drop:
            continue
        kind = KINDS.get(extension)
        if kind is None:
            known = ", ".join(f".{name}" for name in [*KINDS, *WORDS])
            raise DataError(
                f"{sample.name}.{extension}: is of no kind that is read ({known}); "
                f"--drop {extension} leaves all such out"
            )
        if kind in found:
            raise DataError(
                f"{sample.name}: has two members that are {kind}, .{found[kind]} and .{extension}; "
                "--drop one of them"
            )
        found[kind] = extension
    return {kind: found[kind] for kind in ("image", "audio", "text") if kind in found}


def _target(samples: Sequence[Sample], options: ShardOptions) -> Target:
    name = _target_name(samples, options)
    words = [sample.words.get(name) for sample in samples]
    _need_member(samples, name, options.unlabelled)
    if name == CLS:
        if options.task is None and options.positive is None:
            options = options.model_copy(update={"task": "classification"})
        words = _by_number(words, options)
    called = name.removeprefix("json:")
    return target_of(called, words, options, lambda row: samples[row].name)


def _target_name(samples: Sequence[Sample], options: ShardOptions) -> str:
    if options.target not in (None, CLS):
        return f"json:{options.target}"
    if options.target == CLS or any(CLS in sample.members for sample in samples):
        return CLS
    if options.unlabelled:
        return CLS
    raise ConfigError(
        f"--target: {samples[0].tar.name} has no .cls members; name a key of its .json ones, or "
        "give --unlabelled and --classes"
    )


def _need_member(samples: Sequence[Sample], name: str, unlabelled: bool) -> None:
    """Raise DataError for a sample without the member that tells its target."""
    extension = "cls" if name == CLS else "json"
    for sample in samples:
        if extension not in sample.members and not unlabelled:
            raise DataError(
                f"{sample.name}: has no .{extension}, which tells its target; leave it out, or "
                "keep such rows with --unlabelled"
            )


def _by_number(words: list[str | None], options: ShardOptions) -> list[str | None]:
    """Return the names of classes that .cls members number, where `--classes` names them."""
    named = options.class_names
    there = {word for word in words if word is not None}
    if named is None or there & set(named):
        return words
    numbers = {str(number): name for number, name in enumerate(named)}
    bad = sorted(there - numbers.keys())
    if bad:
        raise DataError(
            f"--classes names {len(named)} classes, numbered from 0, but a .cls member has "
            f"'{bad[0][:40]}'; {nearest(bad[0], list(named[:20]))}"
        )
    return [None if word is None else numbers[word] for word in words]


def _groups(samples: Sequence[Sample], options: ShardOptions) -> np.ndarray | None:
    if options.group is None:
        return None
    words = [sample.words.get(f"json:{options.group}") for sample in samples]
    for sample, word in zip(samples, words, strict=True):
        if word is None or not word.strip():
            raise DataError(
                f"{sample.name}: its .json has no value of '{options.group}' (--group); add it, or "
                "leave the sample out"
            )
    return np.array([str(word).strip() for word in words])
