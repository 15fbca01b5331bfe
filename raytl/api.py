"""What Python has beside the verbs: data that it holds, studies that are dictionaries, results.

Importing this module loads neither torch nor Ray nor pandas.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from raytl import verbs
from raytl.config import Study, check_study, load_study, set_key
from raytl.errors import ConfigError, RaytlError
from raytl.run_results import Results
from raytl.urls import place_of

DOMAINS = {"source_domain": None, "target_domain": 0.2}  # the share of test rows of each
Names = Sequence[str] | str


def dataset(
    data: Any,
    *,
    target: str | None = None,
    text: Names = (),
    image: str | None = None,
    audio: str | None = None,
    number: Names = (),
    category: Names = (),
    drop: Names = (),
    group: str | None = None,
    task: str | None = None,
    classes: Names | None = None,
    positive: str | None = None,
    unlabelled: bool = False,
    size: int | None = None,
    fit: str | None = None,
    test: float | None = 0.2,
    validation: float | None = None,
    split_column: str | None = None,
    seed: int = 0,
    skip_bad: bool = False,
) -> Path:
    """Write data that Python holds as a dataset, and return its folder, which a study takes.

    The folder stands under raytl's cache (RAYTL_CACHE) and is named by what it holds: the same data
    with the same options are the same folder, and are written once. What does not fit into memory
    is better read from files, by `raytl.shard`.

    Args:
        data: A DataFrame of pandas or polars, or an Arrow table; a pair (X, y), X an array of
            images (N, H, W) or (N, H, W, C), of numbers (N, F) or of texts (N,), or a DataFrame,
            and y None where no row has a target; a torch Dataset of (image or numbers, target); a
            Dataset or DatasetDict of Hugging Face. Or a dictionary with one of these for each
            split, such as train and test.
        target: The column to be learnt; of pairs its name in the dataset, "label" by default; of
            Hugging Face's by default the only ClassLabel.
        text: Columns of texts. Other strings are categories.
        image: The column of images: paths, bytes of files, Pillow's images or arrays.
        audio: The column of .wav files: paths or bytes.
        number: Columns that are numbers, where that cannot be seen.
        category: Columns that are categories, although they hold numbers; pandas' categorical ones
            are without being named.
        drop: Columns to leave out.
        group: The column whose equal values stay together in one split: a patient's, say.
        task: classification, regression or translation; by default what the target looks like.
        classes: The classes in their order, where rows of some are not there.
        positive: Makes the classes no and yes: ">0" of numbers, or the words of yes by commas.
        unlabelled: Keep rows without a target, for a domain that is adapted to.
        size: Side of the stored images, pixels; needed where they are of several sizes.
        fit: How other shapes are fitted into it: stretch (the default), pad or crop.
        test: Share of the rows that becomes the split test, where the data have none; None for no
            such split, as of a source domain.
        validation: Share that becomes the split validation.
        split_column: The column that names each row's split.
        seed: Of what is drawn.
        skip_bad: Leave out images and sounds that cannot be read.

    Returns:
        The dataset's folder.

    Raises:
        ConfigError: An option does not hold, or names a column that is not there.
        DataError: Rows cannot be used; the message has the split, the row and the column.

    Examples:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"size": [1.0, 2.0, 3.0, 4.0] * 5, "kind": ["cat", "ant"] * 10})
        >>> folder = raytl.dataset(frame, target="kind")
        >>> raytl.inspect(folder)["splits"]["test"]["rows"]
        4
    """
    from raytl.data.held import held_dataset
    from raytl.data.importers.objects import can_be_cut
    from raytl.data.shard import shard_options

    given = {
        "target": target, "text": _names(text), "image": image, "audio": audio,
        "number": _names(number), "category": _names(category), "drop": _names(drop),
        "group": group, "task": task, "positive": positive,
        "classes": _classes(classes), "unlabelled": unlabelled or None,
        "size": size, "fit": fit, "validation": validation,
        "test": (test or None) if split_column is None and can_be_cut(data) else None,
        "split_column": split_column, "seed": seed or None, "skip_bad": skip_bad or None,
    }  # fmt: skip
    with _in_python():
        options = {name: of for name, of in given.items() if of is not None and of != ()}
        return held_dataset(data, shard_options(**options), _say)


def sweep(
    study: Study | Mapping[str, Any] | Path | str,
    out: Path | str | None = None,
    *,
    resume: bool = False,
    store: bool = True,
    overrides: Sequence[str] = (),
) -> Results:
    """Run a study: controls, search, confirmation, report.

    Joins the Ray cluster that this process is connected to (`ray.init(…)`), or that RAY_ADDRESS
    names; else starts Ray on this machine and stops it afterwards. Progress goes to stderr, a line
    a trial; an interrupt (Ctrl-C, a notebook's stop button) stops the study, which `resume` goes on
    with.

    Args:
        study: A study file, its content as a dictionary, or a checked `Study`. In a dictionary,
            `dataset` of a domain may be data that Python holds (see `raytl.dataset`, whose options
            are its defaults) with `target` as the name of the column to be learnt.
        out: The run's folder; runs/STUDY by default.
        resume: Go on with what is in the folder, if anything.
        store: Take trials that were trained before, and keep these.
        overrides: KEY.PATH=VALUE each, over what the study says.

    Returns:
        What the study came to: verdict, tables, figures and the best model.

    Raises:
        ConfigError: The study does not hold; the message names the key, the law and the remedy.
        DataError: Data cannot be used.
        ModelError: A source model cannot be built.
        UserError: The folder holds a run and `resume` is not given, or another study's.
        RaytlError: Every trial failed, or machines could not train one.

    Examples:
        >>> import numpy as np
        >>> images = np.random.default_rng(0).integers(0, 99, (60, 8, 8), np.uint8)
        >>> labels = np.arange(60) % 2
        >>> images[labels == 1, ::2] += 150
        >>> found = raytl.sweep({
        ...     "study": "stripes",
        ...     "target_domain": {"dataset": (images, labels), "labels": 10},
        ...     "source_models": {"fresh": {"backbone": "small_cnn", "args": {"width": 4}}},
        ...     "space": {"optimizer.lr": {"choice": [0.001, 0.01]}},
        ...     "search": {"sampler": "grid", "trials": 2, "control_tries": 1},
        ...     "train": {"epochs": 2, "batch_size": 8},
        ...     "confirm": {"top": 1, "seeds": 3},
        ... })
        >>> found.verdict.kind in ("helps", "hurts", "equivalent", "undecided")
        True
        >>> list(found.leaderboard.columns[:4])
        ['rank', 'trial', 'control', 'status']
    """
    with _in_python():
        return Results(verbs.sweep(_checked(study, overrides), out, resume=resume, store=store).run)


def results(run: Path | str) -> Results:
    """Open a run that `raytl sweep` or `raytl.sweep` has written.

    Args:
        run: The run's folder.

    Returns:
        What the study came to.

    Raises:
        UserError: The folder is no run, or none of whose trials has ended.
        CorruptError: Its files are not as they were written; raised by what reads them.

    Examples:
        >>> raytl.results("runs/stripes").study.study
        'stripes'
    """
    return Results(Path(place_of(run)))


def _checked(study: Study | Mapping[str, Any] | Path | str, overrides: Sequence[str]) -> Study:
    if isinstance(study, str | os.PathLike):
        return load_study(Path(study), list(overrides))
    if isinstance(study, Study):
        if not overrides:
            return study
        data = study.model_dump(mode="json", by_alias=True, exclude_none=True)
    elif isinstance(study, Mapping):
        _refuse_same_rows(study)
        data = {key: _with_paths(key, value) for key, value in study.items()}
    else:
        data = study
    for assignment in overrides if isinstance(data, dict) else ():
        set_key(data, assignment)
    return check_study(data)


def _refuse_same_rows(study: Mapping[str, Any]) -> None:
    """Raise ConfigError where both domains are given the same object: the target's test rows would
    be learnt from."""
    source, target = (_rows_in(study.get(key)) for key in DOMAINS)
    if any(mine is theirs for mine in source for theirs in target):
        raise ConfigError(
            "source_domain.dataset: rows that the target is judged by must not be learnt from, but "
            "both domains have the same data; give other rows, or leave out source_domain"
        )


def _rows_in(section: Any) -> list[Any]:
    """Return the rows of each split of a domain that Python holds, without their targets."""
    data = section.get("dataset") if isinstance(section, Mapping) else None
    splits = data.values() if isinstance(data, Mapping) else [data]
    rows = [of[0] if isinstance(of, tuple | list) and len(of) == 2 else of for of in splits]
    return [of for of in rows if not isinstance(of, str | os.PathLike | None)]


def _with_paths(key: str, value: Any) -> Any:
    """Return a copy of a study's section in which data that Python holds are written, and their
    folder is in their place."""
    if not isinstance(value, Mapping):
        return value
    section = {name: _with_paths("", of) for name, of in value.items() if name != "dataset"}
    if "dataset" not in value:
        return section
    data = value["dataset"]
    if key in DOMAINS and not isinstance(data, str | os.PathLike | None):
        # The dataset may call the column otherwise, and has no other target
        target = section.pop("target", None)
        try:
            data = dataset(data, target=target, test=DOMAINS[key])
        except RaytlError as error:
            error.args = (f"{key}.dataset: {error}", *error.args[1:])
            raise
    return section | {"dataset": data}


def _classes(given: Names | None) -> str | None:
    """Return the names of classes by commas; ConfigError for what is no such list."""
    if given is None or isinstance(given, str):
        return given
    given = _names(given)
    odd = next((name for name in given if not isinstance(name, str) or "," in name), None)
    if odd is not None:
        raise ConfigError(
            f"classes=: the names of classes are texts without a comma, such as '0', got {odd!r}"
        )
    return ",".join(given)


def _names(given: Names) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _in_python() -> Iterator[None]:
    """Say in a message how Python writes what the command line calls --an-option."""
    try:
        yield
    except RaytlError as error:
        from raytl.data.python_words import in_python

        error.args = (in_python(str(error)), *error.args[1:])
        raise
