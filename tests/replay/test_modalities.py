"""One step of every modality's networks against the same step written by hand.

By hand: rows one by one, each of its own length and without padding, every layer as its equations
in plain torch on the trial's own weights, autograd, and SGD's update. The trial's step is one epoch
of one step through the real loop.

Legend: B rows, S positions of one row, C channels, D features, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_domains import write_domains
from torch import Tensor

from raytl.config import Study, TrialConfig
from raytl.data.batch import Batch
from raytl.data.mixing import joint_batches
from raytl.rows import Padded
from raytl.training.material import Material
from raytl.training.trial import TrialRun

LR, DECAY = 0.1, 0.01
EPS, BN_MOMENTUM = 1e-5, 0.1


@dataclass
class Weights:
    """A network's parameters as they were before the step, by the names of its state."""

    of: dict[str, Tensor]

    def __call__(self, name: str) -> Tensor:
        return self.of[name]

    def below(self, prefix: str) -> "Weights":
        return Weights({k.removeprefix(prefix): v for k, v in self.of.items()})

    def has(self, name: str) -> bool:
        return name in self.of


Features = Callable[[list[Tensor], Weights], Tensor]  # rows, weights of blocks → f_BD


def linear(x: Tensor, w: Weights, name: str) -> Tensor:
    return x @ w(f"{name}.weight").T + w(f"{name}.bias")


def layer_norm(x: Tensor, w: Weights, name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + EPS).sqrt()
    return scaled * w(f"{name}.weight") + w(f"{name}.bias")


def batch_norm(rows: list[Tensor], w: Weights, name: str) -> list[Tensor]:
    """Of rows (…, C): statistics are of all rows' own positions together."""
    every = torch.cat([row.reshape(-1, row.shape[-1]) for row in rows])
    mean, variance = every.mean(0), (every - every.mean(0)).square().mean(0)
    # What the layer will know of the data after this step (the variance without bias).
    n = len(every)
    running = {"mean": mean, "var": variance * n / (n - 1)}
    for kind, found in running.items():
        buffer = w(f"{name}.running_{kind}")
        w.of[f"{name}.running_{kind} after"] = (
            (1 - BN_MOMENTUM) * buffer + BN_MOMENTUM * found
        ).detach()
    scale = w(f"{name}.weight") / (variance + EPS).sqrt()
    return [(row - mean) * scale + w(f"{name}.bias") for row in rows]


def lstm(x_SC: Tensor, w: Weights, backward: bool) -> Tensor:
    """h_t = o ⊙ tanh(c_t), c_t = f ⊙ c_{t-1} + i ⊙ g: (S, C) → (S, D)."""
    end = "_l0_reverse" if backward else "_l0"
    h = c = x_SC.new_zeros(w(f"weight_hh{end}").shape[1])
    found: dict[int, Tensor] = {}
    order = range(len(x_SC))
    for t in reversed(order) if backward else order:
        gates = w(f"weight_ih{end}") @ x_SC[t] + w(f"bias_ih{end}")
        gates = gates + w(f"weight_hh{end}") @ h + w(f"bias_hh{end}")
        i, f, g, o = gates.chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        found[t] = h
    return torch.stack([found[t] for t in order])


def both_ways(x_SC: Tensor, w: Weights) -> Tensor:
    return torch.cat([lstm(x_SC, w, False), lstm(x_SC, w, True)], dim=1)


def bilstm(rows: list[Tensor], w: Weights) -> Tensor:
    vectors = w("0.vectors.weight")
    return torch.stack(
        [both_ways(vectors[tokens.long()], w.below("1.lstm.")).mean(0) for tokens in rows]
    )


def text_cnn(rows: list[Tensor], w: Weights) -> Tensor:
    """The greatest value of each filter over the windows that lie within the row; a shorter row has
    one window, with zeros behind its end."""
    found = []
    for tokens in rows:
        x_SC = w("0.vectors.weight")[tokens.long()]
        parts = []
        for number, width in enumerate((2, 3)):
            kernel_FCW = w(f"1.convolutions.{number}.weight")
            missing = max(0, width - len(x_SC))
            long_SC = torch.cat([x_SC, x_SC.new_zeros(missing, x_SC.shape[1])])
            windows = [long_SC[s : s + width] for s in range(len(long_SC) - width + 1)]
            values = [torch.einsum("fcw,wc->f", kernel_FCW, window) for window in windows]
            bias_F = w(f"1.convolutions.{number}.bias")
            parts.append((torch.stack(values) + bias_F).clamp(min=0).amax(0))
        found.append(torch.cat(parts))
    return torch.stack(found)


def number_vectors(x: Tensor, w: Weights) -> list[tuple[Tensor, Tensor]]:
    """Of a prepared row: for age and mass, x_j · W_j and missing_j · V_j."""
    return [
        (
            x[j] * w(f"0.fields.field_{name}.weight"),
            x[2 + j] * w(f"0.fields.field_{name}.missing_weight"),
        )
        for j, name in enumerate(("age", "mass"))
    ]


def table_mlp(rows: list[Tensor], w: Weights) -> Tensor:
    """Fields' vectors summed; then twice: normalise over the batch, ReLU."""
    h = []
    for x in rows:
        parts = [part for pair in number_vectors(x, w) for part in pair]
        town = w("0.fields.field_town.embedding")[int(x[4])]
        parts.append(w("0.fields.field_town.projection_DE") @ town)
        h.append(torch.stack(parts).sum(0) + w("0.bias"))
    h = [row.clamp(min=0) for row in batch_norm(h, w, "0.after.0")]
    h = [linear(row, w, "1.0") for row in h]
    return torch.stack([row.clamp(min=0) for row in batch_norm(h, w, "1.1")])


def attention(h_SD: Tensor, w: Weights, heads: int) -> Tensor:
    """Σ_s softmax_s(q · k_s / √d) v_s of each head, side by side, then a linear layer."""
    query, key, value = linear(h_SD, w, "query_key_value").chunk(3, dim=1)
    found = []
    for q, k, v in zip(*(part.chunk(heads, 1) for part in (query, key, value)), strict=True):
        scores = q @ k.T / q.shape[1] ** 0.5
        weights = scores.exp() / scores.exp().sum(1, keepdim=True)
        found.append(weights @ v)
    return linear(torch.cat(found, dim=1), w, "out")


def ft_transformer(rows: list[Tensor], w: Weights) -> Tensor:
    """Gorishniy et al. 2021, section 3.3: a token a field, then pre-norm layers with ReGLU."""
    found = []
    for x in rows:
        tokens = [w("0.class_token_D")]
        for name, (own, missing) in zip(("age", "mass"), number_vectors(x, w), strict=True):
            tokens.append(own + missing + w(f"0.fields.field_{name}.bias"))
        town = w("0.fields.field_town.embedding")[int(x[4])]
        tokens.append(town + w("0.fields.field_town.bias"))
        h_SD = torch.stack(tokens)
        for number in (1, 2):
            layer = w.below(f"{number}.")
            normed = h_SD if number == 1 else layer_norm(h_SD, layer, "norm1")
            h_SD = h_SD + attention(normed, layer, heads=2)
            up = linear(layer_norm(h_SD, layer, "norm2"), layer, "up")
            value, gate = up.chunk(2, dim=1)
            h_SD = h_SD + linear(value * gate.clamp(min=0), layer, "down")
        found.append(layer_norm(h_SD, w, "2.final.0").clamp(min=0)[0])
    return torch.stack(found)


def series_lstm(rows: list[Tensor], w: Weights) -> Tensor:
    found = []
    for x_SC in rows:
        h_SD = both_ways(both_ways(x_SC, w.below("0.rnn.")), w.below("1.rnn."))
        found.append(h_SD.amax(0))
    return torch.stack(found)


def convolution(x_SC: Tensor, kernel_FCW: Tensor) -> Tensor:
    """Σ over a window that has its middle at each step, zeros outside of the row: (S, F)."""
    half = kernel_FCW.shape[2] // 2
    edge = x_SC.new_zeros(half, x_SC.shape[1])
    wide = torch.cat([edge, x_SC, edge])
    windows = [wide[s : s + kernel_FCW.shape[2]] for s in range(len(x_SC))]
    return torch.stack([torch.einsum("fcw,wc->f", kernel_FCW, window) for window in windows])


def neighbours(x_SC: Tensor) -> Tensor:
    """The greatest of each step and those beside it."""
    return torch.stack([x_SC[max(0, s - 1) : s + 2].amax(0) for s in range(len(x_SC))])


def inception(rows: list[Tensor], w: Weights) -> Tensor:
    """One block: two modules, and the shortcut around both; the mean over a row's steps."""
    h = rows
    for number in range(2):
        module = w.below(f"0.inception.{number}.")
        joined = []
        for x_SC in h:
            narrow = convolution(x_SC, module("bottleneck.weight"))
            parts = [convolution(narrow, module(f"convs.{i}.weight")) for i in range(3)]
            parts.append(convolution(neighbours(x_SC), module("of_pool.weight")))
            joined.append(torch.cat(parts, dim=1))
        h = [row.clamp(min=0) for row in batch_norm(joined, w, f"0.inception.{number}.norm.norm")]
    shortcut = [convolution(x_SC, w("0.shortcut.weight")) for x_SC in rows]
    shortcut = batch_norm(shortcut, w, "0.norm.norm")
    ends = [(a + b).clamp(min=0) for a, b in zip(h, shortcut, strict=True)]
    return torch.stack([row.mean(0) for row in ends])


CASES: dict[str, tuple[str, dict[str, Any], Features]] = {
    "bilstm": ("text", {"dim": 4, "hidden": 3}, bilstm),
    "text_cnn": ("text", {"dim": 4, "widths": [2, 3], "filters": 3}, text_cnn),
    "mlp": (
        "table",
        {"width": 8, "depth": 1, "dropout": 0, "norm": "batch", "embedding_dim": 3},
        table_mlp,
    ),
    "ft_transformer": (
        "table",
        {"width": 8, "heads": 2, "depth": 2, "attention_dropout": 0, "hidden_dropout": 0},
        ft_transformer,
    ),
    "lstm": ("series", {"width": 3, "layers": 2}, series_lstm),
    "inception": ("series", {"filters": 2, "kernel": 12, "blocks": 1, "modules": 2}, inception),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replay")
    for modality in {modality for modality, _, _ in CASES.values()}:
        write_domains(folder / modality, modality)
    return folder


def run_of(folder: Path, modality: str, network: str, args: dict[str, Any]) -> TrialRun:
    study = Study.model_validate(
        {
            "study": "replay",
            "target_domain": {"dataset": folder / modality / "target", "labels": "all"},
            "source_models": {"net": {"backbone": network, "args": args}},
            "space": {"recipe": {"choice": ["finetune"]}},
            "train": {"epochs": 1, "batch_size": 20, "steps_per_epoch": 1},
        }
    )
    trial = TrialConfig.from_flat(
        {
            "source_model": "net", "recipe": "finetune", "optimizer": "sgd",
            "optimizer.lr": LR,
            "optimizer.weight_decay": DECAY, "optimizer.schedule": "constant",
            "optimizer.warmup": 0.0, "optimizer.clip_norm": 0.0,
        }
    )  # fmt: skip
    return TrialRun(Material.of(study), trial, seed=2)


def own_rows(batch: Batch, modality: str) -> list[Tensor]:
    """The rows one by one, without what they are padded with."""
    rows = batch.inputs[modality].rows
    if isinstance(rows, Padded):
        return [v[: int(size)] for v, size in zip(rows.values, rows.sizes[:, 0], strict=True)]
    return list(rows)


def step_by_hand(
    features: Features, rows: list[Tensor], y_B: Tensor, start: dict[str, Tensor], learns: set[str]
) -> tuple[float, dict[str, Tensor]]:
    """Return the loss, and the state after w ← w - η (∂L/∂w + decay · w)."""
    leaves = {name: start[name].clone().requires_grad_() for name in learns}
    every = Weights(start | leaves)
    blocks = Weights({k.split(".blocks.")[-1]: v for k, v in every.of.items() if ".blocks." in k})
    logits_BK = linear(features(rows, blocks), every, "head.1")
    p_BK = logits_BK.exp() / logits_BK.exp().sum(1, keepdim=True)
    loss = -p_BK[torch.arange(len(y_B)), y_B].log().mean()
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    after = {
        name: leaf.detach() - LR * (gradient + DECAY * leaf.detach())
        for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True)
    }
    for name in start:
        noted = f"{name.split('.blocks.')[-1]} after"
        if blocks.has(noted):
            after[name] = blocks(noted)
    return loss.item(), after


@pytest.mark.parametrize("network", CASES)
def test_a_step_is_the_one_by_hand(folder: Path, network: str) -> None:
    modality, args, features = CASES[network]
    run = run_of(folder, modality, network, args)
    batch = next(joint_batches(run.feeds)).labelled
    assert batch is not None and batch.target is not None
    rows = own_rows(batch, modality)
    if modality == "table":
        assert torch.stack(rows)[:, 2:4].any(0).all(), "no number is missing"
    else:
        assert min(map(len, rows)) == {"text": 1, "series": 3}[modality] < max(map(len, rows))
    model = run.parts.model
    with torch.no_grad():  # away from where vectors start at 0, and features are all alike
        torch.manual_seed(0)
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        for module in model.modules():
            if isinstance(module, torch.nn.Embedding):
                module.weight[0].zero_()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    learns = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    loss, expected = step_by_hand(features, rows, batch.target, start, learns)

    metrics = run.train()
    assert metrics["train/loss/task"] == pytest.approx(loss, rel=1e-5)
    found = model.state_dict()
    untouched = set(found) - set(expected)
    assert all(name.endswith("num_batches_tracked") for name in untouched)
    for name, value in expected.items():
        assert not torch.equal(found[name], start[name]), name
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=2e-6)
