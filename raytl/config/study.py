"""The whole study and its sections."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from raytl.config.base import Count, Frozen, Location
from raytl.config.confirm import ConfirmConfig
from raytl.config.distribution import Distribution
from raytl.config.resources import ResourcesConfig
from raytl.config.source_model import SourceModelConfig
from raytl.config.task_facts import TASK_FACTS, HeadName, MetricName, TaskName, task_of_metric

# The law that source domains are held to, before and after datasets are opened.
WITHHELD = (
    "rows that the target is judged by, or whose labels it leaves out, must not be learnt from"
)


class SplitNames(Frozen):
    """Which split of the dataset plays which part."""

    train: str = "train"
    validation: str | None = None  # None: held out of train by `validation_fraction`
    test: str = "test"


class DomainConfig(Frozen):
    """A dataset, in a folder or behind a URL, and how its splits are used."""

    dataset: Location
    splits: SplitNames = SplitNames()
    inputs: tuple[str, ...] | None = None  # columns that are learnt from; None: all that there are
    target: str | None = None  # the column that is learnt; None: the only one
    # Held out of train; of `labels: N`, also where a validation split is named
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2

    def read_splits(self) -> list[str]:
        """Return the splits that are read, each in a part of its own."""
        return [name for name in (self.splits.train, self.splits.validation) if name is not None]

    @model_validator(mode="after")
    def _splits_apart(self) -> "DomainConfig":
        names = self.read_splits()
        if len(set(names)) < len(names):
            raise ValueError(
                "splits: each part must be another split, so that no row is learnt from and judged "
                f"by, got {', '.join(names)}; name another one, or leave out validation to hold "
                "rows out of train"
            )
        return self


class TargetDomainConfig(DomainConfig):
    """The target domain. With `labels: N`, N labels per class are known to one training and its
    selection in all, those held out for validation included, from whichever split these are."""

    labels: Literal["none", "all"] | PositiveInt = "all"

    def read_splits(self) -> list[str]:
        return [*super().read_splits(), self.splits.test]


# target_entropy and all after it use no target label; see scoring.validators.
Objective = Literal[
    "target_metric", "target_entropy", "bnm", "snd", "mixval", "iwv", "dev", "circv"
]


class SearchConfig(Frozen):
    """How the space is searched."""

    sampler: Literal["tpe", "random", "grid"] = "tpe"
    trials: PositiveInt = 32  # controls not counted; grid: the most that are run
    seed: Count = 0
    # Stops searched trials early, and the tries of a control among themselves; none: all run whole
    scheduler: Literal["asha", "median", "none"] = "asha"
    # target_accuracy: the older name of target_metric, whatever the metric is
    objective: Literal["auto", "target_accuracy"] | Objective = "auto"
    # auto: by what the target asks for and how rare its classes are (scoring/choosing.py)
    metric: Literal["auto"] | MetricName = "auto"
    # Source models are tried in the order of this score first, each with trial 0's other values.
    ranking: Literal["none", "log_me", "h_score", "n_leep", "size"] = "none"
    control_tries: PositiveInt = 3  # learning rates tried for each control
    # tpe: trial n is asked for once trials 0 … n - parallel have ended, and at most so many
    # searched trials run at once; None: trials // 8, from 2 to 8, when the study first starts
    parallel: PositiveInt | None = None


class AugmentConfig(Frozen):
    """Random augmentation of the training rows of both domains: images and sounds."""

    flip: bool = False  # images left to right, half of the rows
    # Shift by up to so many pixels, or bands and frames of sounds; black, or the mean, from outside
    crop: Count = 0
    # None: drawn anew in each step, so that no prefix features can be stored.
    # k: each row has k fixed augmented copies, one of which is drawn in each epoch.
    views: PositiveInt | None = None

    @model_validator(mode="after")
    def _views_of_something(self) -> "AugmentConfig":
        if self.views is not None and not self.active:
            raise ValueError("views are of augmented rows; give flip: true or crop: N, or no views")
        return self

    @property
    def active(self) -> bool:
        """Whether anything is changed."""
        return self.flip or self.crop > 0


# auto: resident where the data take less than half of a node's memory, ray_data where they lie
# behind a URL and no node can keep them, else streaming; the rows of a step are the same
FeedKind = Literal["auto", "resident", "streaming", "ray_data"]


class TrainConfig(Frozen):
    """The budget of every trial, and how batches are read."""

    epochs: PositiveInt = 10
    batch_size: PositiveInt = 64  # of each domain's stream
    steps_per_epoch: PositiveInt | None = None  # None: one pass over the longest stream
    accumulation_steps: PositiveInt = 1  # parts of a batch whose gradients are added up
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16: autocast in training
    feed: FeedKind = "auto"
    augment: AugmentConfig = AugmentConfig()
    # Compute a frozen prefix once for all trials, where that pays: on each node, or of large data
    # by the cluster before they start (docs/data.md). What a transform prepared of rows (token
    # numbers, spectrograms) is kept either way: it is the same bit by bit.
    reuse_prefix: bool = True
    prefix_dtype: Literal["float32", "bfloat16"] = "float32"  # of stored features
    prefix_cache_bytes: PositiveInt = 4 * 2**30  # of the cache folder, at most
    # Compile networks with torch.compile: takes a minute or more, and gains most on GPUs. Rows of
    # one shape only; trials of a group, which run no network, gain nothing
    compile: bool = False
    # The same bits in each run on the same kind of GPU; an operation that cannot is refused
    deterministic: bool = False
    benchmark: bool = False  # cuDNN tries its algorithms and takes the fastest one of now
    # Trials that train on the same features as one batched module, at most; auto: where it pays
    fuse: Literal["auto", "off"] | Annotated[int, Field(ge=2)] = "auto"

    @model_validator(mode="after")
    def _check_algorithms(self) -> "TrainConfig":
        if self.deterministic and self.benchmark:
            raise ValueError(
                "deterministic and benchmark exclude each other, as the fastest algorithm is "
                "another one each time; leave one out"
            )
        return self


class Study(Frozen):
    """The whole search, as written in a study file: checked, frozen.

    Examples:
        >>> study = raytl.Study.model_validate({
        ...     "study": "mine",
        ...     "target_domain": {"dataset": "data/digits", "labels": 8},
        ...     "source_models": {"lenet": {"path": "sources/lenet"}},
        ...     "space": {"frozen_depth": {"choice": ["0%", "50%"]}},
        ... })
        >>> study.search.trials, study.labelled
        (32, True)
    """

    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    source_domain: DomainConfig | None = None
    target_domain: TargetDomainConfig
    source_models: Annotated[dict[str, SourceModelConfig], Field(min_length=1)]
    # Dotted keys of TrialConfig that the space does not search
    defaults: dict[str, Any] = Field(default_factory=dict)
    space: dict[str, Distribution] | str  # or "module:function", called with Optuna's trial
    search: SearchConfig = SearchConfig()
    train: TrainConfig = TrainConfig()
    confirm: ConfirmConfig = ConfirmConfig()
    resources: ResourcesConfig = ResourcesConfig()

    @property
    def labelled(self) -> bool:
        """Whether any target label may be used."""
        return self.target_domain.labels != "none"

    @property
    def objective(self) -> Objective:
        """What trials are selected by; `auto` is the metric with target labels. Without any it is
        bnm for classes, the safest choice within a recipe in benchmarks/digits_table.py, and iwv
        for other tasks, whose rows have no class probabilities."""
        wanted = self.search.objective
        if wanted == "target_accuracy" or (wanted == "auto" and self.labelled):
            return "target_metric"
        if wanted == "auto":
            return "bnm" if "classes" in self.gives else "iwv"
        return wanted

    @property
    def metric(self) -> MetricName:
        """What the study is judged by, once that is decided; accuracy until then."""
        return "accuracy" if self.search.metric == "auto" else self.search.metric

    @property
    def task(self) -> TaskName:
        """The task that is judged by the study's metric."""
        return task_of_metric(self.metric)

    @property
    def gives(self) -> frozenset[str]:
        """What that task gives: see `TaskFacts`."""
        return TASK_FACTS[self.task].gives

    def decided(
        self,
        *,
        parallel: int | None = None,
        feed: FeedKind | None = None,
        metric: Literal["auto"] | MetricName | None = None,
        head: HeadName | None = None,
    ) -> "Study":
        """Return the study with its lag, its feed, its metric or its head, which a study may leave
        open; what is None stays as it is. A linear head is not written down: it is a trial's own
        default."""
        search = {"parallel": parallel, "metric": metric}
        found = {name: value for name, value in search.items() if value is not None}
        train = {} if feed is None else {"feed": feed}
        defaults = {} if head in (None, "linear") else {"head": head}
        return self.model_copy(
            update={
                "defaults": self.defaults | defaults,
                "search": self.search.model_copy(update=found),
                "train": self.train.model_copy(update=train),
            }
        )

    @property
    def withheld(self) -> set[str]:
        """The target's splits that the study is judged by, or leaves labels of out: of which a
        source domain must not learn."""
        source, target = self.source_domain, self.target_domain
        named = {target.splits.test, target.splits.validation or target.splits.test}
        whole = target.splits.validation is not None and target.labels == "all"
        if whole or (source is not None and _other_columns(source, target)):
            return named
        return named | {target.splits.train}

    @model_validator(mode="after")
    def _check_domains_apart(self) -> "Study":
        source, target = self.source_domain, self.target_domain
        if source is None or source.dataset != target.dataset:
            return self
        shared = self.withheld & set(source.read_splits())
        if shared:
            raise ValueError(
                f"source_domain: {WITHHELD}, but both domains read split "
                f"{', '.join(sorted(shared))} of {target.dataset}; name another split or dataset"
            )
        return self

    @model_validator(mode="after")
    def _check_gpus(self) -> "Study":
        gpus = self.resources.gpus_per_worker
        if gpus > 1:
            raise ValueError(
                "resources: gpus_per_worker <= 1 must hold, for a worker trains on one GPU and "
                f"others would idle, got {gpus:g}; take 1, and workers_per_trial: {math.ceil(gpus)}"
            )
        if self.resources.workers[1] > 1 and 0 < gpus < 1:
            raise ValueError(
                "resources: several workers of a trial need a GPU each (NCCL), got "
                f"gpus_per_worker={gpus:g}; take 1, or workers_per_trial: 1"
            )
        return self

    @model_validator(mode="after")
    def _check_batch(self) -> "Study":
        parts = self.train.accumulation_steps * self.resources.workers[1]
        if parts > self.train.batch_size:
            raise ValueError(
                "train.batch_size >= accumulation_steps × workers_per_trial must hold, so that "
                f"each has a row, got {self.train.batch_size} for {parts}; raise train.batch_size"
            )
        return self

    @model_validator(mode="after")
    def _check_objective(self) -> "Study":
        if self.objective == "target_metric" and not self.labelled:
            raise ValueError(
                f"search.objective: {self.search.objective} needs target labels, but "
                "target_domain.labels is none; use auto"
            )
        if not self.labelled and self.source_domain is None:
            raise ValueError(
                "target_domain.labels is none and there is no source_domain: no labels to learn "
                "from; add a source_domain or labels"
            )
        return self


def _other_columns(source: DomainConfig, target: DomainConfig) -> bool:
    """Whether two domains of one dataset learn different columns; one alone needs no name."""
    return None not in (source.target, target.target) and source.target != target.target
