"""Networks for tables: known answers, and weights carried from one to another."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from raytl.errors import ModelError
from raytl.modalities.table.catalogue import BACKBONES, build
from raytl.modalities.table.fields import module_name
from raytl.modalities.table.ft_transformer import FTTransformerOptions, Layer
from raytl.modalities.table.grafting import graft_fields
from raytl.modalities.table.layout import Layout

LAYOUT = Layout(("age", "pay"), (("sex", ("f", "m")), ("town", ("a", "b", "c"))))
X = torch.tensor(
    [[0.5, -1.0, 0, 1, 2, 4], [1.5, 0.25, 0, 0, 3, 2], [-2.0, 1.0, 1, 0, 1, 0]],
    dtype=torch.float32,
)
SMALL = {
    "mlp": {"width": 12, "depth": 2, "embedding_dim": 5},
    "ft_transformer": {"width": 12, "depth": 2, "heads": 3},
}


def network(name: str, layout: Layout = LAYOUT, seed: int = 0, **args: object):
    torch.manual_seed(seed)
    backbone = build(name, layout, {**SMALL[name], **args})
    return _stirred(backbone).eval()


@torch.no_grad()
def _stirred(backbone: nn.Module) -> nn.Module:
    # Parameters that start at 0 or 1 would hide what is left out.
    for parameter in backbone.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    return backbone


def field(backbone: nn.Module, name: str) -> nn.Module:
    return backbone.blocks[0].fields[module_name(name)]


def test_an_mlp_on_one_hot_codes_is_a_linear_layer_of_them() -> None:
    backbone = network("mlp", embeddings=False, depth=0)
    one_hot = [F.one_hot(X[:, 4].long(), 4), F.one_hot(X[:, 5].long(), 5)]
    inputs = torch.cat([X[:, :4], *one_hot], 1)
    rows = [field(backbone, n).weight[None] for n in LAYOUT.numbers]
    rows += [field(backbone, n).missing_weight[None] for n in LAYOUT.numbers]
    rows += [field(backbone, n).embedding for n, _ in LAYOUT.categories]
    expected = F.linear(inputs, torch.cat(rows).T, backbone.blocks[0].bias).relu()
    torch.testing.assert_close(backbone(X), expected)


def test_an_mlp_with_embeddings_is_a_linear_layer_of_numbers_and_embeddings() -> None:
    backbone = network("mlp")
    sex, town = field(backbone, "sex"), field(backbone, "town")
    inputs = torch.cat([X[:, :4], sex.embedding[X[:, 4].long()], town.embedding[X[:, 5].long()]], 1)
    columns = [field(backbone, n).weight[:, None] for n in LAYOUT.numbers]
    columns += [field(backbone, n).missing_weight[:, None] for n in LAYOUT.numbers]
    h = F.linear(inputs, torch.cat([*columns, sex.projection_DE, town.projection_DE], 1),
                 backbone.blocks[0].bias).relu()  # fmt: skip
    for block in list(backbone.blocks)[1:]:
        h = F.linear(h, block[0].weight, block[0].bias).relu()
    torch.testing.assert_close(backbone(X), h)


def test_a_layer_is_pre_norm_attention_then_reglu() -> None:
    torch.manual_seed(0)
    options = FTTransformerOptions(width=12, heads=3)
    layer = _stirred(Layer(options, first=False, last=True)).eval()
    h = torch.randn(2, 5, 12)
    # Again, with torch's own attention
    attention = nn.MultiheadAttention(12, 3, batch_first=True)
    attention.in_proj_weight, attention.in_proj_bias = layer.query_key_value.parameters()
    attention.out_proj.weight, attention.out_proj.bias = layer.out.parameters()
    normed = layer.norm1(h)
    mixed = h + attention(normed, normed, normed)[0]
    both = layer.up(layer.norm2(mixed))
    assert both.shape[2] == 2 * 16  # 4 / 3 of 12
    fed = mixed + layer.down(both[..., :16] * both[..., 16:].relu())
    torch.testing.assert_close(layer(h), layer.final[0](fed).relu())


def test_the_first_layer_alone_has_no_first_norm() -> None:
    first, second = list(network("ft_transformer").blocks)[1:]
    assert [isinstance(layer.norm1, nn.LayerNorm) for layer in (first, second)] == [False, True]
    assert [isinstance(layer.final, nn.Identity) for layer in (first, second)] == [True, False]


def test_tokens_are_weighted_numbers_and_vectors_of_categories() -> None:
    backbone = network("ft_transformer")
    tokens = backbone.blocks[0](X)
    assert tokens.shape == (3, 5, 12)
    pay, town = field(backbone, "pay"), field(backbone, "town")
    torch.testing.assert_close(tokens[0, 2], pay.bias - pay.weight + pay.missing_weight)
    torch.testing.assert_close(tokens[0, 4], town.bias + town.embedding[4])
    torch.testing.assert_close(tokens[:, 0], backbone.blocks[0].class_token_D.expand(3, 12))


def test_parameters_are_as_many_as_counted_by_hand() -> None:
    d, n, c, codes, k = 192, 2, 2, 4 + 5, 256
    tokenizer = n * 3 * d + codes * d + c * d + d
    layers = 3 * (4 * d * d + 4 * d + 2 * d + d * 2 * k + 2 * k + k * d + d)
    norms = 2 * 2 * d + 2 * d  # all but the first layer's first, and the final one
    found = build("ft_transformer", LAYOUT, {})
    assert sum(p.numel() for p in found.parameters()) == tokenizer + layers + norms
    found = build("mlp", LAYOUT, {})
    stem = n * 2 * 256 + codes * 16 + c * 16 * 256 + 256
    assert sum(p.numel() for p in found.parameters()) == stem + 2 * (256 * 256 + 256)


@pytest.mark.parametrize("name", list(BACKBONES))
def test_fields_in_another_order_with_their_parameters_give_the_same(name: str) -> None:
    turned = Layout(LAYOUT.numbers[::-1], LAYOUT.categories[::-1])
    first, second = network(name), network(name, turned, seed=1)
    report = graft_fields(first, second)
    assert set(report.transferred) == {"age", "pay", "sex", "town"}
    torch.testing.assert_close(second(X[:, [1, 0, 3, 2, 5, 4]]), first(X))


@pytest.mark.parametrize("name", list(BACKBONES))
def test_a_prefix_then_the_rest_is_the_whole(name: str) -> None:
    backbone = network(name)
    for stop in range(len(backbone.blocks) + 1):
        rest = backbone.run(backbone.run(X, stop=stop), start=stop)
        assert torch.equal(backbone.pool(rest), backbone(X))
    assert (backbone.feature_dim, backbone.state) == (
        12, {"mlp": "vector", "ft_transformer": "tokens"}[name],
    )  # fmt: skip


@pytest.mark.parametrize("name", list(BACKBONES))
def test_several_networks_run_as_one_batched_module(name: str) -> None:
    networks = [network(name, seed=seed) for seed in range(2)]
    parameters, buffers = stack_module_state(networks)
    batched = vmap(lambda p, b: functional_call(networks[0], (p, b), (X,)))(parameters, buffers)
    torch.testing.assert_close(batched, torch.stack([network(X) for network in networks]))


@pytest.mark.parametrize("name", list(BACKBONES))
@pytest.mark.parametrize("layout", [Layout(("a",), ()), Layout((), (("b", ()),))])
def test_tables_of_one_kind_of_field_are_read(name: str, layout: Layout) -> None:
    assert network(name, layout)(torch.zeros(2, layout.width)).shape == (2, 12)


@pytest.mark.parametrize("name", list(BACKBONES))
def test_what_training_rows_never_had_changes_nothing(name: str) -> None:
    """Missing is the median, and unknown adds nothing, as long as no training row has them."""
    backbone = build(name, LAYOUT, SMALL[name]).train()
    optimizer = torch.optim.AdamW(backbone.parameters(), lr=0.1)
    x = X[:2].clone()
    x[:, 2:4] = 0
    for _ in range(3):
        optimizer.zero_grad()
        backbone(x).square().sum().backward()
        optimizer.step()
    backbone.eval()
    missing = x.clone()
    missing[:, 2:4] = 1
    assert torch.equal(backbone(missing), backbone(x))
    assert not field(backbone, "sex").embedding[:2].any()
    assert field(backbone, "sex").embedding[2:].all()


@pytest.mark.parametrize("name", list(BACKBONES))
def test_shared_fields_keep_their_weights_and_others_start_fresh(name: str) -> None:
    other = Layout(("pay", "height"), (("sex", ("d", "m", "f")), ("job", ("x",))))
    old, new = network(name), network(name, other, seed=1)
    before = {key: value.clone() for key, value in new.state_dict().items()}
    report = graft_fields(old, new)
    assert (report.transferred, report.fresh, report.dropped) == (
        ("pay", "sex"), ("height", "job"), ("age", "town"),
    )  # fmt: skip
    assert report.fresh_categories == {"sex": ("d",)}
    assert report.describe() == (
        "2 fields transferred; started fresh: height, job; dropped: age, town; "
        "new categories of sex: d"
    )
    assert torch.equal(field(new, "pay").weight, field(old, "pay").weight)
    source = field(old, "sex").embedding
    fresh = before[f"blocks.0.fields.{module_name('sex')}.embedding"][2:3]
    assert torch.equal(
        field(new, "sex").embedding, torch.cat([source[:2], fresh, source[3:4], source[2:3]])
    )
    for key, value in new.state_dict().items():
        if any(f".{module_name(fresh)}." in key for fresh in ("height", "job")):
            assert torch.equal(value, before[key])
        elif "fields" not in key:
            assert torch.equal(value, old.state_dict()[key])


def test_a_field_of_another_kind_starts_fresh() -> None:
    old = network("mlp", Layout(("a", "b"), ()))
    new = network("mlp", Layout(("a",), (("b", ("x",)),)))
    report = graft_fields(old, new)
    assert (report.transferred, report.fresh, report.dropped) == (("a",), ("b",), ("b",))


def test_networks_that_differ_in_more_than_fields_are_refused() -> None:
    with pytest.raises(ModelError, match="differ in fields alone"):
        graft_fields(network("mlp"), network("mlp", width=16))
    with pytest.raises(ModelError, match=r"differ in 'blocks\.3"):
        graft_fields(network("mlp"), network("mlp", depth=3))
    with pytest.raises(ModelError, match="differ in"):
        graft_fields(network("mlp"), network("ft_transformer"))


def test_statistics_of_batch_norm_are_carried() -> None:
    old, new = network("mlp", norm="batch"), network("mlp", norm="batch", seed=1)
    old.train()(X)
    graft_fields(old, new)
    assert torch.equal(new(X), old.eval()(X))
    assert old.normalises and not network("mlp").normalises


@pytest.mark.parametrize("name", ["a.b", "a%2Eb", "keys", "größe", "a b/c", "weight", " "])
def test_any_name_of_a_field_is_one_of_a_module(name: str) -> None:
    layout = Layout((name, "other"), ())
    assert network("mlp", layout)(torch.zeros(1, 4)).shape == (1, 12)


def test_names_of_modules_tell_fields_apart() -> None:
    names = ["a.b", "a%2Eb", "a_b", "a b", "A.b", "a", "field_a"]
    assert len({module_name(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("name", "args", "told"),
    [
        ("mlpp", {}, "unknown backbone 'mlpp' for tables; did you mean 'mlp'"),
        ("mlp", {"widht": 3}, "mlp: args: unknown key 'widht'; did you mean 'width'"),
        ("mlp", {"width": 0}, "mlp: args: width: .*greater than 0, got 0"),
        ("mlp", {"dropout": 1}, "dropout: .*less than 1"),
        ("mlp", {"norm": "group"}, "norm: "),
        ("ft_transformer", {"width": 10, "heads": 3}, "heads must divide width, got heads=3"),
    ],
)
def test_what_cannot_be_built_is_refused(name: str, args: dict, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        build(name, LAYOUT, args)
