"""What a study came to, for Python: `raytl.sweep(…)` and `raytl.results(RUN)` return it."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from raytl.config import Study, load_study, nearest
from raytl.errors import CorruptError, UserError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from raytl.loaded import Loaded
    from raytl.sweeping.leaderboard import Leaderboard
    from raytl.sweeping.verdict.confirmed import Confirmation

SHOWN = 10  # trials in a notebook's cell


@dataclass(frozen=True)
class Verdict:
    """The answer to: does the transfer help? `str(verdict)` is its sentence.

    Attributes:
        kind: helps, hurts, equivalent or undecided; none where the study stopped before its
            confirmation, or where no test row has a label.
        text: The verdict in one sentence.
        candidate: Which candidate it is about; None without a confirmation.
        against: The control that it was read off: the nearest to saying otherwise.
        estimate: How much better the candidate is than that control, in `unit`: positive is
            better, also where less is better (an error).
        half_width: Half of the interval's width, in `unit`; the interval is estimate ± half_width.
        level: Of the interval, such as 0.95.
        metric: What both are measured by, on the test rows.
        unit: Of estimate and half_width: points where scores are shares, else the target's own.
        against_plain: Sentences on the simpler transfers (linear_probe, target_only).
        remarks: What else is to be known before the verdict is believed.

    Examples:
        >>> verdict = raytl.Verdict("helps", "it helps: +4 ± 1.5", estimate=4, half_width=1.5)
        >>> print(verdict, verdict.interval)
        it helps: +4 ± 1.5 (2.5, 5.5)
    """

    kind: str
    text: str
    candidate: str | None = None
    against: str | None = None
    estimate: float | None = None
    half_width: float | None = None
    level: float | None = None
    metric: str | None = None
    unit: str | None = None
    against_plain: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval's ends, in `unit`; None where there is no estimate."""
        if self.estimate is None or self.half_width is None:
            return None
        return self.estimate - self.half_width, self.estimate + self.half_width


@dataclass(frozen=True)
class Results:
    """A run: what was searched, confirmed and found. Tables are DataFrames of pandas, figures are
    matplotlib's; each is read or drawn when it is asked for.

    Attributes:
        run: The run's folder.

    Raises:
        UserError: The folder is no run, or none of whose trials has ended.

    Examples:
        >>> found = raytl.results("runs/stripes")
        >>> found.curves("00000").index.name
        'epoch'
        >>> list(found.predictions().columns)
        ['seed', 'id', 'target', 'predicted', 'p(0)', 'p(1)']
        >>> sorted(found.figures)[:2]
        ['confirmed', 'confusion']
    """

    run: Path

    def __post_init__(self) -> None:
        if not (self.run / "leaderboard.json").exists():
            raise UserError(
                f"{self.run}: not a run folder with a leaderboard; give the folder that "
                "`raytl sweep` wrote"
            )

    @cached_property
    def study(self) -> Study:
        """The study as it was resolved: data and defaults included."""
        return load_study(self.run / "study.yaml")

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the transfer helps, as text and as numbers."""
        from raytl.scoring.metrics import METRICS

        board, known = self._board, self._confirmation
        if known is None:
            stopped = "no verdict yet: the study stopped before its confirmation; go on with resume"
            return Verdict("none", board.unconfirmed or stopped)
        said, metric = known.verdict, METRICS[known.metric]
        found = Verdict(
            said.kind, said.sentence, known.selected.name if known.selected else None, said.control,
            metric=known.metric, unit=metric.unit or "the target's unit",
            against_plain=tuple(said.against_plain), remarks=tuple(said.remarks),
        )  # fmt: skip
        if said.difference is None:
            return found
        return Verdict(
            **vars(found)
            | {
                "estimate": metric.scale * said.difference.difference,
                "half_width": metric.scale * said.difference.half_width,
                "level": said.difference.level,
            }
        )

    @property
    def stopped(self) -> bool:
        """Whether the study was interrupted: `raytl.sweep(…, resume=True)` goes on with it."""
        return self._board.state == "stopped"

    @property
    def leaderboard(self) -> pd.DataFrame:
        """The trials, controls among them, the best by the study's objective first, with what was
        searched of each."""
        from raytl.result_frames import leaderboard_frame

        return leaderboard_frame(self._board)

    @property
    def trials(self) -> pd.DataFrame:
        """The same trials with everything: every key of the configuration, every metric."""
        from raytl.result_frames import trials_frame

        return trials_frame(self._board)

    @property
    def confirmations(self) -> pd.DataFrame:
        """Every retraining, a row for each candidate and seed: its score and what else was measured
        on the test rows. Empty where nothing was confirmed."""
        from raytl.result_frames import confirmations_frame

        return confirmations_frame(self._confirmation)

    @property
    def comparisons(self) -> pd.DataFrame:
        """Every candidate against every control: the difference of their scores on the test rows
        with its interval, in `verdict.unit`, positive where the candidate is better. Empty where
        nothing was confirmed."""
        from raytl.result_frames import comparisons_frame

        return comparisons_frame(self._confirmation)

    def curves(self, trial: str) -> pd.DataFrame:
        """Return a trial's metrics after each epoch, indexed by the epoch, from 1.

        Args:
            trial: As `leaderboard` calls it ("00003", "scratch-0"), or a folder of the run, such as
                a retraining's.

        Raises:
            UserError: There is no such trial.
            CorruptError: Its record cannot be read.
        """
        from raytl.result_frames import curve_frame
        from raytl.sweeping.kept.records import FILE_NAME, Trained

        file = self.run / self._folder(trial) / FILE_NAME
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise CorruptError(f"{file}: cannot be read: {error.strerror}") from None
        return curve_frame(Trained.parse(text, str(file)).curve)

    def _folder(self, trial: str) -> str:
        folders = {row.trial: row.folder for row in self._board.trials}
        confirmation = self._confirmation
        retrained = [one.folder for of in confirmation.candidates for one in of.runs] if (
            confirmation
        ) else []  # fmt: skip
        known = folders | {name: name for name in (*folders.values(), *retrained)}
        if trial not in known:
            raise UserError(f"{self.run}: no trial '{trial}'; {nearest(str(trial), list(folders))}")
        return known[trial]

    def predictions(self, candidate: str | None = None) -> pd.DataFrame:
        """Return what a candidate's retrainings said of the test rows that have a label, a row for
        each seed and test row.

        Args:
            candidate: As `confirmations` calls it ("trial 00003", "scratch control"); the selected
                one by default.

        Raises:
            UserError: There is no such candidate, or nothing was confirmed.
            CorruptError: The predictions are not there or not whole.
        """
        from raytl.result_frames import predictions_frame

        known = self._confirmation
        if known is None:
            raise UserError(f"{self.run}: has no confirmation, and so no test predictions")
        found = known.selected if candidate is None else known.candidate(candidate)
        if found is None:
            names = [of.name for of in known.candidates]
            which = "none was selected" if candidate is None else f"no candidate '{candidate}'"
            raise UserError(f"{self.run}: {which}; {nearest(candidate or '', names)}")
        return predictions_frame(known, found, self.run)

    @cached_property
    def best(self) -> Loaded:
        """The model of `best/`, loaded; `best.predict(rows)`. Raises UserError where there is
        none."""
        from raytl.loaded import load

        if not (self.run / "best").exists():
            raise UserError(f"{self.run}: has no best/; nothing was confirmed, or it is yet to be")
        return load(self.run / "best")

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """The figures that there is something to draw for, by name: confirmed, curves, heat_map,
        seconds, importance, confusion or predicted."""
        from raytl.reporting.figures import figures_of

        return figures_of(self.run, self._board, self._confirmation)

    @property
    def report(self) -> Path:
        """The report's file, which a browser opens."""
        return self.run / "report.html"

    @cached_property
    def _board(self) -> Leaderboard:
        from raytl.sweeping.leaderboard import load_leaderboard

        return load_leaderboard(self.run)

    @cached_property
    def _confirmation(self) -> Confirmation | None:
        from raytl.sweeping.verdict.confirmed import load_confirmation

        return load_confirmation(self.run) if (self.run / "confirmation.json").exists() else None

    def __repr__(self) -> str:
        return f"Results({str(self.run)!r}): {self.verdict}"

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdict, the best trials, and where the report is."""
        return "\n".join(self._html())

    def _html(self) -> Iterator[str]:
        verdict, board = self.verdict, self.leaderboard
        yield f"<p><b>{html.escape(verdict.text)}</b></p>"
        for sentence in (*verdict.against_plain, *verdict.remarks):
            yield f"<p>{html.escape(sentence)}</p>"
        shown = board.drop(columns=["mean_rank"]).head(SHOWN)
        yield shown.to_html(index=False, escape=True, na_rep="", float_format=lambda x: f"{x:.4g}")
        if len(board) > SHOWN:
            yield f"<p>{len(board) - SHOWN} more in <code>.leaderboard</code></p>"
        yield f"<p>report: <code>{html.escape(str(self.report))}</code></p>"
