"""Networks for series: known answers, and that padding changes nothing."""

from typing import Any

import pytest
import torch
from torch import nn

from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
from raytl.modalities.series.catalogue import build_backbone
from raytl.modalities.series.inception import InceptionModule, MaskedBatchNorm, Own
from raytl.modalities.series.rnn import RecurrentLayer
from raytl.modalities.series.transform import SeriesFacts, SeriesTransform
from raytl.rows import Padded, padded

SMALL = {
    "lstm": {"layers": 2, "width": 5},
    "gru": {"layers": 2, "width": 5},
    "inception": {"blocks": 2, "modules": 2, "filters": 4, "kernel": 8},
}
LENGTHS = (7, 1, 12)


def network(name: str, channels: int = 3, **args: Any) -> Backbone:
    torch.manual_seed(0)
    names = tuple(f"c{number}" for number in range(channels))
    facts = SeriesFacts(channels=names, mean=(0.0,) * channels, std=(1.0,) * channels)
    return build_backbone(name, SeriesTransform(facts), SMALL[name] | args)


def rows(channels: int = 3) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(length, channels) for length in LENGTHS]


def with_room(parts: list[torch.Tensor], steps: int) -> Padded:
    """The rows, padded further than they need."""
    found = padded(parts)
    more = torch.zeros(len(parts), steps, found.values.shape[2])
    return Padded(torch.cat([found.values, more], dim=1), found.sizes)


def own_steps(x: Padded) -> torch.Tensor:
    return x.values[x.mask]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_nothing_in_a_rows_own_steps(name: str, training: bool) -> None:
    backbone, parts = network(name).train(training), rows()
    tight, wide = backbone.run(padded(parts)), backbone.run(with_room(parts, 9))
    torch.testing.assert_close(own_steps(tight), own_steps(wide), rtol=1e-4, atol=1e-5)
    assert not wide.values[~wide.mask].any(), "what is no row's is zero"


@pytest.mark.parametrize("name", SMALL)
def test_a_row_alone_has_the_features_that_it_has_in_a_batch(name: str) -> None:
    backbone, parts = network(name).eval(), rows()
    alone = torch.cat([backbone(padded([part])) for part in parts])
    torch.testing.assert_close(backbone(padded(parts)), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_a_prefix_and_the_rest_are_the_whole(name: str) -> None:
    backbone, x = network(name).eval(), padded(rows())
    prefix = backbone.run(x, 0, 1)
    kept = prefix.values.clone()
    assert torch.equal(backbone.pool(backbone.run(prefix, 1)), backbone(x))
    assert torch.equal(prefix.values, kept)
    assert len(backbone.blocks) == 2 and backbone.state == "tokens"


@pytest.mark.parametrize("name", SMALL)
def test_a_row_of_length_zero_has_finite_features_and_gradients(name: str) -> None:
    backbone = network(name)
    out = backbone(padded([torch.zeros(0, 3), *rows()]))
    out.square().sum().backward()
    assert out.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters())


@pytest.mark.parametrize(("name", "dim"), [("lstm", 10), ("gru", 10), ("inception", 16)])
def test_width_of_features(name: str, dim: int) -> None:
    assert network(name).feature_dim == dim


def test_one_direction_has_half_the_width() -> None:
    assert network("lstm", bidirectional=False).feature_dim == 5


def test_inception_takes_one_channel() -> None:
    assert network("inception", channels=1)(padded(rows(1))).shape == (3, 16)


def test_the_backward_direction_starts_at_a_rows_own_end() -> None:
    layer, parts = RecurrentLayer("gru", 3, 5, True), rows()
    with torch.no_grad():
        alone = layer.rnn(parts[0].unsqueeze(0))[0][0]
        torch.testing.assert_close(layer(with_room(parts, 4)).values[0, : LENGTHS[0]], alone)


def test_masked_batch_norm_is_torchs_where_nothing_is_padded() -> None:
    ours, theirs = MaskedBatchNorm(3), nn.BatchNorm1d(3)
    x = padded([torch.randn(6, 3) for _ in range(4)])
    x_BCS = x.values.transpose(1, 2)
    for _ in range(2):
        torch.testing.assert_close(ours(x_BCS, Own.of(x)), theirs(x_BCS))
    torch.testing.assert_close(ours.norm.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.norm.running_var, theirs.running_var)
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(x_BCS, Own.of(x)), theirs(x_BCS))


def test_masked_batch_norm_takes_its_statistics_of_own_steps() -> None:
    norm, parts = MaskedBatchNorm(3), rows()
    x = with_room(parts, 5)
    out_BCS = norm(x.values.transpose(1, 2), Own.of(x))
    expected = nn.BatchNorm1d(3)(torch.cat(parts))
    torch.testing.assert_close(out_BCS.transpose(1, 2)[x.mask], expected)


def test_a_batch_without_an_own_step_teaches_batch_norm_nothing() -> None:
    norm, x = MaskedBatchNorm(3), Padded(torch.zeros(2, 4, 3), torch.zeros(2, 1, dtype=torch.int64))
    assert not norm(x.values.transpose(1, 2), Own.of(x)).any()
    assert norm.norm.running_mean is not None and norm.norm.running_var is not None
    assert norm.norm.running_mean.tolist() == [0] * 3 and norm.norm.running_var.tolist() == [1] * 3


def test_an_inception_module_is_its_four_branches() -> None:
    torch.manual_seed(0)
    module = InceptionModule(3, filters=2, kernel=8).eval()
    x = padded([torch.randn(9, 3)])
    x_BCS = x.values.transpose(1, 2)
    assert [conv.kernel_size for conv in module.convs] == [(7,), (3,), (1,)]
    narrow = module.bottleneck(x_BCS)
    greatest = nn.functional.max_pool1d(x_BCS, 3, 1, 1)
    branches = [*(conv(narrow) for conv in module.convs), module.of_pool(greatest)]
    expected = torch.cat(branches, 1).div((1 + module.norm.norm.eps) ** 0.5).relu()
    torch.testing.assert_close(module(x_BCS, Own.of(x)), expected)


def test_the_longest_kernels_are_those_of_the_paper_less_one() -> None:
    module = InceptionModule(3, filters=2, kernel=40)
    assert [conv.kernel_size for conv in module.convs] == [(39,), (19,), (9,)]


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("lstn", {}, "unknown backbone 'lstn' for series; did you mean 'lstm'"),
        ("lstm", {"layer": 3}, "lstm: args: unknown key 'layer'; did you mean 'layers'"),
        ("gru", {"layers": 0}, "gru: args: layers: .*greater than 0"),
        ("inception", {"kernel": "wide"}, "inception: args: kernel: "),
    ],
)
def test_unknown_names_and_arguments_are_refused(
    name: str, args: dict[str, Any], says: str
) -> None:
    facts = SeriesFacts(channels=("x",), mean=(0.0,), std=(1.0,))
    with pytest.raises(ModelError, match=says):
        build_backbone(name, SeriesTransform(facts), args)


@pytest.mark.parametrize(("name", "lr"), [("lstm", 0.02), ("gru", 0.02), ("inception", 0.01)])
def test_a_network_learns_which_of_two_waves_is_faster(name: str, lr: float) -> None:
    torch.manual_seed(0)
    time, labels = torch.arange(24.0), torch.arange(24) % 2
    phases = torch.rand(24) * 6
    waves = [torch.sin(p + (1 + k) * 0.6 * time) for p, k in zip(phases, labels, strict=True)]
    x = padded([wave.unsqueeze(1)[: 16 + i % 9] for i, wave in enumerate(waves)])
    backbone = network(name, channels=1)
    head = nn.Linear(backbone.feature_dim, 2)
    optimizer = torch.optim.Adam([*backbone.parameters(), *head.parameters()], lr)
    for _ in range(60):
        loss = nn.functional.cross_entropy(head(backbone(x)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (head(backbone.eval()(x)).argmax(1) == labels).float().mean() >= 0.95
