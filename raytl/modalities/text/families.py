"""How networks of transformers fall into parts, by kind: embeddings, layers, and what layers share.

A position bias that layers share (T5, MPNet, DeBERTa) belongs to one block alone, the stem or T5's
first layer; the others compute it anew from there, so it is frozen with the block it belongs to.

Legend: B rows, S positions, D features, A attention heads.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from raytl.errors import ModelError

# The least number that bfloat16 has too: autocast makes no infinity of it
LEAST = torch.finfo(torch.bfloat16).min


@dataclass(frozen=True)
class Parts:
    """What a network is cut into: modules of its own."""

    embeddings: nn.Module
    layers: Sequence[nn.Module]
    run: "RunLayer"
    then: Sequence[nn.Module] = ()  # after the embeddings, of the stem
    last: nn.Module | None = None  # after the last layer, of its block
    shared: nn.Module | None = None  # what every layer asks for the position bias
    owned: Sequence[nn.Module] = ()  # the parameters of `shared`, kept by the stem
    masks_embeddings: bool = False  # whether the embeddings take the mask


# layer, h_BSD, which positions are attended to (B, S), `Parts.shared` → h_BSD
RunLayer = Callable[[nn.Module, Tensor, Tensor, Any], Any]


def _additive(mask_BS: Tensor, h_BSD: Tensor) -> Tensor:
    """Return what attention scores get added, (B, 1, 1, S)."""
    zeros = torch.zeros(mask_BS.shape, dtype=h_BSD.dtype, device=h_BSD.device)
    return zeros.masked_fill(~mask_BS, LEAST)[:, None, None]


def _run_plain(layer: nn.Module, h_BSD: Tensor, mask_BS: Tensor, shared: Any) -> Any:
    return layer(h_BSD, _additive(mask_BS, h_BSD))


def _bert(network: Any) -> Parts:
    """BERT and its kin: learnt positions in the embeddings, nothing shared."""
    project = getattr(network, "embeddings_project", None)  # ELECTRA's, where widths differ
    then = [] if project is None else [project]
    return Parts(network.embeddings, network.encoder.layer, _run_plain, then)


def _distilbert(network: Any) -> Parts:
    return Parts(network.embeddings, network.transformer.layer, _run_plain)


def _run_mpnet(layer: nn.Module, h_BSD: Tensor, mask_BS: Tensor, encoder: Any) -> Any:
    bias_BASS = _near(encoder.compute_position_bias, encoder.relative_attention_bias, h_BSD)
    return layer(h_BSD, _additive(mask_BS, h_BSD), bias_BASS)


def _near(compute: Callable[[Tensor], Tensor], owner: nn.Module, h_BSD: Tensor) -> Tensor:
    """Compute a bias where its parameters lie, which may be elsewhere when a frozen stem stays
    behind."""
    place = next(owner.parameters()).device
    return compute(h_BSD.to(place)).to(h_BSD.device)


def _mpnet(network: Any) -> Parts:
    encoder = network.encoder
    owned = [encoder.relative_attention_bias]
    return Parts(network.embeddings, encoder.layer, _run_mpnet, shared=encoder, owned=owned)


def _run_t5(layer: nn.Module, h_BSD: Tensor, mask_BS: Tensor, attention: Any) -> Any:
    length = h_BSD.shape[1]
    bias_1ASS = attention.compute_bias(length, length).to(h_BSD.device)
    return layer(h_BSD, _additive(mask_BS, h_BSD), bias_1ASS)


def _t5(network: Any) -> Parts:
    """T5's encoder; the position bias is the first layer's."""
    stack = network.encoder
    return Parts(
        stack.embed_tokens,
        stack.block,
        _run_t5,
        then=[nn.Dropout(network.config.dropout_rate)],
        last=nn.Sequential(stack.final_layer_norm, nn.Dropout(network.config.dropout_rate)),
        shared=stack.block[0].layer[0].SelfAttention,
    )


class _Embeddings(nn.Module):
    """Token vectors, scaled, and the positions'."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.tokens, self.positions = encoder.embed_tokens, encoder.embed_positions
        self.scale = encoder.embed_scale

    def forward(self, ids_BS: Tensor) -> Tensor:
        return self.tokens(ids_BS) * self.scale + self.positions(ids_BS.shape)


def _marian(network: Any) -> Parts:
    then = [nn.Dropout(network.config.dropout)]
    return Parts(_Embeddings(network), network.layers, _run_plain, then)


def _run_deberta(layer: nn.Module, h_BSD: Tensor, mask_BS: Tensor, encoder: Any) -> Any:
    # Never in bfloat16: the library masks scores with float32's least number, which overflows.
    with torch.autocast(h_BSD.device.type, enabled=False):
        relative = encoder.get_rel_embedding()
        return layer(
            h_BSD.float(),
            encoder.get_attention_mask(mask_BS.long()),
            relative_pos=encoder.get_rel_pos(h_BSD),
            rel_embeddings=None if relative is None else relative.to(h_BSD.device),
        )


def _deberta(network: Any) -> Parts:
    """DeBERTa, all versions: attention by relative positions, whose vectors the stem keeps."""
    encoder = network.encoder
    if getattr(encoder, "conv", None) is not None:
        raise ModelError(
            "a DeBERTa with a convolution beside its first layer cannot be cut into blocks; take "
            "one without conv_kernel_size"
        )
    names = ("rel_embeddings", "LayerNorm")
    owned = [getattr(encoder, name) for name in names if hasattr(encoder, name)]
    return Parts(
        network.embeddings, encoder.layer, _run_deberta, shared=encoder, owned=owned,
        masks_embeddings=True,
    )  # fmt: skip


@dataclass(frozen=True)
class Family:
    """A kind of network: the class of it in transformers, how it is cut, and whether positions are
    counted from behind the padding token's number on, which takes so many off its positions."""

    network: str
    parts: Callable[[Any], Parts]
    counts_from_padding: bool = False
    # Of an encoder and a decoder: the class of both, with the output layer
    translator: str | None = None
    holds_encoder: bool = False  # whether `network` is more than the encoder

    def encoder(self, network: Any) -> Any:
        """Return the encoder of a network."""
        return network.get_encoder() if self.holds_encoder else network


# By `model_type` of config.json
FAMILIES: dict[str, Family] = {
    "bert": Family("BertModel", _bert),
    "camembert": Family("CamembertModel", _bert, counts_from_padding=True),
    "deberta": Family("DebertaModel", _deberta),
    "deberta-v2": Family("DebertaV2Model", _deberta),
    "distilbert": Family("DistilBertModel", _distilbert),
    "electra": Family("ElectraModel", _bert),
    "marian": Family("MarianModel", _marian, translator="MarianMTModel", holds_encoder=True),
    "mpnet": Family("MPNetModel", _mpnet, counts_from_padding=True),
    "mt5": Family("MT5EncoderModel", _t5, translator="MT5ForConditionalGeneration"),
    "roberta": Family("RobertaModel", _bert, counts_from_padding=True),
    "t5": Family("T5EncoderModel", _t5, translator="T5ForConditionalGeneration"),
    "xlm-roberta": Family("XLMRobertaModel", _bert, counts_from_padding=True),
}


def family_of(config: Mapping[str, Any], place: str) -> Family:
    """Return the family of a network's configuration; raises ModelError where it is none that can
    be cut."""
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise ModelError(
            f"{place}: is a {kind or 'network without model_type'}, but these are cut into blocks: "
            f"{', '.join(FAMILIES)}"
        )
    return FAMILIES[kind]


def most_positions(config: Mapping[str, Any], family: Family) -> int | None:
    """Return how many tokens a row may have, as far as the configuration says."""
    most = config.get("max_position_embeddings")
    if most is None or not family.counts_from_padding:
        return most
    return most - 1 - int(config.get("pad_token_id", 1))
