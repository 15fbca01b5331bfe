from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
from raytl.modalities.text.bilstm import LastPool, LstmLayer
from raytl.modalities.text.catalogue import BACKBONES, build_network
from raytl.modalities.text.options import VocabularyOptions
from raytl.modalities.text.text_cnn import Convolutions, TextCnnArgs
from raytl.modalities.text.transform import VocabularyTransform
from raytl.modalities.text.wing import Text
from raytl.rows import Padded, count, cut

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("bag_of_embeddings", {}),
    ("bag_of_embeddings", {"layers": 0}),
    ("bag_of_embeddings", {"layers": 2}),
    ("bilstm", {"hidden": 6, "layers": 2}),
    ("bilstm", {"hidden": 6, "pooling": "max"}),
    ("bilstm", {"hidden": 6, "pooling": "last"}),
    ("text_cnn", {"filters": 5}),
    ("text_cnn", {"filters": 5, "widths": [1, 7]}),
]
TEXTS = np.array(["a b c d e f g", "a", "c b", "g f e d"], dtype=object)


def transform() -> VocabularyTransform:
    return VocabularyTransform.fitted(VocabularyOptions(), TEXTS)


def network(name: str, args: dict[str, Any]) -> Backbone:
    torch.manual_seed(0)
    return build_network(name, transform(), args).eval()


def longer(rows: Padded, more: int) -> Padded:
    """Pad further, with what no network may look at."""
    shape = (count(rows), more, *rows.values.shape[2:])
    return rows.with_values(torch.cat([rows.values, torch.full(shape, 3).to(rows.values)], 1))


@pytest.mark.parametrize(("name", "args"), VARIANTS)
@torch.no_grad()
def test_features_do_not_hang_on_padding_or_on_the_other_rows(
    name: str, args: dict[str, Any]
) -> None:
    backbone = network(name, args)
    rows = transform().prepare(TEXTS)
    together = backbone(rows)
    assert together.shape == (4, backbone.feature_dim)
    torch.testing.assert_close(backbone(longer(rows, 5)), together, atol=1e-6, rtol=0)
    for row in range(4):
        size = int(rows.sizes[row, 0])
        alone = Padded(rows.values[row : row + 1, :size], rows.sizes[row : row + 1])
        torch.testing.assert_close(backbone(alone)[0], together[row], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("name", "args"), VARIANTS)
def test_a_row_of_length_0_gives_finite_features_and_gradients(
    name: str, args: dict[str, Any]
) -> None:
    backbone = network(name, args).train()
    rows = Padded(torch.zeros(2, 4, dtype=torch.int32), torch.tensor([[0], [0]]))
    features = backbone(rows)
    features.sum().backward()
    assert features.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in backbone.parameters())


@pytest.mark.parametrize(("name", "args"), VARIANTS)
@torch.no_grad()
def test_blocks_leave_zeros_behind_the_ends_and_their_input_alone(
    name: str, args: dict[str, Any]
) -> None:
    backbone = network(name, args)
    h: Any = transform().prepare(TEXTS)
    for block in backbone.blocks:
        before = h.values.clone() if isinstance(h, Padded) else h.clone()
        out = block(h)
        assert torch.equal(h.values if isinstance(h, Padded) else h, before)
        h = out
        if isinstance(h, Padded):
            assert not h.values[~h.mask].any()


@pytest.mark.parametrize(("name", "args"), VARIANTS)
def test_every_parameter_learns(name: str, args: dict[str, Any]) -> None:
    backbone = network(name, args).train()
    backbone(transform().prepare(TEXTS)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in backbone.parameters())


def test_order_of_words_matters_to_all_but_the_bag() -> None:
    for name, args in VARIANTS:
        if args.get("widths"):
            continue  # a row shorter than the filter
        rows = transform().prepare(np.array(["a b c d e", "e d c b a"], dtype=object))
        first, second = network(name, args)(rows)
        same = torch.allclose(first, second, atol=1e-5)
        assert same == (name == "bag_of_embeddings"), name


def test_the_backward_direction_starts_at_each_rows_own_end() -> None:
    torch.manual_seed(0)
    layer = LstmLayer(2, 3, 0.0)
    h = Padded(torch.randn(1, 5, 2), torch.tensor([[3]]))
    with torch.no_grad():
        alone = layer.lstm(h.values[:, :3])[0]
        torch.testing.assert_close(layer(h).values[:, :3], alone)


def test_last_is_the_forward_end_and_the_backward_start() -> None:
    values = torch.arange(16.0).view(1, 4, 4)
    last = LastPool()(Padded(values, torch.tensor([[2]])))
    assert last.tolist() == [[4.0, 5.0, 2.0, 3.0]]


def test_a_convolution_finds_what_only_whole_windows_hold() -> None:
    convolutions = Convolutions(1, TextCnnArgs(widths=(2,), filters=1))
    with torch.no_grad():
        convolutions.convolutions[0].weight[:] = torch.tensor([[[1.0, -1.0]]])
        convolutions.convolutions[0].bias[:] = 0.5
    values = torch.tensor([[1.0, 2.0, 5.0], [9.0, 0.0, 0.0]]).unsqueeze(2)
    out = convolutions(Padded(values, torch.tensor([[3], [1]]))).values.squeeze(2)
    # 1-2+.5 and 2-5+.5 are below 0; 5-(what is behind the end) is no whole window. A single
    # token is read with a zero behind it.
    assert out.tolist() == [[0.0, 0.0, 0.0], [9.5, 0.0, 0.0]]


def test_one_layer_over_the_mean_is_what_its_equation_says() -> None:
    backbone = network("bag_of_embeddings", {"dim": 3, "hidden": 4})
    rows = cut(transform().prepare(TEXTS), slice(2, 3))
    stem, layer = backbone.blocks
    vectors: Tensor = stem.vectors.weight[rows.values[0, :2].long()]
    expected = (layer.linear.weight @ vectors.mean(0) + layer.linear.bias).relu()
    torch.testing.assert_close(backbone(rows)[0], expected)


def test_kinds_of_features_and_blocks() -> None:
    found = {(name, len(network(name, args).blocks), network(name, args).state)
             for name, args in VARIANTS}  # fmt: skip
    assert found == {
        ("bag_of_embeddings", 2, "vector"), ("bag_of_embeddings", 1, "tokens"),
        ("bag_of_embeddings", 3, "vector"), ("bilstm", 3, "tokens"), ("bilstm", 2, "tokens"),
        ("text_cnn", 2, "tokens"),
    }  # fmt: skip


def test_the_global_generator_draws_the_weights() -> None:
    states = [network("bilstm", {}).state_dict() for _ in range(2)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("name", list(BACKBONES))
def test_an_unknown_argument_names_the_nearest(name: str) -> None:
    with pytest.raises(ModelError, match="unknown key 'dims'; did you mean 'dim'"):
        Text().build(name, transform(), {"dims": 3})


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("bilstmm", {}, "unknown backbone 'bilstmm' of texts; did you mean 'bilstm'"),
        ("bilstm", {"pooling": "cls"}, r"bilstm: args\.pooling: .*'last'"),
        ("bilstm", {"layers": 0}, r"args\.layers: .*got 0"),
        ("text_cnn", {"widths": []}, r"args\.widths"),
        ("text_cnn", {"dropout": 1.0}, r"args\.dropout"),
        ("huggingface", {}, "reads a tokenizer's numbers"),
    ],
)
def test_networks_that_cannot_be_built_are_refused(
    name: str, args: dict[str, Any], words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        Text().build(name, transform(), args)
