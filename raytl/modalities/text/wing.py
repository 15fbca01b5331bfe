"""The text wing."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from raytl.config import SourceModelConfig
from raytl.config.source_model import here
from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
from raytl.modalities.base import Modality, Sample, Transform
from raytl.modalities.column import Column
from raytl.modalities.text.catalogue import BACKBONES, TextNetwork, build_network, check_args
from raytl.modalities.text.column import TextColumn
from raytl.modalities.text.embedding import Embedding
from raytl.modalities.text.hub import (
    check_folder,
    folder_of,
    is_folder,
    read_network,
    read_tokenizer,
)
from raytl.modalities.text.huggingface import NAME, HuggingFaceArgs, cut_network, fresh_network
from raytl.modalities.text.options import TokenizerOptions, VocabularyOptions, checked
from raytl.modalities.text.transform import (
    TokenizerTransform,
    VocabularyTransform,
    transform_of,
)
from raytl.modalities.text.word_vectors import check_vectors, read_vectors, vector_dim

REFUSED = ("torchvision", "timm", "input_size", "normalization")  # what pictures have


class Text(Modality):
    """Rows of text: networks over a vocabulary that is fitted to training rows, with word vectors
    or without, and Hugging Face encoders with their own tokenizers."""

    name = "text"
    column = TextColumn
    packages = ("transformers", "tokenizers")

    def backbones(self) -> Mapping[str, TextNetwork]:
        return BACKBONES

    def check(self, config: SourceModelConfig) -> None:
        for key in REFUSED:
            if getattr(config, key) is not None:
                raise ModelError(
                    f"{key} is of pictures, but the column holds texts; give huggingface or "
                    f"backbone ({', '.join(BACKBONES)})"
                )
        if config.huggingface is not None:
            checked(TokenizerOptions, config.transform, "transform")
            checked(HuggingFaceArgs, config.args, "args")
            if is_folder(config.huggingface):
                check_folder(folder_of(config.huggingface))
        elif config.backbone is not None:
            check_args(config.backbone, config.args)
            options = checked(VocabularyOptions, config.transform, "transform")
            if options.vectors is not None:
                check_vectors(here(options.vectors))
            self._check_weights(config)

    def _check_weights(self, config: SourceModelConfig) -> None:
        if config.weights is None:
            return
        if not config.has_local_weights:
            raise ModelError(
                f"{config.backbone} has no weights by name, but got weights: {config.weights}; "
                "give a .pth or .safetensors file, or leave weights out for fresh ones"
            )
        if not config.weights_file.is_file():
            raise ModelError(f"{config.weights}: no such weights file")

    def fit(self, config: SourceModelConfig, column: Column, sample: Sample) -> Transform:
        if not isinstance(column, TextColumn):
            raise ModelError(f"{config.origin} reads texts, but the column is of {column.kind}")
        if config.huggingface is not None:
            length = checked(TokenizerOptions, config.transform, "transform").max_length
            return read_tokenizer(folder_of(config.huggingface), length)
        options = checked(VocabularyOptions, config.transform, "transform")
        if options.vectors is None:
            return VocabularyTransform.fitted(options, sample())
        dim = vector_dim(here(options.vectors))
        known = read_vectors(here(options.vectors)).words if options.vector_words == "all" else []
        return VocabularyTransform.fitted(options, sample(), known, dim)

    def transform(self, facts: Mapping[str, Any]) -> Transform:
        try:
            return transform_of(facts)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"a transform of texts has bad {place}: {first['msg']}") from None

    def build(self, backbone: str, transform: Transform, args: Mapping[str, Any]) -> Backbone:
        if backbone == NAME:
            if not isinstance(transform, TokenizerTransform):
                raise ModelError(f"{NAME} reads a tokenizer's numbers, not a vocabulary's")
            pooling = checked(HuggingFaceArgs, args, f"{NAME}: args").pooling
            return cut_network(fresh_network(transform.network), pooling, transform.example(2))
        check_args(backbone, args)
        if not isinstance(transform, VocabularyTransform):
            raise ModelError(f"{backbone} reads a vocabulary's numbers, not a tokenizer's")
        return build_network(backbone, transform, args)

    def fresh_blocks(self, config: SourceModelConfig, backbone: Backbone) -> frozenset[int]:
        """Of word vectors alone, all blocks behind the stem."""
        if config.transform.get("vectors") is None or config.weights is not None:
            return super().fresh_blocks(config, backbone)
        return frozenset(range(1, len(backbone.blocks)))

    def load(self, config: SourceModelConfig, transform: Transform) -> Backbone:
        if config.huggingface is not None:
            assert isinstance(transform, TokenizerTransform)
            pooling = checked(HuggingFaceArgs, config.args, "args").pooling
            network = read_network(folder_of(config.huggingface), transform.network)
            return cut_network(network, pooling, transform.example(2))
        assert config.backbone is not None
        assert isinstance(transform, VocabularyTransform)
        network = self.build(config.backbone, transform, config.args)
        _take_vectors(network, config, transform)
        if config.has_local_weights:
            from raytl.state_dicts import load_strictly, read_state_dict

            state = read_state_dict(config.weights_file)
            load_strictly(network, state, str(config.weights))
        return network


def _take_vectors(
    network: Backbone, config: SourceModelConfig, transform: VocabularyTransform
) -> None:
    """Put word vectors into the stem; raises ModelError where no word has one."""
    vectors = checked(VocabularyOptions, config.transform, "transform").vectors
    if vectors is None:
        return
    known = read_vectors(here(vectors), frozenset(transform.vocabulary))
    stem = network.blocks[0]
    assert isinstance(stem, Embedding)
    if not stem.take(transform.vocabulary, known.words, known.vectors_ND):
        raise ModelError(
            f"{vectors}: has no vector for any of {len(transform.vocabulary)} words of the "
            "training rows; give vectors of their language, or set transform.lowercase as theirs"
        )
