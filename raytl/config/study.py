"""The whole study and its sections."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from raytl.config.base import (
    LOCAL_WEIGHTS,
    AbsolutePath,
    Count,
    Finite,
    Frozen,
    Positive,
    Weights,
)
from raytl.config.confirm import ConfirmConfig
from raytl.config.distribution import Distribution
from raytl.config.resources import ResourcesConfig
from raytl.folders import rooted


class SplitNames(Frozen):
    """Which split of the dataset plays which part."""

    train: str = "train"
    validation: str | None = None  # None: held out of train by `validation_fraction`
    test: str = "test"


class DomainConfig(Frozen):
    """A dataset folder and how its splits are used."""

    dataset: AbsolutePath
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


class Normalization(Frozen):
    """Per-channel mean and standard deviation of pixels scaled to [0, 1]."""

    mean: tuple[Finite, ...]
    std: tuple[Positive, ...]

    @model_validator(mode="after")
    def _a_number_a_channel(self) -> "Normalization":
        if not self.mean or len(self.mean) != len(self.std):
            raise ValueError(
                "give a number a channel; mean and std must be as long, got "
                f"{len(self.mean)} and {len(self.std)}"
            )
        return self


def _absolute_vectors(transform: dict[str, Any]) -> dict[str, Any]:
    """Word vectors are a file, and trials run in folders of their own."""
    vectors = transform.get("vectors")
    return transform | {"vectors": str(rooted(vectors))} if isinstance(vectors, str) else transform


ORIGINS = ("path", "torchvision", "timm", "huggingface", "backbone")


class SourceModelConfig(Frozen):
    """Where a source model comes from: `path` (raytl's own folder), `torchvision` or `timm` (a name
    and its weights), `huggingface` (a local folder or a name), or `backbone` (fresh weights, or a
    local state dict in `weights`)."""

    path: AbsolutePath | None = None
    torchvision: str | None = None
    timm: str | None = None
    huggingface: str | None = None
    backbone: str | None = None
    # torchvision: DEFAULT or a member's name; timm: true for the hub's; or a file of one's own
    weights: Literal[True] | Weights | None = None
    args: dict[str, Any] = Field(default_factory=dict)  # arguments of the backbone
    # Side in pixels, at most 4096; None: the data's, or the least allowed
    input_size: Annotated[int, Field(gt=0, le=4096)] | None = None
    normalization: Normalization | None = None  # None: ImageNet's with weights, else mean=std=0.5
    # How rows that are no images become what the network reads: see each modality's options
    transform: Annotated[dict[str, Any], AfterValidator(_absolute_vectors)] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _one_origin(self) -> "SourceModelConfig":
        origins = [name for name in ORIGINS if getattr(self, name) is not None]
        if len(origins) != 1:
            raise ValueError(
                f"give exactly one of {', '.join(ORIGINS[:-1])} and {ORIGINS[-1]}, got "
                f"{origins or 'none'}"
            )
        fixed = ("weights", "args", "input_size", "normalization", "transform")
        given = [name for name in fixed if getattr(self, name)]
        if self.path is not None and given:
            raise ValueError(f"path already fixes {', '.join(fixed)}; remove {', '.join(given)}")
        if self.torchvision is not None and self.weights is None:
            raise ValueError(
                "torchvision needs weights: DEFAULT, a member's name or a .pth file; "
                "for fresh weights write backbone: instead"
            )
        if self.timm is not None and self.weights is None:
            raise ValueError("timm needs weights: true for the hub's, or a local file")
        if self.weights is True and self.timm is None:
            raise ValueError("weights: true means something to timm alone; give a name or a file")
        if self.huggingface is not None and self.weights is not None:
            raise ValueError("huggingface has its weights in its folder; remove weights")
        return self

    @property
    def origin(self) -> str:
        """The name of the network, or the folder that it lies in."""
        return str(next(getattr(self, name) for name in ORIGINS if getattr(self, name) is not None))

    @property
    def has_local_weights(self) -> bool:
        """Whether `weights` is a file of one's own."""
        return isinstance(self.weights, str) and self.weights.endswith(LOCAL_WEIGHTS)

    @property
    def is_fresh(self) -> bool:
        """Whether the weights are random, so that nothing is transferred."""
        given = (self.path, self.huggingface, self.weights, self.transform.get("vectors"))
        return all(origin is None for origin in given)


# What a study is judged by; see scoring.metrics.
MetricName = Literal[
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "auc",
    "average_precision",
    "log_loss",
    "rmse",
    "mae",
    "r2",
]
VALUE_METRICS: tuple[MetricName, ...] = ("rmse", "mae", "r2")  # of values; the others of classes

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
    """Random augmentation of the training rows of both domains."""

    flip: bool = False  # left to right, half of the rows
    crop: Count = 0  # shift by up to so many pixels, black from outside
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


FeedKind = Literal["auto", "resident", "streaming"]


class TrainConfig(Frozen):
    """The budget of every trial, and how batches are read."""

    epochs: PositiveInt = 10
    batch_size: PositiveInt = 64  # of each domain's stream
    steps_per_epoch: PositiveInt | None = None  # None: one pass over the longest stream
    accumulation_steps: PositiveInt = 1  # parts of a batch whose gradients are added up
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16: autocast in training
    feed: FeedKind = "auto"
    augment: AugmentConfig = AugmentConfig()
    reuse_prefix: bool = True  # compute a frozen prefix once for all trials, where that pays
    prefix_dtype: Literal["float32", "bfloat16"] = "float32"  # of stored features
    prefix_cache_bytes: PositiveInt = 4 * 2**30  # of the cache folder, at most
    # Trials that train on the same features as one batched module, at most; auto: where it pays
    fuse: Literal["auto", "off"] | Annotated[int, Field(ge=2)] = "auto"


class Study(Frozen):
    """The whole search, as written in a study file."""

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
        bnm for classes, the safest choice within and between recipes in benchmarks/digits_table.py,
        and iwv for values, which have no probabilities."""
        wanted = self.search.objective
        if wanted == "target_accuracy" or (wanted == "auto" and self.labelled):
            return "target_metric"
        if wanted == "auto":
            return "iwv" if self.gives == {"values"} else "bnm"
        return wanted

    @property
    def metric(self) -> MetricName:
        """What the study is judged by, once that is decided; accuracy until then."""
        return "accuracy" if self.search.metric == "auto" else self.search.metric

    @property
    def gives(self) -> frozenset[str]:
        """What a task that the metric suits gives: "classes" or "values"; see `tasks.base`."""
        return frozenset({"values" if self.metric in VALUE_METRICS else "classes"})

    def decided(
        self,
        *,
        parallel: int | None = None,
        feed: FeedKind | None = None,
        metric: Literal["auto"] | MetricName | None = None,
    ) -> "Study":
        """Return the study with its lag, its feed or its metric, which a study may leave open; what
        is None stays as it is."""
        search = {"parallel": parallel, "metric": metric}
        found = {name: value for name, value in search.items() if value is not None}
        train = {} if feed is None else {"feed": feed}
        return self.model_copy(
            update={
                "search": self.search.model_copy(update=found),
                "train": self.train.model_copy(update=train),
            }
        )

    @model_validator(mode="after")
    def _check_domains_apart(self) -> "Study":
        source, target = self.source_domain, self.target_domain
        if source is None or source.dataset != target.dataset:
            return self
        judged_by = {target.splits.test, target.splits.validation} - {None}
        shared = judged_by & set(source.read_splits())
        if shared:
            raise ValueError(
                "source_domain: rows that the target is judged by must not be learnt from, but "
                f"both domains read split {', '.join(sorted(map(str, shared)))} of "
                f"{target.dataset}; name another split or dataset"
            )
        return self

    @model_validator(mode="after")
    def _check_gpus(self) -> "Study":
        gpus = self.resources.gpus_per_worker
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
