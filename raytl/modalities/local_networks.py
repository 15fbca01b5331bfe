"""Networks that no hub has: a wing builds them by name, with fresh weights or those of a file."""

from collections.abc import Collection

from raytl.config import SourceModelConfig
from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
from raytl.state_dicts import load_strictly, read_state_dict
from raytl.weight_files import check_file


def checked_name(config: SourceModelConfig, rows: str, known: Collection[str]) -> str:
    """Return the name of the network. `rows`: what they are called, in the plural; `known`: the
    names of the wing's networks.

    Raises ModelError for a network of a hub, for options of images, and for weights that are no
    file. Whether the name is known is the wing's to check.
    """
    if config.backbone is None:
        raise ModelError(
            f"'{config.origin}': torchvision, timm and huggingface have no networks for {rows}; "
            f"write backbone: with one of {', '.join(known)}, or path:"
        )
    for option in ("input_size", "normalization"):
        if getattr(config, option) is not None:
            raise ModelError(f"{option} is of images; {rows} have transform: instead")
    if config.weights is not None and not config.has_local_weights:
        raise ModelError(
            f"weights: {config.weights}: there are none to download for {rows}; give a file such "
            "as model.safetensors, or leave it out"
        )
    if config.weights is not None:
        check_file(config.weights_file)
    return config.backbone


def load_file(backbone: Backbone, config: SourceModelConfig) -> None:
    """Load the weights of a file. Raises ModelError where they do not fit, CorruptError where the
    file is broken."""
    assert config.has_local_weights
    load_strictly(backbone, read_state_dict(config.weights_file), str(config.weights))
