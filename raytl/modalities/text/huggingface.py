"""Hugging Face encoders cut into blocks: the stem is the embeddings, then a block a layer.

The library's own modules do the work. A position bias that layers share (T5, MPNet, DeBERTa) is a
parameter of one block alone, the stem or T5's first layer; the others compute it anew from there,
through a reference that registers nothing. So it is frozen with the block it belongs to.

Legend: B rows, S positions, D features, A attention heads.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from raytl.config.base import Frozen
from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone, MeanPool
from raytl.rows import Padded, Rows

NAME = "huggingface"  # of the backbones that are cut here
# The least number that bfloat16 has too: autocast makes no infinity of it
LEAST = torch.finfo(torch.bfloat16).min
TOLERANCE = 1e-4  # of features, when a cut network is compared with the library's


class HuggingFaceArgs(Frozen):
    """Arguments of a Hugging Face network."""

    pooling: Literal["mean", "cls"] = "mean"  # cls: the first token's features


class FirstPool(nn.Module):
    """The first position: Padded (B, S, D) → (B, D); zeros for a row of length 0."""

    def forward(self, h: Padded) -> Tensor:
        return h.values[:, 0] * h.mask[:, :1]


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


def attended(h: Padded) -> Tensor:
    """Which positions are attended to, bool (B, S): the row's own, and one of an empty row, whose
    attention would be over nothing."""
    mask = h.mask.clone()
    mask[:, 0] = True
    return mask


def _additive(mask_BS: Tensor, h_BSD: Tensor) -> Tensor:
    """Return what attention scores get added, (B, 1, 1, S)."""
    zeros = torch.zeros(mask_BS.shape, dtype=h_BSD.dtype, device=h_BSD.device)
    return zeros.masked_fill(~mask_BS, LEAST)[:, None, None]


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


# By `model_type` of config.json
FAMILIES: dict[str, Family] = {
    "bert": Family("BertModel", _bert),
    "camembert": Family("CamembertModel", _bert, counts_from_padding=True),
    "deberta": Family("DebertaModel", _deberta),
    "deberta-v2": Family("DebertaV2Model", _deberta),
    "distilbert": Family("DistilBertModel", _distilbert),
    "electra": Family("ElectraModel", _bert),
    "mpnet": Family("MPNetModel", _mpnet, counts_from_padding=True),
    "mt5": Family("MT5EncoderModel", _t5),
    "roberta": Family("RobertaModel", _bert, counts_from_padding=True),
    "t5": Family("T5EncoderModel", _t5),
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


def fresh_network(config: Mapping[str, Any]) -> nn.Module:
    """Build a network of transformers with fresh weights, drawn from torch's global generator."""
    import transformers

    given = {key: value for key, value in config.items() if key != "model_type"}
    whole = transformers.AutoConfig.for_model(config["model_type"], **given)
    kind = getattr(transformers, family_of(config, NAME).network)
    return kind(whole)


def cut_network(network: Any, pooling: str, example: Padded) -> Backbone:
    """Return a network of transformers as a backbone of blocks.

    Raises ModelError where the blocks give other features than the network itself, as another
    version of transformers might have it.
    """
    parts = FAMILIES[network.config.model_type].parts(network)
    padding = network.config.pad_token_id
    ends = [None] * (len(parts.layers) - 1) + [parts.last]
    blocks: list[nn.Module] = [Stem(parts, 0 if padding is None else padding)]
    blocks += [Layer(layer, parts, end) for layer, end in zip(parts.layers, ends, strict=True)]
    pool = FirstPool() if pooling == "cls" else MeanPool()
    network.eval()
    expected_BSD = _hidden(network, example)
    backbone = Backbone(NAME, blocks, pool, example)
    _check_same(backbone.eval().run(example), expected_BSD, example)
    return backbone.train()


@torch.no_grad()
def _hidden(network: Any, tokens: Padded) -> Tensor:
    return network(
        input_ids=tokens.values.long(), attention_mask=tokens.mask.long()
    ).last_hidden_state


def _check_same(got: Rows, expected_BSD: Tensor, example: Padded) -> None:
    assert isinstance(got, Padded)
    apart = (got.values - expected_BSD)[example.mask].abs().max()
    if not bool(apart <= TOLERANCE * max(1.0, float(expected_BSD.abs().max()))):
        import transformers

        raise ModelError(
            f"the blocks give other features than the network itself (by {float(apart):.2g}): "
            f"transformers {transformers.__version__} runs it otherwise than raytl cuts it"
        )
