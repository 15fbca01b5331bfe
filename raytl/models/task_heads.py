"""The head of a task, for what a source model's networks give."""

from collections.abc import Mapping

from torch import nn

from raytl.config import HeadConfig
from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
from raytl.modalities.text.transform import TokenizerTransform
from raytl.models.branch import Part
from raytl.tasks.base import Task
from raytl.tasks.pretrained_decoder import PretrainedDecoder


def head_of(task: Task, config: HeadConfig, in_dim: int, parts: Mapping[str, Part]) -> nn.Module:
    """Build a task's head for mapped features of width `in_dim`, or for what the blocks of
    `read_by` give; a decoder of the source model's own with fresh weights. Raises ModelError where
    they give something else, or where there is no such decoder."""
    backbone = read_by(task, parts)
    if config.name == "pretrained_decoder":
        (part,) = parts.values()
        if not isinstance(part.transform, TokenizerTransform):
            raise ModelError(
                "head pretrained_decoder is that of a source model {huggingface: FOLDER} with an "
                f"encoder and a decoder, but {part.backbone.name} has none; take another head"
            )
        return PretrainedDecoder.fresh(part.transform)
    if backbone is None:
        return task.head(config, in_dim)
    if task.reads == "state":
        return task.head(config, backbone.state_dim)
    return task.head(config, in_dim, backbone.tap_shapes)


def read_by(task: Task, parts: Mapping[str, Part]) -> Backbone | None:
    """Return the one network whose blocks a task's head reads, None where it reads features.
    Raises ModelError where there are several columns, or the network gives something else."""
    if task.reads == "features":
        return None
    read = "maps" if task.reads == "taps" else "tokens"
    if len(parts) > 1:
        raise ModelError(
            f"a {task.name} reads the {read} of one column, but the source model reads "
            f"{', '.join(parts)}; take one of them as inputs"
        )
    (part,) = parts.values()
    backbone = part.backbone
    there = bool(backbone.taps) if read == "maps" else backbone.state == read
    if not there:
        remedy = f"one for {'images' if read == 'maps' else 'texts'}"
        if read == "maps" and part.modality.name == "image":
            remedy = "a convolutional one"
        raise ModelError(
            f"a {task.name} needs a network whose blocks give {read}, but those of {backbone.name} "
            f"give {backbone.state}; take {remedy}"
        )
    return backbone


def check_last_steps(task: Task, parts: Mapping[str, Part]) -> None:
    """Raise ModelError where a task continues series of which a network may not read the last
    steps."""
    for part in parts.values() if task.continues else ():
        if part.transform.leaves_last_out:
            raise ModelError(
                f"a {task.name} is of what follows the last step, but max_length alone leaves the "
                "last steps of longer series out; write transform: {max_length: N, keep: last}, or "
                "take a source model that was trained so"
            )
