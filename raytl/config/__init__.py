"""The study file and its parts, as frozen pydantic models.

A study is checked in full here before anything heavier is imported: no torch, no Ray. What needs
the data or the weights (class counts, depths, shapes) is checked by `sweeping.preflight`.
"""

from raytl.config.base import Frozen, closest, nearest
from raytl.config.depths import frozen_blocks, tuned_blocks
from raytl.config.distribution import Distribution
from raytl.config.reading import check_study, checked_options, dump_study, load_study, set_key
from raytl.config.resources import ON_ANY_NODE, DataTasks
from raytl.config.source_model import Normalization, SourceModelConfig
from raytl.config.study import (
    AugmentConfig,
    DomainConfig,
    FeedKind,
    SearchConfig,
    Study,
    TargetDomainConfig,
    TrainConfig,
)
from raytl.config.task_facts import TASK_FACTS, HeadName, MetricName, TaskName, task_kind
from raytl.config.trial import (
    CONTROLS,
    PRETRAINING,
    TRIAL_KEYS,
    ControlName,
    FusionConfig,
    HeadConfig,
    MapperConfig,
    MapperName,
    OptimizerConfig,
    RecipeName,
    TrialConfig,
    known_key,
)

__all__ = [
    "CONTROLS",
    "ON_ANY_NODE",
    "PRETRAINING",
    "TASK_FACTS",
    "TRIAL_KEYS",
    "AugmentConfig",
    "ControlName",
    "DataTasks",
    "Distribution",
    "DomainConfig",
    "FeedKind",
    "Frozen",
    "FusionConfig",
    "HeadConfig",
    "HeadName",
    "MapperConfig",
    "MapperName",
    "MetricName",
    "Normalization",
    "OptimizerConfig",
    "RecipeName",
    "SearchConfig",
    "SourceModelConfig",
    "Study",
    "TargetDomainConfig",
    "TaskName",
    "TrainConfig",
    "TrialConfig",
    "check_study",
    "checked_options",
    "closest",
    "dump_study",
    "frozen_blocks",
    "known_key",
    "load_study",
    "nearest",
    "set_key",
    "task_kind",
    "tuned_blocks",
]
