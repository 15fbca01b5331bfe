"""Images for transformers: networks of timm by its wrapper, and torchvision's ResNets, which it has
under names of its own.

Legend: B batch, C channels, H height, W width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from raytl.errors import ModelError
from raytl.exporting.linear import OTHERS, LinearModel, linear_model
from raytl.exporting.photos import Photos
from raytl.exporting.timm_model import TimmModel, compared, timm_model, trial_images
from raytl.modalities.image.timm_models import TIMM
from raytl.modalities.text.hub import quiet
from raytl.models.source_folder import CompleteModel

TO = "huggingface"


@dataclass(frozen=True)
class Shape:
    """A ResNet's: the kind of its layers and how many of them each stage has."""

    layers: str
    depths: tuple[int, ...]

    @property
    def widths(self) -> list[int]:
        """Channels of each stage."""
        wide = 1 if self.layers == "basic" else 4
        return [wide * width for width in (64, 128, 256, 512)]


RESNETS: Mapping[str, Shape] = {
    "resnet18": Shape("basic", (2, 2, 2, 2)),
    "resnet34": Shape("basic", (3, 4, 6, 3)),
    "resnet50": Shape("bottleneck", (3, 4, 6, 3)),
    "resnet101": Shape("bottleneck", (3, 4, 23, 3)),
    "resnet152": Shape("bottleneck", (3, 8, 36, 3)),
}


class _Output(nn.Module):
    """A model of transformers as a function of images to logits."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(pixel_values=x_BCHW).logits
        return logits


def write_images(complete: CompleteModel, folder: Path) -> tuple[float, str]:
    """Write network and settings; return how far its outputs lie from raytl's, at most, and how it
    is used. Raises ModelError for a network that transformers has not."""
    from transformers import AutoModelForImageClassification

    linear = linear_model(complete, TO)
    name, photos = linear.branch.backbone.name, Photos.of(complete)
    if name.startswith(TIMM):
        model, processor = _of_timm(timm_model(complete, TO), _labels(complete, linear)), None
    elif name in RESNETS and not linear.branch.args:
        model = _of_resnet(name, linear, _labels(complete, linear))
        processor = _processor(photos) if photos.stretched else None
    else:
        raise ModelError(
            f"--to {TO}: transformers has no network that is {name}; it has those of timm, and "
            f"{', '.join(RESNETS)} of torchvision; {OTHERS}"
        )
    with quiet():
        model.eval().save_pretrained(folder)
        if processor is not None:
            processor.save_pretrained(folder)
        loaded = AutoModelForImageClassification.from_pretrained(folder).eval()
    apart = compared(_Output(loaded), complete, trial_images(complete), "transformers")
    mean, std = photos.colours.values()
    how = (
        f"`model(pixel_values=x).logits`: x are pixels in [0, 1] of images {photos.words}, minus "
        f"mean {mean}, over std {std}. {_by_processor(photos, name)}"
    )
    return apart, how


def _by_processor(photos: Photos, name: str) -> str:
    """Return what a processor of transformers makes of photos; resolved out of config.json for
    timm's networks."""
    own = '`AutoImageProcessor.from_pretrained(".")`'
    if photos.stretched:
        return f"{own} does this too, up to the rounding of resized pixels."
    if name.startswith(TIMM):
        return f"{own} comes near to this, and is not the same."
    return "No processor stands here, as none of transformers does this."


def _labels(complete: CompleteModel, linear: LinearModel) -> dict[str, Any]:
    problem = {"classification": "single_label_classification"}.get(complete.task.name)
    return {
        "id2label": dict(enumerate(linear.labels)),
        "label2id": {name: number for number, name in enumerate(linear.labels)},
        "problem_type": problem or "regression",
    }


def _of_timm(found: TimmModel, labels: dict[str, Any]) -> Any:
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

    settings = {key: value for key, value in found.settings.items() if key != "num_classes"}
    given: dict[str, Any] = {"pretrained_cfg": settings, **labels}
    config = TimmWrapperConfig(architecture=found.name, model_args=found.args or None, **given)
    with quiet(), torch.random.fork_rng(devices=[]):
        model = TimmWrapperForImageClassification(config)
    model.timm_model.load_state_dict(found.network.state_dict())
    return model


@torch.no_grad()
def _of_resnet(name: str, linear: LinearModel, labels: dict[str, Any]) -> Any:
    from transformers import ResNetConfig, ResNetForImageClassification

    shape = RESNETS[name]
    config = ResNetConfig(
        layer_type=shape.layers, depths=list(shape.depths), hidden_sizes=shape.widths, **labels
    )
    with quiet(), torch.random.fork_rng(devices=[]):
        model: Any = ResNetForImageClassification(config)
    stem, *blocks = linear.branch.backbone.blocks
    assert isinstance(stem, nn.Sequential)
    _take(model.resnet.embedder.embedder, stem[0], stem[1])
    own = [layer for stage in model.resnet.encoder.stages for layer in stage.layers]
    of_torchvision: list[Any] = blocks
    for layer, block in zip(own, of_torchvision, strict=True):
        for number, unit in enumerate(layer.layer, 1):
            _take(unit, getattr(block, f"conv{number}"), getattr(block, f"bn{number}"))
        if block.downsample is not None:
            _take(layer.shortcut, *block.downsample)
    last = model.classifier[-1]
    last.weight.copy_(linear.weight)
    last.bias.copy_(linear.bias)
    return model


def _take(unit: Any, convolution: Any, norm: Any) -> None:
    unit.convolution.load_state_dict(convolution.state_dict())
    unit.normalization.load_state_dict(norm.state_dict())


def _processor(photos: Photos) -> Any:
    from transformers import ViTImageProcessor

    _, height, width = photos.transform.input_shape
    colours = photos.colours
    return ViTImageProcessor(
        size={"height": height, "width": width},
        resample=3 if photos.interpolation == "bicubic" else 2,
        image_mean=colours["mean"],
        image_std=colours["std"],
    )
