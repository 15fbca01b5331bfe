"""timm's networks, as `timm/NAME`: names and settings without building one, and the building.

timm is imported only where one of its networks is asked for.
"""

import copy
import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from raytl.config import nearest
from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
from raytl.modalities.image.spec import BackboneSpec, Shape
from raytl.modalities.image.timm_cut import channels_last, computes, cut, gives_nhwc
from raytl.modalities.image.timm_parts import Whole

TIMM = "timm/"
MIN_SIDE = 32


@cache
def timm_names() -> list[str]:
    """Return the name of every network of timm, `timm/` in front."""
    import timm

    return [f"{TIMM}{name}" for name in timm.list_models()]


@cache
def timm_settings(name: str) -> Any:
    """Return timm's `PretrainedCfg` of `timm/NAME` or `timm/NAME.TAG`: sizes, mean, std and how
    images are resized. Raises ModelError that names the nearest known."""
    import timm

    bare = name.removeprefix(TIMM)
    architecture, _, tag = bare.partition(".")
    if not timm.is_model(architecture) or ":" in bare:
        raise ModelError(f"unknown timm network '{bare}'; {_nearest(architecture)}")
    tags = timm.models.get_arch_pretrained_cfgs(architecture)
    if tag and bare not in tags:
        raise ModelError(f"unknown timm weights '{bare}'; known: {', '.join(sorted(tags))}")
    return timm.get_pretrained_cfg(bare, allow_unregistered=True) or _no_settings()


def _nearest(architecture: str) -> str:
    close = nearest(architecture, [name.removeprefix(TIMM) for name in timm_names()])
    return close if len(close) < 100 else "timm.list_models() names all of them"


def _no_settings() -> Any:
    from timm.models import PretrainedCfg

    return PretrainedCfg()


def timm_spec(name: str) -> BackboneSpec:
    """Return the spec of `timm/NAME`; raises ModelError where timm has none."""
    settings = timm_settings(name)
    fixed = bool(settings.fixed_input_size)
    return BackboneSpec(
        build_timm,
        min_side=MIN_SIDE,
        channels=(settings.input_size[0],),
        default_side=settings.input_size[1] if fixed else None,
        of="timm",
    )


def build_timm(name: str, input_shape: Shape, **args: Any) -> Backbone:
    """Build `timm/NAME` with fresh weights and cut it into blocks."""
    return cut_timm(name, create_timm(name, input_shape, **args), input_shape)


def create_timm(name: str, input_shape: Shape, **args: Any) -> nn.Module:
    """Let timm make its network for inputs of (C, H, W)."""
    import timm

    size = {"img_size": input_shape[1:]} if timm_settings(name).fixed_input_size else {}
    return timm.create_model(name.removeprefix(TIMM), **(size | args))


def cut_timm(name: str, network: Any, input_shape: Shape) -> Backbone:
    """Cut a network into blocks, keeping its weights, and compare what they compute with the whole
    one's features; a network that cannot be cut is one block, with a warning.

    Raises ModelError where its features are no vector.
    """
    # Of another size than what the cut is found by: a block must not hang on the batch
    x_BCHW = torch.rand(2, *input_shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    network.eval()
    with torch.no_grad():
        wanted_BD = network.forward_head(network.forward_features(x_BCHW), pre_logits=True)
    if wanted_BD.dim() != 2:
        raise ModelError(
            f"{name}: features must be one vector a row, but are {tuple(wanted_BD.shape[1:])}; "
            "leave global_pool out of args"
        )
    backbone = _in_blocks(name, network, x_BCHW, wanted_BD)
    if backbone is None:
        example = torch.zeros(1, *input_shape)
        backbone = Backbone(name, [Whole(network)], nn.Identity(), example)
    if len(backbone.blocks) == 1:
        warnings.warn(f"{name}: cannot be cut, so it is frozen whole or not at all", stacklevel=2)
    return backbone.train()


def _in_blocks(name: str, network: Any, x_BCHW: Tensor, wanted_BD: Tensor) -> Backbone | None:
    example = torch.zeros(1, *x_BCHW.shape[1:])
    try:
        blocks, pool = cut(copy.deepcopy(network), example)
        last = channels_last(blocks, example, gives_nhwc(network))
        backbone = Backbone(name, blocks, pool, example, channels_last=last).eval()
    except Exception:  # whatever a network of another build does
        return None
    return backbone if computes(backbone.blocks, backbone.pool, x_BCHW, wanted_BD) else None


def classifier_width(name: str, state: dict[str, Tensor]) -> int:
    """Return the classes of the classifier in a state dict by timm's names; 0 where it is left
    out."""
    known = timm_settings(name).classifier or ()
    names = (known,) if isinstance(known, str) else known
    return next((len(state[f"{n}.weight"]) for n in names if f"{n}.weight" in state), 0)


def resized_timm(name: str, input_shape: Shape, state: dict[str, Tensor], **args: Any) -> nn.Module:
    """Let timm make its network for inputs of another size than that of the weights in `state`,
    and load them with their positions scaled."""
    width = args["num_classes"]
    overlay = {"state_dict": dict(state), "num_classes": width, "label_offset": 0}
    left_out = {} if width else {"classifier": None}
    return create_timm(
        name, input_shape, pretrained=True, pretrained_cfg_overlay=overlay | left_out, **args
    )
