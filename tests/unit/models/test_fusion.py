"""Fusion: known answers by hand, and the papers' formulas written a second time."""

import pytest
import torch
from torch import Tensor, nn

from raytl.config import FusionConfig
from raytl.models.branch import BranchOutput, key_of
from raytl.models.fusion import FUSIONS, Concat, Fusion, Gated, Mean, Single, build_fusion

DIMS = {"image": 2, "text": 3}
F_IMAGE = torch.tensor([[1.0, 3.0], [5.0, 1.0], [0.0, 2.0]])
F_TEXT = torch.tensor([[0.0, 3.0, 6.0], [2.0, 2.0, 8.0], [9.0, 0.0, 0.0]])
BOTH = {"image": BranchOutput(F_IMAGE, None), "text": BranchOutput(F_TEXT, None)}


def normalised(f_BD: Tensor) -> Tensor:
    """(f - mean) / √(variance + 10⁻⁵), row by row."""
    rows = []
    for f_D in f_BD:
        centred = f_D - f_D.mean()
        rows.append(centred / (centred.square().mean() + 1e-5).sqrt())
    return torch.stack(rows)


def fusion_of(name: str, **options: object) -> Fusion:
    torch.manual_seed(3)
    return build_fusion(FusionConfig(name=name, **options), DIMS)


def joined(fusion: Fusion, given: tuple[str, ...] = ("image", "text")) -> Tensor:
    return fusion({name: BOTH[name] for name in given}).features


def test_one_branch_is_given_back_as_it_is_with_its_state() -> None:
    fusion, state = build_fusion(FusionConfig(name="gated"), {"image": 2}), torch.ones(3, 2, 1, 1)
    assert isinstance(fusion, Single) and fusion.out_dim == 2
    fused = fusion({"image": BranchOutput(F_IMAGE, state)})
    assert fused.features is F_IMAGE and fused.state is state
    assert not list(fusion.parameters())


def test_concat_puts_each_branch_at_its_own_scale_side_by_side() -> None:
    fusion = fusion_of("concat")
    assert isinstance(fusion, Concat) and fusion.out_dim == 5
    out = joined(fusion)
    # (1, 3) has mean 2 and deviation 1; (0, 3, 6) mean 3 and deviation √6.
    expected = [-1.0, 1.0, -(1.5**0.5), 0.0, 1.5**0.5]
    assert out[0].tolist() == pytest.approx(expected, abs=1e-4)
    torch.testing.assert_close(out, torch.cat([normalised(F_IMAGE), normalised(F_TEXT)], 1))


def test_the_scale_of_one_branch_changes_nothing() -> None:
    large = {"image": BranchOutput(F_IMAGE * 100 + 7, None), "text": BOTH["text"]}
    for name in FUSIONS:
        fusion = fusion_of(name)
        again = fusion(large).features
        torch.testing.assert_close(again, joined(fusion), atol=1e-4, rtol=1e-4)


def test_the_order_in_which_branches_are_given_changes_nothing() -> None:
    for name in FUSIONS:
        fusion = fusion_of(name)
        torch.testing.assert_close(joined(fusion, ("text", "image")), joined(fusion))


def projection(fusion: Mean, name: str) -> nn.Linear:
    linear = fusion.projections[key_of(name)]
    assert isinstance(linear, nn.Linear)
    return linear


def test_mean_is_the_mean_of_what_each_branch_is_mapped_to() -> None:
    fusion = fusion_of("mean", width=4)
    assert isinstance(fusion, Mean) and fusion.out_dim == 4
    total = torch.zeros(3, 4)
    for name, f_BD in (("image", F_IMAGE), ("text", F_TEXT)):
        linear = projection(fusion, name)
        total += normalised(f_BD) @ linear.weight.T + linear.bias
    torch.testing.assert_close(joined(fusion), total / 2)


def by_hand(fusion: Gated, f: dict[str, Tensor], there: dict[str, bool]) -> Tensor:
    """The gated unit of one row, number by number."""
    given = torch.cat([normalised(f[n][None])[0] * there[n] for n in DIMS])
    scores_MW = (fusion.gates.weight @ given + fusion.gates.bias).view(len(DIMS), -1)
    out = torch.zeros(fusion.out_dim)
    for w in range(fusion.out_dim):
        powers = [float(scores_MW[m, w].detach().exp()) * there[n] for m, n in enumerate(DIMS)]
        for n, power in zip(DIMS, powers, strict=True):
            linear = projection(fusion, n)
            value = normalised(f[n][None])[0] @ linear.weight[w] + linear.bias[w]
            out[w] += power / sum(powers) * torch.tanh(value)
    return out


def test_gated_is_the_softmax_of_gates_times_the_tanh_of_each_branch() -> None:
    fusion = fusion_of("gated", width=3)
    assert isinstance(fusion, Gated)
    out = joined(fusion)
    for row in range(3):
        f = {"image": F_IMAGE[row], "text": F_TEXT[row]}
        expected = by_hand(fusion, f, {"image": True, "text": True})
        torch.testing.assert_close(out[row], expected)


def test_gates_of_two_branches_are_the_sigmoid_of_the_paper() -> None:
    fusion = fusion_of("gated", width=3)
    assert isinstance(fusion, Gated)
    given = torch.cat([normalised(F_IMAGE), normalised(F_TEXT)], 1)
    scores = fusion.gates(given)
    z_BW = torch.sigmoid(scores[:, :3] - scores[:, 3:])
    h_image = torch.tanh(fusion.projections["of_image"](normalised(F_IMAGE)))
    h_text = torch.tanh(fusion.projections["of_text"](normalised(F_TEXT)))
    torch.testing.assert_close(joined(fusion), z_BW * h_image + (1 - z_BW) * h_text)


def test_the_widest_branch_says_how_wide_mean_and_gated_are() -> None:
    assert fusion_of("mean").out_dim == fusion_of("gated").out_dim == 3


@pytest.mark.parametrize(("given", "zeros"), [("image", slice(2, 5)), ("text", slice(0, 2))])
def test_concat_has_zeros_for_a_branch_that_is_not_given(given: str, zeros: slice) -> None:
    out, plain = joined(fusion_of("concat"), (given,)), joined(fusion_of("concat"))
    plain[:, zeros] = 0.0
    torch.testing.assert_close(out, plain)


@pytest.mark.parametrize("name", ["mean", "gated"])
def test_one_branch_of_two_is_that_branch_alone(name: str) -> None:
    fusion = fusion_of(name)
    assert isinstance(fusion, Mean)
    alone = fusion.projections["of_image"](normalised(F_IMAGE))
    torch.testing.assert_close(
        joined(fusion, ("image",)), alone.tanh() if name == "gated" else alone
    )


@pytest.mark.parametrize("name", list(FUSIONS))
def test_gradients_of_one_branch_of_two_are_finite(name: str) -> None:
    fusion = fusion_of(name)
    out = joined(fusion, ("image",))
    if list(fusion.parameters()):
        out.square().sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in fusion.parameters())


def branches_kept(fusion: Fusion, rows: int) -> Tensor:
    """Return which branches concat kept of many equal rows, (B, 2)."""
    outputs = {
        "image": BranchOutput(F_IMAGE[:1].expand(rows, 2), None),
        "text": BranchOutput(F_TEXT[:1].expand(rows, 3), None),
    }
    out = fusion(outputs).features
    return torch.stack([out[:, :2].abs().sum(1) > 0, out[:, 2:].abs().sum(1) > 0], 1)


def test_dropout_hides_branches_of_a_row_but_never_all() -> None:
    fusion, rows = fusion_of("concat", dropout=0.3), 20_000
    assert fusion.draws
    torch.manual_seed(0)
    kept_BM = branches_kept(fusion, rows)
    assert kept_BM.any(1).all()
    # Of both: hidden are one alone, 0.3·0.7 each; where both would be, both stay.
    both = kept_BM.all(1).double().mean().item()
    assert both == pytest.approx(0.7 * 0.7 + 0.3 * 0.3, abs=0.015)
    assert (~kept_BM[:, 0]).double().mean().item() == pytest.approx(0.21, abs=0.015)


def test_dropout_hides_nothing_outside_training_and_nothing_of_one_branch() -> None:
    fusion = fusion_of("concat", dropout=0.9).eval()
    assert branches_kept(fusion, 100).all()
    assert not build_fusion(FusionConfig(dropout=0.5), {"image": 2}).draws
    assert not fusion_of("mean").draws


def test_dropout_keeps_the_one_branch_that_is_given() -> None:
    fusion = fusion_of("concat", dropout=0.9)
    torch.manual_seed(0)
    for _ in range(20):
        torch.testing.assert_close(joined(fusion, ("image",))[:, :2], normalised(F_IMAGE))


@pytest.mark.parametrize("name", ["mean", "gated"])
def test_dropout_of_mean_and_gated_gives_one_branch_alone_or_both(name: str) -> None:
    fusion = fusion_of(name, dropout=0.5)
    possible = [
        joined(fusion.eval(), given) for given in (("image",), ("text",), ("image", "text"))
    ]
    fusion.train()
    torch.manual_seed(1)
    seen = set()
    for _ in range(30):
        out = joined(fusion)
        for row in range(3):
            found = [i for i, p in enumerate(possible) if torch.allclose(out[row], p[row], 1e-4)]
            assert len(found) == 1
            seen.add(found[0])
    assert seen == {0, 1, 2}
