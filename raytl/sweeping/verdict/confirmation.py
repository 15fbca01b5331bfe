"""Confirmation: the best trials and the controls, retrained with several seeds.

Only here is the test split read: once by each retrained model, after its last epoch. Which
candidate is selected depends on the validation objective alone.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from raytl.config import Study, TrialConfig
from raytl.data.domain import Domain
from raytl.predictions import Predictions
from raytl.scoring.classification import class_recall
from raytl.scoring.metrics import METRICS
from raytl.sweeping.kept.records import Metrics, Record
from raytl.sweeping.search.control_facts import WITHOUT_TRANSFER, kind_of
from raytl.sweeping.verdict.confirmed import (
    Candidate,
    Comparison,
    Confirmation,
    Run,
    Verdict,
    judged,
)
from raytl.sweeping.verdict.drawn_labels import labels_read, on_drawn_labels
from raytl.sweeping.verdict.remarks import remarks_on
from raytl.sweeping.verdict.rounds import (
    Ended,
    Retrained,
    Standing,
    best_of,
    first_difference,
    gather,
    shown_margin,
    standing,
)
from raytl.sweeping.verdict.sentences import (
    Trained,
    control_words,
    plain_sentence,
    trained_by,
    verdict_sentence,
)
from raytl.sweeping.verdict.statistics import mean_and_standard_error
from raytl.tasks.box_column import BoxColumn
from raytl.tasks.columns import LabelColumn, has_target
from raytl.tasks.mask_column import MaskColumn


def retrained(records: Sequence[Record]) -> list[Record]:
    """Return the confirmation's trials."""
    return [record for record in records if record.config["phase"] == "confirm"]


def build_confirmation(
    study: Study,
    records: Sequence[Record],
    target: Domain,
    run: Path,
    read: Callable[[str], Predictions],
) -> Confirmation:
    """Gather a study's records into means, paired differences and the verdict.

    `read` returns the test predictions in a trial's folder; they are written into `run`.
    """
    ended = [Ended.of(record, study) for record in retrained(records)]

    def kept(folder: str) -> Predictions:
        found = judged(read(folder))
        (run / _place(folder)).parent.mkdir(exist_ok=True)
        found.write(run / _place(folder))
        return found

    configurations = gather(ended, kept, METRICS[study.metric].reads)
    now = standing(study, configurations)
    candidates = [_candidate(c, records, now.selected, study) for c in configurations]
    comparisons = _compare(study, configurations, now)
    recommended = _recommended(study, configurations, now)
    on_labels = on_drawn_labels(study, records, target)
    seeds = sorted({run.seed for candidate in candidates for run in candidate.runs})
    test = study.target_domain.splits.test
    return Confirmation(
        metric=study.metric,
        split=test,
        test_rows=int(has_target(target.targets(test)).sum()),
        classes=_classes(target),
        seeds=seeds,
        level=study.confirm.level,
        margin=shown_margin(study, configurations),
        labels_read=labels_read(study, records, target),
        candidates=candidates,
        comparisons=comparisons,
        verdict=_verdict(study, records, configurations, now, comparisons, on_labels),
        recommended=recommended,
    )


def _classes(target: Domain) -> list[str]:
    column = target.target_column
    return list(column.classes) if isinstance(column, LabelColumn | MaskColumn | BoxColumn) else []


def _recommended(study: Study, configurations: list[Retrained], now: Standing) -> str | None:
    """With target labels the best by the validation objective, controls included. Validators that
    see no labels rank the searched trials only: they cannot be trusted between recipes."""
    if not study.labelled:
        return now.selected
    best = best_of(study, configurations)
    return None if best is None else best.name


def _place(folder: str) -> Path:
    """Return where a retraining's predictions are kept within the run."""
    return Path("predictions") / f"{folder}.arrow"


def _candidate(
    configuration: Retrained, records: Sequence[Record], selected: str | None, study: Study
) -> Candidate:
    of_it = [r for r in retrained(records) if r.config["candidate"] == configuration.name]
    of_it.sort(key=lambda record: record.config["seed_index"])
    runs = [_run(record, configuration, study.metric) for record in of_it]
    scores = [r.score for r in runs if r.score is not None]
    results = [record.last for record in of_it]
    confusions = [result["test/confusion"] for result in results if "test/confusion" in result]
    confusion = np.sum(confusions, axis=0).tolist() if confusions else None
    mean, error = mean_and_standard_error(scores) if scores else (None, None)
    known = dict.fromkeys(name for r in runs for name in r.metrics)
    first = study.confirm.seed_counts[0]
    config = of_it[0].config
    return Candidate(
        name=configuration.name,
        trial=config["of_trial"],
        control=config["control"],
        selected=configuration.name == selected,
        config=config["trial"],
        runs=runs,
        n=len(scores),
        mean=mean,
        standard_error=error if len(scores) > 1 else None,
        metrics={
            name: statistics.fmean(r.metrics[name] for r in runs if name in r.metrics)
            for name in known
        },
        objective=_mean([r.objective for r in runs if r.seed < first]),
        trainable_parameters=results[0].get("trainable_parameters"),
        confusion=confusion,
        recall=class_recall(confusion) if confusion else None,
    )


def _run(record: Record, configuration: Retrained, metric: str) -> Run:
    result, seed, folder = record.last, record.config["seed_index"], record.name
    well = seed in configuration.predictions
    measured = _measured(result) if well else {}
    return Run(
        seed=seed,
        rows_seed=record.config["rows_seed"],
        score=measured[metric] if well else None,
        metrics={name: value for name, value in measured.items() if name != metric},
        objective=configuration.objectives.get(seed),
        seconds=float(result.get("seconds", 0.0)),
        folder=folder,
        predictions=str(_place(folder)) if well else None,
        error=None if well else record.error,
    )


def _measured(result: Metrics) -> dict[str, float]:
    """Return the metrics of the test rows that are single numbers, by name."""
    found = {k.removeprefix("test/"): v for k, v in result.items() if k.startswith("test/")}
    return {name: value for name, value in found.items() if isinstance(value, float)}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _compare(study: Study, configurations: list[Retrained], now: Standing) -> list[Comparison]:
    comparisons = []
    for ours in (c for c in configurations if c.control is None):
        decided = now.against if ours.name == now.selected else {}
        for theirs in (c for c in configurations if c.control is not None):
            assert theirs.control is not None
            difference = decided.get(theirs.control) or first_difference(study, ours, theirs)
            if difference is not None:
                comparisons.append(
                    Comparison(candidate=ours.name, control=theirs.control, difference=difference)
                )
    return comparisons


def _verdict(
    study: Study,
    records: Sequence[Record],
    configurations: list[Retrained],
    now: Standing,
    comparisons: Sequence[Comparison],
    on_labels: list[str],
) -> Verdict:
    """Return the verdict on the selected candidate, with all that qualifies it."""
    remarks = remarks_on(study, records, configurations, now) + on_labels
    ours = next((c for c in configurations if c.name == now.selected), None)
    if ours is None:
        sentence = "no verdict: none of the confirmed trials ended well"
        return Verdict(kind="undecided", sentence=sentence, remarks=remarks)
    trained = _trained(study, ours, records)
    what = trained.words
    if ours.failed:
        seeds = ", ".join(map(str, sorted(ours.failed)))
        sentence = f"whether {what} helps is undecided: {ours.name} failed with seed {seeds}"
        return Verdict(kind="undecided", sentence=sentence, remarks=remarks)
    if now.decision is None:
        sentence = (
            f"whether {what} helps is undecided: no control that transfers nothing ended well"
        )
        return Verdict(kind="undecided", sentence=sentence, remarks=remarks)
    metric = METRICS[study.metric]
    margin = shown_margin(study, configurations)
    assert margin is not None
    mine = _trial_of(ours, records)
    against = {c.control: c.difference for c in comparisons if c.candidate == ours.name}
    plain = [
        c for c in configurations if c.control is not None and c.control not in WITHOUT_TRANSFER
    ]
    plain_trials = {c.control: _trial_of(c, records) for c in plain if c.control is not None}
    omitted = of_other_models(plain_trials, mine)

    def words(of: Retrained) -> str:
        assert of.control is not None
        return control_words(of.control, _trial_of(of, records), mine)

    decided = next(c for c in configurations if c.control == now.decision.control)
    return Verdict(
        kind=now.decision.kind,
        sentence=verdict_sentence(
            trained, now.decision, words(decided), len(now.against), margin, metric
        ),
        difference=now.decision.difference,
        control=now.decision.control,
        against_plain=[
            plain_sentence(what, words(c), against[c.control], metric, margin)
            for c in plain
            if c.control in against and c.control not in omitted
        ],
        remarks=remarks,
    )


def _trained(study: Study, ours: Retrained, records: Sequence[Record]) -> Trained:
    return trained_by(study, _trial_of(ours, records))


def _trial_of(configuration: Retrained, records: Sequence[Record]) -> TrialConfig:
    name = configuration.name
    config = next(r.config for r in retrained(records) if r.config["candidate"] == name)
    return TrialConfig.from_flat(config["trial"])


def of_other_models(controls: Mapping[str, TrialConfig], ours: TrialConfig) -> set[str]:
    """Return the controls, given with their trials, that are of another source model than the
    candidate's although there are some of the same kind that are of its own: a frozen one, or
    columns alone."""
    own = {
        kind_of(name) for name, trial in controls.items() if trial.source_model == ours.source_model
    }
    return {
        name
        for name, trial in controls.items()
        if trial.source_model != ours.source_model and kind_of(name) in own
    }
