"""One trial in training, in a plain Python process."""

import contextlib
import time
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from raytl.config import TrialConfig
from raytl.data.batch import TrainBatch
from raytl.data.mixing import joint_batches, steps_per_epoch
from raytl.devices import placed
from raytl.models.mappers import Matrix
from raytl.models.sync_batch_norm import synchronise_batch_norm
from raytl.predictions import FILE_NAME as PREDICTIONS
from raytl.predictions import Predictions
from raytl.ranks import own_share
from raytl.recipes import RECIPES
from raytl.seeds import seed_for
from raytl.training.building import TrialParts, build_trial
from raytl.training.checkpoint import load_checkpoint, save_checkpoint
from raytl.training.closed_form import fit_matrix
from raytl.training.compiling import compile_blocks, eagerly
from raytl.training.evaluation import Evaluation, evaluate
from raytl.training.evidence import evidence_feeds
from raytl.training.fitted_task import fit_constant
from raytl.training.judging import Metrics, metric_of, of_test_split, validated
from raytl.training.loop import Trainer, train_epoch
from raytl.training.material import Material
from raytl.training.optimization import build_optimizer
from raytl.training.pictures import pictures
from raytl.training.precision import autocasts
from raytl.training.rows_read import rows_read
from raytl.training.torch_options import torch_options
from raytl.training.trial_feeds import readers_of, training_feeds

Save = Callable[[Path], None]
Report = Callable[[Metrics, Save], None]


class TrialRun:
    """A trial in training: what it trains and reads, and how far it is."""

    def __init__(
        self,
        material: Material,
        trial: TrialConfig,
        seed: int,
        *,
        device: str = "cpu",
        resume_from: Path | None = None,
        test: bool = False,
        micro_batches: int | None = None,
        rows_seed: int | None = None,
    ) -> None:
        """
        Args:
            seed: of everything random in this trial, but for its rows.
            rows_seed: draws which rows of the target are labelled and which are held out; by
                default the study's seed, so that all trials of a search are judged on the same.
            resume_from: a checkpoint's folder; training goes on at the next epoch's first batch.
            test: read the test split after the last epoch (confirmation only).
            micro_batches: parts of a batch; the study's by default. A checkpoint's, where memory
                ran out before it.
        """
        study = material.study
        self.material, self.study, self.seed, self._test = material, study, seed, test
        self.rows_seed = study.search.seed if rows_seed is None else rows_seed
        self.predictions: Predictions | None = None  # of the test split, once it was read
        self.device = torch.device(device)
        self.parts = parts = build_trial(material, trial, seed, rows_seed)
        synchronise_batch_norm(parts.model, self.device)
        for module in (parts.model, parts.recipe):
            placed(module, self.device)
        optimizer = build_optimizer(trial, parts.model, parts.recipe)
        self.epoch = 0  # epochs done
        parts_of_batch = micro_batches or study.train.accumulation_steps
        if resume_from is not None:
            state = load_checkpoint(resume_from, parts.model, parts.recipe, optimizer)
            self.epoch = state.epoch
            parts_of_batch = max(parts_of_batch, state.micro_batches)
        streams = RECIPES[trial.recipe].streams(study.labelled, study.source_domain is not None)
        read = rows_read(material, streams, self.rows_seed)
        readers = readers_of(material, parts, self.device, read)
        self._readers = readers.of(parts.model.named_branches)
        self.feeds, self._validation, self._source_validation = training_feeds(
            material, readers, self._readers, read, seed
        )
        self._evidence = None
        if study.objective != "target_metric":  # nothing else asks validators
            self._evidence = evidence_feeds(
                material, self._readers, self.rows_seed,
                with_source=self._source_validation is not None and parts.recipe.shares_classes,
            )  # fmt: skip
        if isinstance(parts.model.mapper, Matrix) and resume_from is None:
            fit_matrix(parts.model, trial.mapper.fit, self.feeds, self.device)
        if resume_from is None:
            fit_constant(parts.model.head, parts.task)
        self.steps = study.train.steps_per_epoch or steps_per_epoch(self.feeds)
        self.trainer = Trainer(
            parts.model, parts.recipe, optimizer, trial.optimizer, self.device,
            steps=self.steps * study.train.epochs, step=self.steps * self.epoch,
            micro_batches=parts_of_batch,
            autocast=autocasts(study.train, self.device),
            **_reads(material, self.feeds, parts.model.named_branches),
        )  # fmt: skip
        if study.train.compile:  # only now: what came before ran on batches of its own
            compile_blocks(parts.branches, self.device)
        self._batches: Generator[TrainBatch, None, None] | None = None  # of the steps from now on
        self._read = 0  # steps before those

    @property
    def reads_features(self) -> bool:
        """Whether every branch of the model is given features, so that no backbone is run."""
        return self._readers.only_features

    @property
    def done(self) -> bool:
        """Whether every epoch is trained."""
        return self.epoch >= self.study.train.epochs

    @property
    def epoch_seed(self) -> int:
        """The seed of what the next epoch draws: a resumed trial draws the same. Each worker has
        its own, for its rows' dropout."""
        rank = own_share().rank
        return seed_for(self.seed, "epoch", self.epoch, *([rank] if rank else []))

    def train(self) -> Metrics:
        """Train for one epoch. Raises TrainingError where a loss is not finite."""
        torch.manual_seed(self.epoch_seed)  # dropout draws from the global generator
        start = time.perf_counter()
        metrics: Metrics = train_epoch(self.trainer, self._own_batches(), self.steps)
        self._read = self.trainer.step
        return metrics | {"train/seconds": time.perf_counter() - start}

    def judge(self, metrics: Metrics) -> Metrics:
        """Count an epoch as done; return its training `metrics` and what there is to measure."""
        self.epoch += 1
        if self.material.domains.target.learnt_K is None:  # else nothing is held out
            with eagerly(self.study.train.compile):
                metrics = metrics | validated(
                    self.study, self.parts, self._validation, self._source_validation,
                    self._evidence, self.device, last=self.done,
                )  # fmt: skip
        metrics |= {"epoch": self.epoch, "step": self.trainer.step}
        metrics |= {"frozen_blocks": self.parts.model.num_frozen_blocks()}
        metrics["trainable_parameters"] = self.parts.model.num_trainable()
        if self.study.train.precision == "bfloat16" and not self.trainer.autocast:
            metrics["train/in_float32"] = 1  # for want of a GPU that has bfloat16
        if self._test and self.done:
            split = self.study.target_domain.splits.test
            with eagerly(self.study.train.compile):
                result = self._evaluate_split(split)
            self.predictions = result.predictions
            metrics |= of_test_split(result)
        return metrics

    def _own_batches(self) -> Iterator[TrainBatch]:
        if self._read != self.trainer.step:  # its group has trained since, by batches of its own
            self.close()
        if self._batches is None:
            self._batches = joint_batches(self.feeds, start_step=self.trainer.step)
        return self._batches

    def close(self) -> None:
        """End what reads training batches; more training opens it again."""
        if self._batches is not None:
            self._batches.close()
        self._batches = None

    def _evaluate_split(self, split: str) -> Evaluation:
        """Evaluate on a whole split of the target domain, with its groups."""
        train, target, task = self.study.train, self.material.domains.target, self.parts.task
        feed = self._readers.feed(
            target, split, indices=None, labelled=True, batch_size=train.batch_size, seed=0,
            kind=train.feed,
        )  # fmt: skip
        result = evaluate(self.parts.model, task, feed, self.device, names=())
        drawn = pictures(self.parts.model, task, self._readers, target, split, self.device)
        predictions = replace(
            result.predictions, group_N=target.split(split).groups(), picture_N=drawn
        )
        measured = task.measure(predictions) | task.measure(predictions, [self._metric])
        return replace(result, predictions=predictions, metrics=measured)

    @property
    def _metric(self) -> str:
        return metric_of(self.study, self.parts.task)

    def save(self, folder: Path) -> None:
        """Write a checkpoint into `folder`, and the test split's predictions once it was read."""
        trainer = self.trainer
        save_checkpoint(
            folder, trainer.model, trainer.recipe, None if self.done else trainer.optimizer,
            self.epoch, trainer.micro_batches,
        )  # fmt: skip
        if self.predictions is not None:
            self.predictions.write(folder / PREDICTIONS)


def run_trial(
    material: Material,
    trial: TrialConfig,
    seed: int,
    report: Report,
    *,
    device: str = "cpu",
    resume_from: Path | None = None,
    test: bool = False,
    micro_batches: int | None = None,
    rows_seed: int | None = None,
) -> TrialParts:
    """Train `trial` for the study's epochs and report metrics after each: see `TrialRun`.

    `report` is called once an epoch with the metrics and a function that saves a checkpoint.
    Raises TrainingError where a loss is not finite.
    """
    with torch_options(material.study.train):
        run = TrialRun(
            material, trial, seed, device=device, resume_from=resume_from, test=test,
            micro_batches=micro_batches, rows_seed=rows_seed,
        )  # fmt: skip
        with contextlib.closing(run):
            while not run.done:
                report(run.judge(run.train()), run.save)
    return run.parts


def _reads(
    material: Material, streams: Collection[str], branches: Collection[str]
) -> dict[str, bool]:
    """Return `reads_all` and `reads_alike` of the trainer: which branches' columns the domains of
    the streams have."""
    source, target = material.domains.source, material.domains.target
    domains = [source if stream == "source" else target for stream in streams]
    found = [
        {b for b in branches if d is not None and material.domains.column_in(d, b) is not None}
        for d in domains
    ]
    return {
        "reads_all": set().union(*found) == set(branches),
        "reads_alike": all(of == set(branches) for of in found),
    }
