"""One configuration of the search."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field, PositiveInt, model_validator

from raytl.config.base import Count, Frozen, NonNegative, Positive, PositiveFraction, Probability
from raytl.config.depths import BlockRange, FrozenDepth
from raytl.config.task_facts import HeadName

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
    "entropy_minimisation",
    "importance_weighting",
    "tradaboost",
    "distillation",
    "relational_distillation",
    "scratch",
    "source_only",
    "target_only",
    "constant",
    "naive",
    "seasonal_naive",
]
ControlName = Literal[
    "scratch",
    "source_only",
    "linear_probe",
    "target_only",
    "constant",
    "naive",
    "seasonal_naive",
]
MapperName = Literal["identity", "linear", "matrix", "mlp", "residual", "conv1x1", "attention"]
FusionName = Literal["concat", "gated", "mean"]
# The head of recipes that have their answer before any step, each the only one with it
UNTRAINED_HEADS: dict[RecipeName, HeadName] = {
    "constant": "constant",
    "naive": "naive",
    "seasonal_naive": "naive",
}
CONTROLS: tuple[ControlName, ...] = get_args(ControlName)


class MapperConfig(Frozen):
    """The module between the source features and the head."""

    name: MapperName = "identity"
    hidden: PositiveInt = 128  # width of the hidden layer of mlp, residual and attention
    out: PositiveInt | None = None  # width of linear, mlp and conv1x1; None: the features' width
    fit: Literal["coral", "class_means"] = "coral"  # what matrix is fitted to
    # linear and mlp: normalise z over the batch, which keeps a target encoder's features at the
    # source's scale: adda is unstable without
    batch_norm: bool = False


class HeadConfig(Frozen):
    """The target network after the mapper."""

    name: HeadName = "linear"
    # Width of the hidden layer of mlp and cnn_fc, of unet's deepest one, and of the maps of
    # faster_rcnn's pyramid
    hidden: PositiveInt = 128
    dropout: Probability = 0.0  # before the last layer


class FusionConfig(Frozen):
    """How the features of several columns are joined."""

    name: FusionName = "concat"
    width: PositiveInt | None = None  # of gated and mean; None: the widest branch's
    dropout: Probability = 0.0  # share of a row's branches that training hides, never all of them


class OptimizerConfig(Frozen):
    """Optimiser and learning-rate schedule."""

    name: Literal["sgd", "adam", "adamw"] = "adam"
    # Highest, after warm-up; by default 0.01 with sgd, else 0.002
    lr: Positive = Field(default_factory=lambda given: 0.01 if given["name"] == "sgd" else 0.002)
    momentum: Probability = 0.9  # sgd only
    weight_decay: NonNegative = 5e-4  # L2 for sgd and adam, decoupled for adamw
    # Learning rate of transferred blocks, relative to lr; auto: by the optimiser, and by whether
    # they normalise their features (config/learning_rates.py)
    transferred_lr_scale: NonNegative | Literal["auto"] = "auto"
    layer_decay: PositiveFraction = 1.0  # and times this for each block further from the head
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: Probability = 0.05  # fraction of all steps in which the learning rate rises
    clip_norm: NonNegative = 5.0  # longest gradient of a step, over all that is trained; 0: any


# What `raytl pretrain` trains by, where nothing else is said: random weights bear a higher rate
PRETRAINING = OptimizerConfig(lr=0.005)


class TrialConfig(Frozen):
    """One configuration of the search, complete."""

    source_model: str
    inputs: str = "all"  # which of the source model's columns are read: all, or one by name
    frozen_depth: FrozenDepth = "0%"
    # frozen_depth.COLUMN: of one branch, in place of frozen_depth
    branch_depths: dict[str, FrozenDepth] = Field(default_factory=dict)
    tuned_blocks: BlockRange | None = None  # train these blocks alone, instead of frozen_depth
    # rank of the adapters on linear and convolutional layers of frozen blocks; 0: none
    lora_rank: Count = 0
    lora_alpha: Positive = 8.0  # adapters count α / rank times
    fusion: FusionConfig = FusionConfig()
    mapper: MapperConfig = MapperConfig()
    head: HeadConfig = HeadConfig()
    recipe: RecipeName = "finetune"
    adversarial_lambda: NonNegative = 1.0  # λ in L = L_task + λ·L_domain
    lambda_schedule: Literal["ganin", "constant"] = "ganin"
    discriminator_hidden: PositiveInt = 128
    entropy_conditioning: bool = False  # cdan: weigh rows by certainty (CDAN+E)
    margin: Positive = 4.0  # mdd: γ, the logarithm of the margin is log γ
    alignment_lambda: NonNegative = 1.0  # weight of what dan, deep_coral, mcc and
    # entropy_minimisation add to L_task
    temperature: Positive = 2.5  # of mcc's confusion
    probe_fraction: PositiveFraction = 0.5  # of all steps: lp_ft's probe, adda's source training,
    # the time in which gradual_unfreezing frees all blocks
    l2_sp: NonNegative = 0.0  # finetune: α of (α / 2)·‖w - w_source‖², instead of weight decay
    distillation_temperature: Positive = 4.0
    distillation_weight: NonNegative = 1.0  # of the teacher's loss beside the labels' loss
    student: str | None = None  # source model whose architecture learns from the teacher
    label_smoothing: Probability = 0.0
    # balanced: each row's loss counts with its class's weight in its domain, so that all classes
    # weigh alike there
    class_weights: Literal["none", "balanced"] = "none"
    optimizer: OptimizerConfig = OptimizerConfig()

    @model_validator(mode="after")
    def _check_constant(self) -> "TrialConfig":
        wanted = UNTRAINED_HEADS.get(self.recipe)
        if wanted != (self.head.name if self.head.name in UNTRAINED_HEADS.values() else None):
            known = wanted or self.head.name
            raise ValueError(
                f"recipe {known} and head {known} go together, and studies have them as a control "
                f"where they make sense, got recipe {self.recipe} with head {self.head.name}; take "
                "another one"
            )
        return self

    @classmethod
    def from_flat(cls, flat: Mapping[str, Any]) -> "TrialConfig":
        """Build from dotted keys; `mapper: mlp` is short for `mapper.name: mlp`."""
        nested: dict[str, Any] = {}
        for key, value in flat.items():
            section, _, name = key.partition(".")
            if section in SECTIONS:
                nested.setdefault(section, {})[name or "name"] = value
            elif key.startswith(OF_BRANCH):
                nested.setdefault("branch_depths", {})[name] = value
            else:
                nested[key] = value
        return cls.model_validate(nested)

    def flat(self) -> dict[str, Any]:
        """Return the dotted keys of `from_flat`."""
        out: dict[str, Any] = {}
        for key, value in self.model_dump().items():
            if key in SECTIONS:
                out |= {key if k == "name" else f"{key}.{k}": v for k, v in value.items()}
            elif key == "branch_depths":
                out |= {f"{OF_BRANCH}{branch}": depth for branch, depth in value.items()}
            else:
                out[key] = value
        return out

    def replace(self, **flat: Any) -> "TrialConfig":
        """Return a copy with dotted keys replaced (`.` written as `__`), checked again."""
        return self.from_flat(self.flat() | {k.replace("__", "."): v for k, v in flat.items()})


OF_BRANCH = "frozen_depth."
SECTIONS = {
    "fusion": FusionConfig,
    "mapper": MapperConfig,
    "head": HeadConfig,
    "optimizer": OptimizerConfig,
}
TRIAL_KEYS: tuple[str, ...] = tuple(TrialConfig(source_model="").flat())


def known_key(key: str) -> bool:
    """Whether a dotted key is one of a trial; of which columns there are, the data says."""
    return key in TRIAL_KEYS or (key.startswith(OF_BRANCH) and key != OF_BRANCH)
