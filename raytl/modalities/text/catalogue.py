"""Networks over a vocabulary, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from raytl.config.base import nearest
from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
from raytl.modalities.text.bag_of_embeddings import BagArgs, bag_of_embeddings
from raytl.modalities.text.bilstm import BiLstmArgs, bilstm
from raytl.modalities.text.embedding import EmbeddingArgs
from raytl.modalities.text.options import checked
from raytl.modalities.text.text_cnn import TextCnnArgs, text_cnn
from raytl.modalities.text.transform import VocabularyTransform


@dataclass(frozen=True)
class TextNetwork:
    """How a network is built: its checked arguments and its builder, which takes its name, the
    transform whose numbers it reads, and the arguments."""

    args: type[EmbeddingArgs]
    build: Callable[[str, VocabularyTransform, Any], Backbone]


BACKBONES: dict[str, TextNetwork] = {
    "bag_of_embeddings": TextNetwork(BagArgs, bag_of_embeddings),
    "bilstm": TextNetwork(BiLstmArgs, bilstm),
    "text_cnn": TextNetwork(TextCnnArgs, text_cnn),
}


def check_args(name: str, args: Mapping[str, Any]) -> EmbeddingArgs:
    """Return a network's checked arguments; raises ModelError for an unknown network or
    argument."""
    if name not in BACKBONES:
        raise ModelError(f"unknown backbone '{name}' of texts; {nearest(name, list(BACKBONES))}")
    return checked(BACKBONES[name].args, args, f"{name}: args")


def build_network(name: str, transform: VocabularyTransform, args: Mapping[str, Any]) -> Backbone:
    """Build a network with fresh weights; raises ModelError as `check_args` does."""
    options = check_args(name, args)
    return BACKBONES[name].build(name, transform, options)
