"""The study file and its parts, as frozen pydantic models.

A study is checked in full here before anything heavier is imported: no torch, no Ray. What needs
the data or the weights (class counts, depths, shapes) is checked by `sweeping.preflight`.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from raytl.errors import ConfigError
from raytl.folders import rooted

RecipeName = Literal[
    "linear_probe",
    "finetune",
    "lp_ft",
    "gradual_unfreezing",
    "joint",
    "dann",
    "cdan",
    "adda",
    "mdd",
    "dan",
    "deep_coral",
    "mcc",
    "importance_weighting",
    "tradaboost",
    "distillation",
    "relational_distillation",
    "scratch",
    "source_only",
    "target_only",
]
ControlName = Literal["scratch", "source_only", "linear_probe", "target_only"]
MapperName = Literal["identity", "linear", "matrix", "mlp", "residual", "conv1x1", "attention"]
HeadName = Literal["linear", "mlp", "cosine", "cnn_fc"]
CONTROLS: tuple[ControlName, ...] = get_args(ControlName)

Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveFraction = Annotated[float, Field(gt=0, le=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
# Made absolute once: trials run in folders of their own.
AbsolutePath = Annotated[Path, AfterValidator(rooted)]
LOCAL_WEIGHTS = (".pth", ".pt", ".th", ".safetensors")


def _absolute_weights(weights: str) -> str:
    return str(rooted(weights)) if weights.endswith(LOCAL_WEIGHTS) else weights


Weights = Annotated[str, AfterValidator(_absolute_weights)]


def nearest(word: str, known: list[str]) -> str:
    """Return `word`'s nearest known spelling as a question, or the list of what is known."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else "known: " + ", ".join(known)


class Frozen(BaseModel):
    """A frozen model whose unknown keys are errors that name the nearest known key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for key in data:
                if key not in cls.model_fields:
                    raise ValueError(
                        f"unknown key '{key}'; {nearest(str(key), list(cls.model_fields))}"
                    )
        return data


def _check_depth(value: Any) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", str(value))
    if match and float(match[1]) <= 100:
        return str(value)
    raise ValueError(
        f"frozen_depth must be a number of blocks >= 0 or a percentage 0%..100%, got {value!r}"
    )


FrozenDepth = Annotated[int | str, BeforeValidator(_check_depth)]


_RANGE = re.compile(r"(\d+)(?:-(\d+))?|(\d{1,3})%-(\d{1,3})%")


def _check_range(value: Any) -> str:
    match = _RANGE.fullmatch(str(value))
    if match is not None:
        low, high = int(match[1] or match[3]), int(match[2] or match[4] or match[1])
        if low <= high and (match[3] is None or high <= 100):
            return str(value)
    raise ValueError(
        "tuned_blocks must be a block, a range of blocks or of percentages, such as 0, 2-3 or "
        f"0%-25%, got {value!r}"
    )


BlockRange = Annotated[str, BeforeValidator(_check_range)]


def tuned_blocks(blocks: str, num_blocks: int, backbone: str) -> range:
    """Return the numbers of the blocks that `blocks` names, of a backbone with `num_blocks`.

    Percentages are rounded to the nearest block; the range holds one block at least. Raises
    ConfigError where a block lies beyond the backbone.
    """
    match = _RANGE.fullmatch(blocks)
    assert match is not None
    if match[3] is not None:
        first, end = (round(num_blocks * int(match[i]) / 100) for i in (3, 4))
        first = min(first, num_blocks - 1)
        return range(first, max(end, first + 1))
    last = int(match[2] or match[1])
    if last >= num_blocks:
        raise ConfigError(
            f"tuned_blocks < blocks must hold, but got tuned_blocks={blocks} for {backbone} with "
            f"{num_blocks} blocks, counted from 0; lower it or use percentages"
        )
    return range(int(match[1]), last + 1)


def frozen_blocks(depth: int | str, num_blocks: int, backbone: str) -> int:
    """Return how many leading blocks of a backbone with `num_blocks` blocks `depth` freezes.

    A percentage is rounded to the nearest block. Raises ConfigError where a number of blocks
    goes beyond the backbone.
    """
    if isinstance(depth, str):
        return round(num_blocks * float(depth.removesuffix("%")) / 100)
    if depth > num_blocks:
        raise ConfigError(
            f"frozen_depth <= blocks must hold, but got frozen_depth={depth} for {backbone} "
            f"with {num_blocks} blocks; lower it or use a percentage"
        )
    return depth


# ---------------------------------------------------------------- one trial


class MapperConfig(Frozen):
    """The module between the source features and the head."""

    name: MapperName = "identity"
    hidden: PositiveInt = 128  # width of the hidden layer of mlp, residual and attention
    out: PositiveInt | None = None  # width of linear, mlp and conv1x1; None: the features' width
    fit: Literal["coral", "class_means"] = "coral"  # what matrix is fitted to


class HeadConfig(Frozen):
    """The target network after the mapper."""

    name: HeadName = "linear"
    hidden: PositiveInt = 128  # width of the hidden layer of mlp and cnn_fc
    dropout: Probability = 0.0  # before the last linear layer


class OptimizerConfig(Frozen):
    """Optimiser and learning-rate schedule."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Positive = 0.01
    momentum: Probability = 0.9  # sgd only
    weight_decay: NonNegative = 5e-4  # L2 for sgd and adam, decoupled for adamw
    transferred_lr_scale: NonNegative = 0.1  # learning rate of transferred blocks, relative to lr
    layer_decay: PositiveFraction = 1.0  # and times this for each block further from the head
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: Probability = 0.0  # fraction of all steps with a linear warm-up


class TrialConfig(Frozen):
    """One configuration of the search, complete."""

    source_model: str
    frozen_depth: FrozenDepth = "0%"
    tuned_blocks: BlockRange | None = None  # train these blocks alone, instead of frozen_depth
    lora_rank: Count = 0  # rank of the adapters in frozen blocks; 0: none
    lora_alpha: Positive = 8.0  # adapters count α / rank times
    mapper: MapperConfig = MapperConfig()
    head: HeadConfig = HeadConfig()
    recipe: RecipeName = "finetune"
    adversarial_lambda: NonNegative = 1.0  # λ in L = L_task + λ·L_domain
    lambda_schedule: Literal["ganin", "constant"] = "ganin"
    discriminator_hidden: PositiveInt = 128
    entropy_conditioning: bool = False  # cdan: weigh rows by certainty (CDAN+E)
    margin: Positive = 4.0  # mdd: γ, the logarithm of the margin is log γ
    alignment_lambda: NonNegative = 1.0  # weight of what dan, deep_coral and mcc add to L_task
    temperature: Positive = 2.5  # of mcc's confusion
    probe_fraction: PositiveFraction = 0.5  # of all steps: lp_ft's probe, adda's source training,
    # the time in which gradual_unfreezing frees all blocks
    l2_sp: NonNegative = 0.0  # finetune: α of (α / 2)·‖w - w_source‖², instead of weight decay
    distillation_temperature: Positive = 4.0
    distillation_weight: NonNegative = 1.0  # of the teacher's loss beside the labels' loss
    student: str | None = None  # source model whose architecture learns from the teacher
    label_smoothing: Probability = 0.0
    optimizer: OptimizerConfig = OptimizerConfig()

    @classmethod
    def from_flat(cls, flat: Mapping[str, Any]) -> "TrialConfig":
        """Build from dotted keys; `mapper: mlp` is short for `mapper.name: mlp`."""
        nested: dict[str, Any] = {}
        for key, value in flat.items():
            section, _, name = key.partition(".")
            if section in SECTIONS:
                nested.setdefault(section, {})[name or "name"] = value
            else:
                nested[key] = value
        return cls.model_validate(nested)

    def flat(self) -> dict[str, Any]:
        """Return the dotted keys of `from_flat`."""
        out: dict[str, Any] = {}
        for key, value in self.model_dump().items():
            if key in SECTIONS:
                out |= {key if k == "name" else f"{key}.{k}": v for k, v in value.items()}
            else:
                out[key] = value
        return out

    def replace(self, **flat: Any) -> "TrialConfig":
        """Return a copy with dotted keys replaced (`.` written as `__`), checked again."""
        return self.from_flat(self.flat() | {k.replace("__", "."): v for k, v in flat.items()})


SECTIONS = {"mapper": MapperConfig, "head": HeadConfig, "optimizer": OptimizerConfig}
TRIAL_KEYS: tuple[str, ...] = tuple(TrialConfig(source_model="").flat())


# ---------------------------------------------------------------- the search space


class Distribution(Frozen):
    """One searched key: exactly one of `choice`, `int` and `float`, with an optional `when`."""

    choice: tuple[Any, ...] | None = None
    int_range: tuple[int, int] | None = Field(None, alias="int")  # inclusive
    float_range: tuple[float, float] | None = Field(None, alias="float")  # inclusive
    log: bool = False
    step: Positive | None = None
    when: dict[str, Any] = {}  # parent key → the value, or list of values, that activates this key

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, data: Any) -> Any:
        known = ["choice", "int", "float", "log", "step", "when"]
        if not isinstance(data, Mapping):
            raise ValueError(
                f"expected one of {{choice: …}}, {{int: …}}, {{float: …}}; got {data!r}"
            )
        for key in data:
            if key not in known:
                raise ValueError(f"unknown key '{key}'; {nearest(str(key), known)}")
        return data

    @model_validator(mode="after")
    def _check(self) -> "Distribution":
        tags = [t for t in (self.choice, self.int_range, self.float_range) if t is not None]
        if len(tags) != 1:
            raise ValueError("give exactly one of choice, int and float")
        if self.choice is not None:
            if not self.choice:
                raise ValueError("choice has no values; list at least one")
            if self.log or self.step:
                raise ValueError("log and step are for int and float, not for choice")
            return self
        low, high = self.bounds
        if low > high:
            raise ValueError(f"low <= high must hold, got [{low}, {high}]")
        if self.log and (low <= 0 or self.step):
            raise ValueError(
                f"log needs low > 0 and no step, got [{low}, {high}], step={self.step}"
            )
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """The inclusive range of an int or float distribution."""
        bounds = self.int_range or self.float_range
        assert bounds is not None
        return bounds

    @property
    def is_int(self) -> bool:
        return self.int_range is not None

    def contains(self, value: Any) -> bool:
        """Whether the distribution can produce `value` (steps are not checked)."""
        if self.choice is not None:
            return value in self.choice
        low, high = self.bounds
        return isinstance(value, int | float) and low <= value <= high


# ---------------------------------------------------------------- the study


class SplitNames(Frozen):
    """Which split of the dataset plays which part."""

    train: str = "train"
    validation: str | None = None  # None: held out of train by `validation_fraction`
    test: str = "test"


class DomainConfig(Frozen):
    """A dataset folder and how its splits are used."""

    dataset: AbsolutePath
    splits: SplitNames = SplitNames()
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2


class TargetDomainConfig(DomainConfig):
    """The target domain. With `labels: N`, N labels per class are known in all, those held out
    for validation included."""

    labels: Literal["none", "all"] | PositiveInt = "all"


class Normalization(Frozen):
    """Per-channel mean and standard deviation of pixels scaled to [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[Positive, ...]


class SourceModelConfig(Frozen):
    """Where a source model comes from: `path` (raytl's own folder), `torchvision` (a name and its
    weights), or `backbone` (fresh weights, or a local state dict in `weights`)."""

    path: AbsolutePath | None = None
    torchvision: str | None = None
    backbone: str | None = None
    weights: Weights | None = (
        None  # torchvision: DEFAULT or a member's name; both: a .pth/.pt/.th file
    )
    args: dict[str, Any] = {}  # arguments of the backbone
    input_size: PositiveInt | None = None  # side in pixels; None: the data's, or the least allowed
    normalization: Normalization | None = None  # None: ImageNet's with weights, else mean=std=0.5

    @model_validator(mode="after")
    def _one_origin(self) -> "SourceModelConfig":
        origins = [o for o in ("path", "torchvision", "backbone") if getattr(self, o) is not None]
        if len(origins) != 1:
            raise ValueError(
                f"give exactly one of path, torchvision and backbone, got {origins or 'none'}"
            )
        if self.path is not None and (self.weights or self.args or self.normalization):
            raise ValueError("path already fixes weights, args and normalization; remove them")
        if self.torchvision is not None and self.weights is None:
            raise ValueError(
                "torchvision needs weights: DEFAULT, a member's name or a .pth file; "
                "for fresh weights write backbone: instead"
            )
        return self

    @property
    def has_local_weights(self) -> bool:
        """Whether `weights` is a file of one's own."""
        return self.weights is not None and self.weights.endswith(LOCAL_WEIGHTS)

    @property
    def is_fresh(self) -> bool:
        """Whether the weights are random, so that nothing is transferred."""
        return self.path is None and self.weights is None


# target_entropy and all after it use no target label; see scoring.validators.
Objective = Literal[
    "target_accuracy", "target_entropy", "bnm", "snd", "mixval", "iwv", "dev", "circv"
]
OF_SOURCE_LABELS = ("iwv", "dev", "circv")


class SearchConfig(Frozen):
    """How the space is searched."""

    sampler: Literal["tpe", "random", "grid"] = "tpe"
    trials: PositiveInt = 32  # controls not counted; grid: the most that are run
    seed: Count = 0
    scheduler: Literal["asha", "median", "none"] = "asha"
    objective: Literal["auto"] | Objective = "auto"
    # Source models are tried in the order of this score first, each with trial 0's other values.
    ranking: Literal["none", "log_me", "h_score", "n_leep", "size"] = "none"
    control_tries: PositiveInt = 3  # learning rates tried for each control


class TrainConfig(Frozen):
    """The budget of every trial, and how batches are read."""

    epochs: PositiveInt = 10
    batch_size: PositiveInt = 64  # of each domain's stream
    steps_per_epoch: PositiveInt | None = None  # None: one pass over the longest stream
    feed: Literal["auto", "resident", "streaming"] = "auto"
    reuse_prefix: bool = True  # compute a frozen prefix once for all trials, where that pays
    prefix_dtype: Literal["float32", "bfloat16"] = "float32"  # of stored features
    prefix_cache_bytes: PositiveInt = 4 * 2**30  # of the cache folder, at most


class ConfirmConfig(Frozen):
    """The retraining of the best trials, and the one look at the test split."""

    top: PositiveInt = 3
    seeds: Annotated[int, Field(ge=2)] = 3  # two at least, for a standard error
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95  # confidence of the intervals


class ResourcesConfig(Frozen):
    """What one trial gets, and how many run at once."""

    workers_per_trial: Literal[1] = 1
    cpus_per_worker: PositiveInt = 1
    gpus_per_worker: NonNegative = 0
    max_concurrent: PositiveInt | None = None  # None: what the cluster's resources allow


class Study(Frozen):
    """The whole search, as written in a study file."""

    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    source_domain: DomainConfig | None = None
    target_domain: TargetDomainConfig
    source_models: Annotated[dict[str, SourceModelConfig], Field(min_length=1)]
    defaults: dict[str, Any] = {}  # dotted keys of TrialConfig that the space does not search
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
        """What trials are selected by; `auto` is accuracy with target labels, and without any the
        validator with the smallest gap to the oracle in benchmarks/digits_table.py."""
        if self.search.objective == "auto":
            return "target_accuracy" if self.labelled else "bnm"
        return self.search.objective

    @model_validator(mode="after")
    def _check_objective(self) -> "Study":
        if self.objective == "target_accuracy" and not self.labelled:
            raise ValueError(
                "search.objective: target_accuracy needs target labels, but target_domain.labels "
                "is none; use auto"
            )
        if self.labelled and self.objective in OF_SOURCE_LABELS:
            raise ValueError(
                f"search.objective: {self.objective} reads labelled source rows, which not every "
                "recipe has where there are target labels; use target_accuracy or auto"
            )
        if not self.labelled and self.source_domain is None:
            raise ValueError(
                "target_domain.labels is none and there is no source_domain: no labels to learn "
                "from; add a source_domain or labels"
            )
        return self


# ---------------------------------------------------------------- reading a study file


class _StudyLoader(yaml.SafeLoader):
    """A safe loader that reads `1e-3` as the number it is (YAML 1.2), not as a string."""


_StudyLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)$"),
    list("-+0123456789."),
)


def _lines(
    node: yaml.Node | None, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], int]]:
    if node is None:
        return
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, str(key.value)), key.start_mark.line + 1
            for sub, line in _lines(value, (*path, str(key.value))):
                if sub != (*path, str(key.value)):
                    yield sub, line


def _place(path: Path | None, loc: tuple[str, ...], lines: dict[tuple[str, ...], int]) -> str:
    known = loc
    while known and known not in lines:
        known = known[:-1]
    line = f":{lines[known]}" if known in lines else ""
    where = ".".join(loc)
    return f"{path or 'study'}{line}: {where}: " if where else f"{path or 'study'}{line}: "


def _message(error: Mapping[str, Any]) -> str:
    text = str(error["msg"]).removeprefix("Value error, ")
    got = error.get("input")
    plain = isinstance(got, str | int | float) and repr(got) not in text
    return f"{text}, got {got!r}" if plain else text


def check_study(
    data: Any, path: Path | None = None, lines: Mapping[tuple[str, ...], int] | None = None
) -> Study:
    """Return the checked study; raises ConfigError that lists up to three places and laws."""
    # The search space's own laws live one layer up, and are checked by `search_space.check_space`.
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path or 'study'}: expected keys and values, got {type(data).__name__}")
    try:
        return Study.model_validate(data)
    except ValidationError as error:
        drop = {"function-before", "function-after", "str", "constrained-int", "literal"}
        texts = []
        for item in error.errors():
            loc = tuple(str(part) for part in item["loc"])
            loc = tuple(p for p in loc if p not in drop and not re.search(r"[\[(]", p))
            texts.append(_place(path, loc, dict(lines or {})) + _message(item))
        more = f"\n… and {len(texts) - 3} more" if len(texts) > 3 else ""
        raise ConfigError("\n".join(texts[:3]) + more) from None


def parse_yaml(text: str) -> Any:
    """Parse YAML safely, with YAML 1.2 floats. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=_StudyLoader)


def set_key(data: dict[str, Any], assignment: str) -> None:
    """Apply one `--set key.path=value` in place; the value is read as YAML.

    Keys that themselves hold a dot, as in `space` and `defaults`, are matched whole.
    """
    dotted, equals, text = assignment.partition("=")
    if not equals or not dotted:
        raise ConfigError(f"--set {assignment}: expected key=value, such as search.trials=8")
    parts, node = dotted.split("."), data
    while len(parts) > 1 and parts[0] not in ("space", "defaults"):
        child = node.setdefault(parts.pop(0), {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {assignment}: '{dotted}' goes through a value, not a section")
        node = child
    if len(parts) > 1 and parts[0] in ("space", "defaults"):
        node = node.setdefault(parts.pop(0), {})
    node[".".join(parts)] = parse_yaml(text)


def load_study(path: Path | str, overrides: list[str] | None = None) -> Study:
    """Read and check a study file; `overrides` are `key.path=value` strings.

    Raises ConfigError with the file, the line, the dotted key, the law and the values.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the study: {error.strerror}") from None
    try:
        data = parse_yaml(text)
        lines = dict(_lines(yaml.compose(text, Loader=yaml.SafeLoader))) if data else {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}"
        ) from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a study with keys such as target_domain and space")
    for assignment in overrides or []:
        set_key(data, assignment)
    return check_study(data, path, lines)


def dump_study(study: Study) -> str:
    """Return the study as resolved, as YAML that `load_study` reads back to an equal study."""
    return yaml.safe_dump(
        study.model_dump(mode="json", by_alias=True, exclude_none=True),
        sort_keys=False,
        allow_unicode=True,
    )
