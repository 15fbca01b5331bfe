"""Weights that others have trained: torchvision's and timm's by name, or a local state dict."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any

from torch import Tensor, nn

from raytl.config import SourceModelConfig
from raytl.errors import CorruptError, ModelError, RaytlError
from raytl.modalities.backbone import Backbone
from raytl.modalities.image.catalogue import backbone_spec, build_backbone
from raytl.modalities.image.spec import BackboneSpec, Shape, building
from raytl.modalities.image.timm_models import (
    TIMM,
    classifier_width,
    create_timm,
    cut_timm,
    resized_timm,
    timm_settings,
)
from raytl.modalities.image.tv import from_network, image_size
from raytl.state_dicts import load_strictly, read_state_dict
from raytl.weight_files import check_file


def check_weights(name: str, config: SourceModelConfig) -> None:
    """Raise ModelError where the weights of backbone `name` cannot be there. Reads none of them."""
    spec = backbone_spec(name)
    if config.weights is None:
        return
    if config.has_local_weights:
        check_file(config.weights_file)
    elif spec.of == "torchvision" and isinstance(config.weights, str):
        _check_member(name, config.weights)
    elif config.weights is not True:
        hub = ", true for the hub's" if config.timm is not None else ""
        raise ModelError(
            f"{name} has no weights by name, but got weights: {config.weights}; give a .pth file"
            f"{hub}, or leave weights out for fresh ones"
        )
    elif not timm_settings(name).has_weights:
        raise ModelError(
            f"timm has no weights of {name.removeprefix(TIMM)}; give a .pth file, or write "
            f"backbone: {name} for fresh ones"
        )


def _check_member(name: str, weights: str) -> None:
    import torchvision

    members = torchvision.models.get_model_weights(name).__members__
    if weights not in members:  # DEFAULT is one
        raise ModelError(
            f"{name} has no weights '{weights}'; known: {', '.join(sorted(members))}, or a "
            ".pth file"
        )


def with_weights(name: str, config: SourceModelConfig, shape: Shape) -> Backbone:
    """Return backbone `name` for inputs of (C, H, W) with its weights read from a file or
    downloaded.

    Raises ModelError where they do not fit, CorruptError where they are broken, RaytlError where
    the download fails.
    """
    spec = backbone_spec(name)
    if not config.has_local_weights:
        network = _downloaded(name, spec, config, shape)
        with building(name, shape, config.args, f"with weights {config.weights}"):
            return _CUT[spec.of](name, network, shape)
    state = read_state_dict(config.weights_file)
    return _READ[spec.of](name, config, shape, state)


def _read_own(
    name: str, config: SourceModelConfig, shape: Shape, state: dict[str, Tensor]
) -> Backbone:
    rename = backbone_spec(name).rename
    backbone = build_backbone(name, shape, **config.args)
    load_strictly(backbone, rename(state) if rename else state, str(config.weights))
    return backbone


def _read_torchvision(
    name: str, config: SourceModelConfig, shape: Shape, state: dict[str, Tensor]
) -> Backbone:
    """Load the whole network, classifier included, by torchvision's own names, and cut it."""
    import torchvision

    with building(name, shape, config.args):
        network = torchvision.models.get_model(
            name, weights=None, num_classes=_last_width(state),
            **image_size(name, shape), **config.args,
        )  # fmt: skip
    load_strictly(network, state, str(config.weights))
    return from_network(name, network, shape)


def _last_width(state: dict[str, Tensor]) -> int:
    """The classifier's weight is the last matrix or convolution of the file."""
    return next((len(v) for v in reversed(state.values()) if v.dim() >= 2), 1000)


def _read_timm(
    name: str, config: SourceModelConfig, shape: Shape, state: dict[str, Tensor]
) -> Backbone:
    """Load the whole network by timm's own names, its classifier where the file has one, and cut
    it."""
    args = {"num_classes": classifier_width(name, state)} | config.args
    with building(name, shape, config.args):
        network = create_timm(name, shape, **args)
    own = timm_settings(name).input_size
    if shape == own or _same_shapes(network, state):
        load_strictly(network, state, str(config.weights))
    else:  # positions learnt for timm's size, which timm scales for this one
        with building(name, own, config.args):
            load_strictly(create_timm(name, own, **args), state, str(config.weights))
            network = resized_timm(name, shape, state, **args)
    with building(name, shape, config.args):
        return cut_timm(name, network, shape)


def _same_shapes(network: nn.Module, state: dict[str, Tensor]) -> bool:
    own = network.state_dict()
    return all(value.shape == own[key].shape for key, value in state.items() if key in own)


_CUT: dict[str, Callable[[str, Any, Shape], Backbone]] = {
    "torchvision": from_network,
    "timm": cut_timm,
}
_READ: dict[str, Callable[[str, SourceModelConfig, Shape, dict[str, Tensor]], Backbone]] = {
    "raytl": _read_own,
    "torchvision": _read_torchvision,
    "timm": _read_timm,
}


def _downloaded(
    name: str, spec: BackboneSpec, config: SourceModelConfig, shape: Shape
) -> nn.Module:
    with _downloading(name, config):
        if spec.of == "timm":
            return create_timm(name, shape, pretrained=True, **config.args)
        import torchvision

        return torchvision.models.get_model(name, weights=config.weights, **config.args)


# Packages by which timm downloads; not all that they raise is an OSError.
HUB = {"huggingface_hub", "httpx", "httpcore", "requests", "urllib3"}
CUT_OFF = "invalid hash value"  # how torch.hub says it


@contextmanager
def _downloading(name: str, config: SourceModelConfig) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the words of others for what cannot be had, or does not fit
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, EOFError | UnpicklingError) or CUT_OFF in reason:
            raise CorruptError(
                f"{name}: the downloaded weights {config.weights} are broken: {reason}; remove "
                "them from torch's cache (TORCH_HOME) and try again"
            ) from None
        if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in HUB:
            raise RaytlError(
                f"{name}: cannot download weights {config.weights}: {reason}; give a local .pth "
                "file in weights"
            ) from None
        raise ModelError(
            f"{name} cannot be built with {config.args or 'no arguments'} and weights "
            f"{config.weights}: {reason}"
        ) from None
