"""Weights that others have trained: torchvision's by name, or a local state dict."""

from pathlib import Path
from pickle import UnpicklingError

from torch import Tensor, nn

from raytl.config import SourceModelConfig
from raytl.errors import CorruptError, ModelError, RaytlError
from raytl.models.backbones import Backbone, backbone_spec, building
from raytl.models.backbones.base import Shape
from raytl.models.backbones.tv import from_network
from raytl.state_dicts import load_strictly, read_state_dict
from raytl.weight_files import check_file


def check_weights(name: str, config: SourceModelConfig) -> None:
    """Raise ModelError where the weights of backbone `name` cannot be there. Reads none of them."""
    spec = backbone_spec(name)
    if config.weights is None:
        return
    if config.has_local_weights:
        check_file(Path(config.weights))
        return
    if not spec.torchvision:
        raise ModelError(
            f"{name} has no weights by name, but got weights: {config.weights}; give a .pth file, "
            "or leave weights out for fresh ones"
        )
    import torchvision

    members = torchvision.models.get_model_weights(name).__members__
    if config.weights not in members:  # DEFAULT is one
        raise ModelError(
            f"{name} has no weights '{config.weights}'; known: {', '.join(sorted(members))}, or a "
            ".pth file"
        )


def with_weights(backbone: Backbone, config: SourceModelConfig, shape: Shape) -> Backbone:
    """Return the backbone with its weights read from a file or downloaded; it may be another one.

    Raises ModelError where they do not fit, CorruptError where they are broken, RaytlError where
    the download fails.
    """
    spec, name = backbone_spec(backbone.name), backbone.name
    if not config.has_local_weights:
        network = _downloaded(name, config)
        with building(name, shape, config.args, f"with weights {config.weights}"):
            return from_network(name, network, shape)
    file = str(config.weights)
    state = read_state_dict(Path(file))
    if not spec.torchvision:
        load_strictly(backbone, spec.rename(state) if spec.rename else state, file)
        return backbone
    import torchvision

    # torchvision's own names: load the whole network, classifier included, and cut it.
    with building(name, shape, config.args):
        network = torchvision.models.get_model(
            name, weights=None, num_classes=_classifier_width(state),
            **_image_size(name, shape), **config.args,
        )  # fmt: skip
    load_strictly(network, state, file)
    return from_network(name, network, shape)


def _image_size(name: str, shape: Shape) -> dict[str, int]:
    return {"image_size": shape[1]} if name.startswith("vit") else {}


def _classifier_width(state: dict[str, Tensor]) -> int:
    """The classifier's weight is the last matrix or convolution of the file."""
    return next((len(v) for v in reversed(state.values()) if v.dim() >= 2), 1000)


def _downloaded(name: str, config: SourceModelConfig) -> nn.Module:
    import torchvision

    try:
        return torchvision.models.get_model(name, weights=config.weights, **config.args)
    except OSError as error:
        raise RaytlError(
            f"{name}: cannot download weights {config.weights}: {error}; give a local .pth file "
            "in weights"
        ) from None
    except (EOFError, UnpicklingError) as error:
        raise CorruptError(
            f"{name}: the downloaded weights {config.weights} are broken: {error}; remove them "
            "from torch's cache (TORCH_HOME) and try again"
        ) from None
    except Exception as error:  # torchvision's own words for arguments that its weights do not fit
        raise ModelError(
            f"{name} cannot be built with {config.args or 'no arguments'} and weights "
            f"{config.weights}: {(str(error).splitlines() or [type(error).__name__])[0]}"
        ) from None
