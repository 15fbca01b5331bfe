import copy
from typing import Any

import pytest
import torch
from text_support import CONFIGS, tiny_network
from torch import nn
from torch.func import functional_call

from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
from raytl.modalities.text import families
from raytl.modalities.text.families import FAMILIES, family_of, most_positions
from raytl.modalities.text.huggingface import cut_network, fresh_network
from raytl.rows import Padded

SHARED = ("deberta", "deberta-v2", "mpnet", "mt5", "t5")  # a position bias over all layers
EXAMPLE = Padded(torch.full((2, 8), 5, dtype=torch.int32), torch.tensor([[8], [8]]))
SIZES = torch.tensor([[10], [4], [1]])


def tokens() -> Padded:
    """Rows without any special token, zeros behind their ends, as transforms give them."""
    generator = torch.Generator().manual_seed(0)
    rows = Padded(torch.randint(5, 50, (3, 10), generator=generator, dtype=torch.int32), SIZES)
    return rows.with_values(rows.values * rows.mask)


def cut(kind: str, pooling: str = "mean") -> Backbone:
    return cut_network(tiny_network(kind), pooling, EXAMPLE).eval()


@pytest.mark.parametrize("kind", list(CONFIGS))
@torch.no_grad()
def test_blocks_give_what_the_library_gives_however_far_rows_are_padded(kind: str) -> None:
    network, rows = tiny_network(kind), tokens()
    ids = rows.values.long().masked_fill(~rows.mask, network.config.pad_token_id)
    expected = network(input_ids=ids, attention_mask=rows.mask.long()).last_hidden_state
    backbone = cut(kind)
    got = backbone.run(rows)
    torch.testing.assert_close(got.values[rows.mask], expected[rows.mask], atol=1e-5, rtol=0)
    assert not got.values[~rows.mask].any()

    wide = rows.with_values(torch.cat([rows.values, torch.full((3, 9), 7, dtype=torch.int32)], 1))
    torch.testing.assert_close(
        backbone.run(wide).values[:, :10][rows.mask], expected[rows.mask], atol=1e-5, rtol=0
    )
    alone = backbone.run(Padded(rows.values[1:2, :4], SIZES[1:2]))
    torch.testing.assert_close(alone.values[0], expected[1, :4], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_a_block_is_a_layer_and_each_parameter_is_in_one_block(kind: str) -> None:
    backbone, network = cut(kind), tiny_network(kind)
    assert len(backbone.blocks) == 1 + 3
    assert backbone.state == "tokens" and backbone.feature_dim == 16
    every = list(backbone.named_parameters(remove_duplicate=False))
    assert len(every) == len({id(parameter) for _, parameter in every})
    wanted = sum(p.numel() for n, p in network.named_parameters() if not n.startswith("pooler"))
    assert sum(parameter.numel() for _, parameter in every) == wanted


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_all_that_is_not_frozen_learns_and_no_more(kind: str) -> None:
    backbone = cut(kind).train()
    for block in backbone.blocks[:2]:
        block.requires_grad_(False).eval()
    backbone(tokens()).square().sum().backward()
    for name, parameter in backbone.named_parameters():
        frozen = name.startswith(("blocks.0.", "blocks.1."))
        assert (parameter.grad is None) == frozen, name


@pytest.mark.parametrize("kind", SHARED)
def test_a_copy_has_a_position_bias_of_its_own(kind: str) -> None:
    backbone = cut(kind)
    twin = copy.deepcopy(backbone)
    before = twin(tokens())
    for parameter in backbone.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(twin(tokens()), before)


@pytest.mark.parametrize("kind", SHARED)
def test_later_layers_follow_the_one_bias_wherever_it_is_replaced(kind: str) -> None:
    backbone = cut(kind)
    of_t5 = "blocks.1.layer.layer.0.SelfAttention.relative_attention_bias.weight"
    bias = of_t5 if kind in ("t5", "mt5") else "blocks.0.owned.0.weight"
    h = backbone.run(tokens(), stop=2)
    last = backbone.run(h, start=2).values
    other = {bias: torch.randn_like(backbone.get_parameter(bias))}

    class Rest(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whole = backbone

        def forward(self, h: Padded) -> Any:
            return self.whole.run(h, start=2).values

    replaced = functional_call(Rest(), {f"whole.{k}": v for k, v in other.items()}, (h,))
    assert not torch.allclose(replaced, last, atol=1e-3)
    backbone.load_state_dict(backbone.state_dict() | other)
    torch.testing.assert_close(backbone.run(h, start=2).values, replaced)


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_empty_rows_and_bfloat16_give_finite_features(kind: str) -> None:
    backbone = cut(kind)
    rows = Padded(torch.zeros(2, 3, dtype=torch.int32), torch.tensor([[0], [2]]))
    with torch.no_grad():
        assert backbone(rows).isfinite().all()
        exact = backbone(tokens())
        with torch.autocast("cpu", torch.bfloat16):
            rough = backbone(tokens())
    torch.testing.assert_close(rough.float(), exact, atol=0.15, rtol=0.1)


@torch.no_grad()
def test_pooling_is_the_mean_over_the_rows_own_tokens_or_the_first_one() -> None:
    rows = tokens()
    hidden = cut("bert").run(rows).values
    mean = torch.stack([hidden[i, : int(n)].mean(0) for i, n in enumerate(SIZES[:, 0])])
    torch.testing.assert_close(cut("bert")(rows), mean)
    torch.testing.assert_close(cut("bert", "cls")(rows), hidden[:, 0])


def test_a_cut_that_gives_other_features_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "_run_mpnet", lambda layer, h, mask, _: layer(h, None))
    with pytest.raises(ModelError, match="other features than the network itself.*transformers"):
        cut("mpnet")


def test_a_network_that_cannot_be_cut_names_those_that_can() -> None:
    with pytest.raises(ModelError, match="x: is a gpt2, but .*bert.*t5"):
        family_of({"model_type": "gpt2"}, "x")
    with pytest.raises(ModelError, match="network without model_type"):
        family_of({}, "x")


def test_a_deberta_with_a_convolution_is_refused() -> None:
    network = fresh_network(
        {"model_type": "deberta-v2", "conv_kernel_size": 3} | CONFIGS["deberta-v2"]
    )
    with pytest.raises(ModelError, match="conv_kernel_size"):
        cut_network(network, "mean", EXAMPLE)


def test_positions_are_counted_from_behind_the_padding_where_the_network_does_so() -> None:
    def most(kind: str, **config: Any) -> int | None:
        return most_positions(config, family_of({"model_type": kind}, ""))

    assert most("bert", max_position_embeddings=512, pad_token_id=0) == 512
    assert most("roberta", max_position_embeddings=514, pad_token_id=1) == 512
    assert most("t5") is None


@torch.no_grad()
def test_a_roberta_reads_as_many_tokens_as_it_has_positions() -> None:
    most = most_positions(CONFIGS["roberta"] | {"pad_token_id": 1}, FAMILIES["roberta"])
    assert most == 38
    backbone = cut("roberta")
    assert backbone(Padded(torch.full((1, most), 5), torch.tensor([[most]]))).isfinite().all()
    with pytest.raises((IndexError, RuntimeError)):
        backbone(Padded(torch.full((1, most + 1), 5), torch.tensor([[most + 1]])))
