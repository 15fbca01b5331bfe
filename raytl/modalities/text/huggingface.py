"""Hugging Face encoders cut into blocks: the stem is the embeddings, then a block a layer. The
library's own modules do the work.

Legend: B rows, S positions, D features.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from raytl.config.base import Frozen
from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone, MeanPool
from raytl.modalities.text.families import FAMILIES, Parts, family_of
from raytl.rows import Padded

NAME = "huggingface"  # of the backbones that are cut here
TOLERANCE = 1e-4  # of features, when a cut network is compared with the library's


class HuggingFaceArgs(Frozen):
    """Arguments of a Hugging Face network."""

    pooling: Literal["mean", "cls"] = "mean"  # cls: the first token's features


class FirstPool(nn.Module):
    """The first position: Padded (B, S, D) → (B, D); zeros for a row of length 0."""

    def forward(self, h: Padded) -> Tensor:
        return h.values[:, 0] * h.mask[:, :1]


def attended(h: Padded) -> Tensor:
    """Which positions are attended to, bool (B, S): the row's own, and one of an empty row, whose
    attention would be over nothing."""
    mask = h.mask.clone()
    mask[:, 0] = True
    return mask


class Stem(nn.Module):
    """Token numbers, Padded (B, S) → Padded (B, S, D)."""

    def __init__(self, parts: Parts, padding: int) -> None:
        super().__init__()
        self.embeddings = parts.embeddings
        self.then, self.owned = nn.ModuleList(parts.then), nn.ModuleList(parts.owned)
        self.padding, self.masks = padding, parts.masks_embeddings

    def forward(self, tokens: Padded) -> Padded:
        mask_BS = attended(tokens)
        # The network's own number of padding: RoBERTa counts its positions by it.
        ids_BS = tokens.values.long().masked_fill(~mask_BS, self.padding)
        given = {"mask": mask_BS} if self.masks else {}
        h_BSD = self.embeddings(ids_BS, **given)
        for module in self.then:
            h_BSD = module(h_BSD)
        return tokens.with_values(h_BSD * tokens.mask.unsqueeze(2))


class Layer(nn.Module):
    """One layer of the network: Padded (B, S, D) → Padded (B, S, D)."""

    def __init__(self, layer: nn.Module, parts: Parts, last: nn.Module | None) -> None:
        super().__init__()
        self.layer, self.last = layer, last
        self.run = parts.run
        self._shared = (parts.shared,)  # in a tuple: not registered, its parameters are another's

    def forward(self, h: Padded) -> Padded:
        out = self.run(self.layer, h.values, attended(h), self._shared[0])
        h_BSD = out[0] if isinstance(out, tuple) else out
        if self.last is not None:
            h_BSD = self.last(h_BSD)
        return h.with_values(h_BSD * h.mask.unsqueeze(2))


def fresh_network(config: Mapping[str, Any]) -> nn.Module:
    """Build a network of transformers with fresh weights, drawn from torch's global generator."""
    import transformers

    given = {key: value for key, value in config.items() if key != "model_type"}
    whole = transformers.AutoConfig.for_model(config["model_type"], **given)
    family = family_of(config, NAME)
    return family.encoder(getattr(transformers, family.network)(whole))


def cut_network(network: Any, pooling: str, example: Padded) -> Backbone:
    """Return a network of transformers as a backbone of blocks.

    Raises ModelError where the blocks give other features than the network itself, as another
    version of transformers might have it.
    """
    parts = FAMILIES[network.config.model_type].parts(network)
    padding = network.config.pad_token_id or 0
    probe = _probe(network.config.vocab_size)
    expected_BSD = _hidden(network.eval(), probe, padding)
    ends = [None] * (len(parts.layers) - 1) + [parts.last]
    blocks: list[nn.Module] = [Stem(parts, padding)]
    blocks += [Layer(layer, parts, end) for layer, end in zip(parts.layers, ends, strict=True)]
    pool = FirstPool() if pooling == "cls" else MeanPool()
    backbone = Backbone(NAME, blocks, pool, example, stem_is_shared=bool(parts.owned))
    _check_same(backbone.eval(), probe, expected_BSD)
    return backbone.train()


def _probe(vocabulary: int) -> Padded:
    """Return two rows of unequal lengths, to try a network on."""
    tokens = Padded(torch.arange(12).view(2, 6) % vocabulary, torch.tensor([[6], [3]]))
    return tokens.with_values(tokens.values * tokens.mask)


@torch.no_grad()
def _hidden(network: Any, tokens: Padded, padding: int) -> Tensor:
    ids_BS = tokens.values.masked_fill(~tokens.mask, padding)
    return network(input_ids=ids_BS, attention_mask=tokens.mask.long()).last_hidden_state


@torch.no_grad()
def _check_same(backbone: Backbone, probe: Padded, expected_BSD: Tensor) -> None:
    got = backbone.run(probe)
    assert isinstance(got, Padded)
    apart = float((got.values - expected_BSD)[probe.mask].abs().max())
    if not apart <= TOLERANCE * max(1.0, float(expected_BSD[probe.mask].abs().max())):
        import transformers

        raise ModelError(
            f"the blocks give other features than the network itself (by {apart:.2g}): "
            f"transformers {transformers.__version__} runs it otherwise than raytl cuts it"
        )
