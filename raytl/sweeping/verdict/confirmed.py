"""What confirmation.json holds: each confirmed candidate, how they compare, the verdict."""

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from raytl.config import MetricName
from raytl.errors import CorruptError, UserError
from raytl.files import write_atomically
from raytl.predictions import Predictions
from raytl.scoring.metrics import METRICS
from raytl.sweeping.verdict.intervals import Difference
from raytl.tasks.columns import has_target


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Run(_Part):
    """One retraining. `score`: the study's metric on the test rows; `metrics`: what else was
    measured of them, by name; `predictions`: the file of its test predictions, in the run's
    folder; `rows_seed`: drew its labelled rows, None where they are the search's."""

    seed: int
    rows_seed: int | None = None
    score: float | None
    metrics: dict[str, float]
    objective: float | None
    seconds: float
    folder: str
    predictions: str | None
    error: str | None


class Candidate(_Part):
    """One configuration over its seeds. `mean` is of the score, `metrics` are means too;
    `confusion` counts test rows, true by predicted class, summed over seeds, where there are
    classes; `recall` is each class's, of those counts. `objective` is the mean over the first
    round's seeds."""

    name: str
    trial: str
    control: str | None
    selected: bool = False
    config: dict[str, Any]
    runs: list[Run]
    n: int
    mean: float | None
    standard_error: float | None
    metrics: dict[str, float]
    objective: float | None
    trainable_parameters: int | None
    confusion: list[list[int]] | None
    recall: list[float | None] | None


class Comparison(_Part):
    """A candidate against a control, paired by seed: the selected one against controls that
    transfer nothing as of the look that decided it or the last one, else over the first round."""

    candidate: str
    control: str
    difference: Difference


class Verdict(_Part):
    """The answer to: does it help? `kind` (helps, hurts, equivalent, undecided) and `sentence`
    compare the selected candidate with the controls that transfer nothing, the `difference` to
    `control` is what they were read off; `against_plain` compares with those that transfer plainly
    (linear_probe, target_only). `remarks`: what else is to be known before the verdict is believed.
    """

    kind: str
    sentence: str
    difference: Difference | None = None
    control: str | None = None  # of runs since it is kept
    against_plain: list[str] = []
    remarks: list[str] = []


class Confirmation(_Part):
    """The content of confirmation.json. `recommended` names what `best/` holds; `labels_read` is
    how many target labels search and confirmation read in all, the test split's left out;
    `test_rows`, how many test rows have a label. `metric`: what scores are; `margin`: as it is
    shown, in the metric's unit."""

    metric: MetricName
    split: str
    test_rows: int
    classes: list[str]
    seeds: list[int]
    level: float
    margin: float | None
    labels_read: int
    candidates: list[Candidate]
    comparisons: list[Comparison]
    verdict: Verdict
    recommended: str | None

    @model_validator(mode="after")
    def _counts_every_class(self) -> Self:
        for one in self.candidates:
            counts = {len(of) for of in (one.confusion, one.recall) if of is not None}
            counts |= {len(row) for row in one.confusion or []}
            if counts - {len(self.classes)}:
                raise ValueError(
                    f"{len(self.classes)} classes must be counted of '{one.name}', but its "
                    "confusion or recall has others"
                )
        return self

    @property
    def selected(self) -> Candidate | None:
        """The candidate that the validation objective prefers."""
        return next((c for c in self.candidates if c.selected), None)

    @property
    def best_control(self) -> Candidate | None:
        """The control with the best mean."""
        sign = METRICS[self.metric].sign
        known = [c for c in self.candidates if c.control is not None and c.mean is not None]
        return max(known, key=lambda c: sign * (c.mean or 0.0), default=None)

    def predictions_of(self, candidate: Candidate, run: Path) -> list[Predictions]:
        """Return a candidate's predictions of the test rows that have a label, a seed each, from
        the run's folder. Raises CorruptError where they are not there, or are of other rows."""
        files = [run / of.predictions for of in candidate.runs if of.predictions is not None]
        every = [Predictions.read(file) for file in files]
        found = [judged(one) for one in every]
        for file, one in zip(files, found, strict=True):
            wrong = self._wrong(one, found[0])
            if wrong is not None:
                raise CorruptError(
                    f"{file}: {wrong}, so it is of another run, or not whole; copy the run again"
                )
        return found

    def _wrong(self, one: Predictions, first: Predictions) -> str | None:
        """Return what tells that predictions are of others than this run's test rows; `first`: its
        first seed's."""
        rows, classes = len(one.id_N), len(self.classes)
        if rows != self.test_rows:
            return f"has {rows} labelled rows, but the test split has {self.test_rows}"
        if not (
            np.array_equal(one.id_N, first.id_N) and np.array_equal(one.target_N, first.target_N)
        ):
            return "has other rows than the first seed"
        if one.p_NK is None or one.predicted_N is None:
            return None
        said = np.concatenate([one.target_N, one.predicted_N])
        if one.p_NK.shape[1] != classes or said.min() < 0 or said.max() >= classes:
            return f"has others than the run's {classes} classes"
        return None

    def score_of(self, candidate: Candidate) -> dict[str, float | None]:
        """Return a candidate's mean score of the test split and its standard error, by name."""
        mean = {f"test_{self.metric}": candidate.mean}
        return mean | {"standard_error": candidate.standard_error}

    def candidate(self, name: str | None) -> Candidate | None:
        """Return a candidate by its name."""
        return next((c for c in self.candidates if c.name == name), None)

    def trained(self, name: str | None) -> Candidate:
        """Return a candidate with a good seed, the recommended one where none is named. Raises
        UserError that lists them."""
        found = self.candidate(self.recommended if name is None else name)
        if found is None or not found.n:
            lacks = f"no confirmed candidate '{name}' with a good seed"
            known = ", ".join(f"'{c.name}'" for c in self.candidates if c.n) or "none"
            raise UserError(
                f"{'no candidate is recommended' if name is None else lacks}; there are {known}"
            )
        return found


def pictures_of(confirmation: Confirmation, candidate: Candidate, run: Path) -> list[bytes]:
    """Return what a candidate's first seed says of some test rows, PNG bytes each; none where its
    task draws none."""
    if not candidate.n:
        return []
    pictures_N = confirmation.predictions_of(candidate, run)[0].picture_N
    return [] if pictures_N is None else [picture for picture in pictures_N if picture is not None]


def judged(predictions: Predictions) -> Predictions:
    """Return the predictions of rows that have a label."""
    known = has_target(predictions.target_N)
    return predictions if known.all() else predictions.cut(known)


def save_confirmation(confirmation: Confirmation, run: Path) -> None:
    """Write confirmation.json."""
    data = confirmation.model_dump(mode="json")
    write_atomically(run / "confirmation.json", json.dumps(data, indent=1))


def load_confirmation(run: Path) -> Confirmation:
    """Read confirmation.json. Raises UserError where there is none, CorruptError where it does not
    hold."""
    file = run / "confirmation.json"
    try:
        return Confirmation.model_validate_json(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{run}: not a run that has been confirmed ({file.name} is missing)"
        ) from None
    except (OSError, ValueError) as error:
        raise CorruptError(
            f"{file}: cannot be read: {_reason(error)}; copy the run again (one of another version "
            "is reported and exported by that version)"
        ) from None


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error).splitlines()[0]
    first = error.errors()[0]
    place = "".join(f"{part}: " for part in first["loc"])
    return (place + first["msg"].removeprefix("Value error, "))[:200]
