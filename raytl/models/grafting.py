"""Grafts: the body of a network of tokens under a fresh stem of another modality (Lu et al. 2021,
"Pretrained Transformers as Universal Computation Engines").

Freezing the body and training the stem is `tuned_blocks: 0`. Deviation: layer norms of a frozen
body stay as they are.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from raytl.config import SourceModelConfig
from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
from raytl.modalities.base import Modality, Sample, Transform
from raytl.modalities.column import Column
from raytl.modalities.registry import MODALITIES, stored_modality
from raytl.modalities.text.column import TextColumn
from raytl.models.branch import Part
from raytl.rows import move

GRAFT = "graft"  # the name of such a backbone
BODY, STEM = "body", "stem"  # its arguments: what brings the body, and the stem's own


def graft(config: SourceModelConfig, modality: Modality, column: Column, sample: Sample) -> Part:
    """Return a grafted network for rows of `column`; the stem is drawn from torch's global
    generator. Raises ModelError where the body takes no tokens with a mask, or the modality has no
    stem."""
    assert config.graft is not None
    if config.graft.huggingface is None:
        raise ModelError(
            f"graft: bodies come from huggingface: (a folder or a name), got {config.graft.origin}"
        )
    transform, own = modality.stem(config, column, sample)
    text = MODALITIES["text"]
    text.check(config.graft)
    of_body = text.fit(config.graft, TextColumn(), lambda: np.empty(0, dtype=object))
    body = text.load(config.graft, of_body)
    brought = {
        "modality": text.name,
        "backbone": body.name,
        "args": config.graft.args,
        "transform": of_body.facts(),
    }
    backbone = _grafted(body, modality, transform, own)
    return Part(
        modality, transform, backbone, {BODY: brought, STEM: own}, frozenset({0}), draws=True
    )


def build_network(
    modality: Modality, name: str, transform: Transform, args: Mapping[str, Any]
) -> Backbone:
    """Build a network with fresh weights as `Modality.build`, a grafted one too."""
    if name != GRAFT:
        return modality.build(name, transform, args)
    try:
        brought = args[BODY]
        of_body = stored_modality(brought["modality"])
        read = of_body.transform(brought["transform"])
        body = of_body.build(brought["backbone"], read, brought["args"])
        return _grafted(body, modality, transform, args[STEM])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"graft: args: {error}") from None


def _grafted(
    body: Backbone, modality: Modality, transform: Transform, args: Mapping[str, Any]
) -> Backbone:
    if body.state != "tokens" or body.stem_is_shared:
        why = "shares weights of its stem" if body.stem_is_shared else "gives no tokens"
        raise ModelError(
            f"graft: {body.name} {why}, so its body cannot stand on another stem; take a network "
            "such as BERT, RoBERTa or T5"
        )
    stem = modality.tokens(transform, body.feature_dim, args)
    example = transform(move(transform.example(1), next(body.parameters()).device))
    return Backbone(GRAFT, [stem, *list(body.blocks)[1:]], body.pool, example)
