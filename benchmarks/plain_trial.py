"""A trial as one writes it with torch, torchvision and Ray Tune alone, for `whole_study.py`.

Images lie decoded and normalised in Ray's object store, put there once; frozen blocks run in eval
mode without gradients; schedule, clipping and weight decay are the study's.
"""

import math
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torchvision
from ray import tune
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from raytl.config.learning_rates import TRANSFERRED_SCALE

Arrays = tuple[np.ndarray, np.ndarray]  # x_NCHW float32, y_N int64
EVAL_BATCH = 128


def squeezenet1_0(weights: str | None) -> list[nn.Module]:
    network = torchvision.models.squeezenet1_0()
    if weights is not None:
        network.load_state_dict(torch.load(weights, weights_only=True))
    return [*network.features, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())]


def lenet(weights: str | None) -> list[nn.Module]:
    assert weights is None
    return [
        nn.Sequential(nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.ReLU()),
        nn.Sequential(nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(800, 500), nn.ReLU()),
    ]


BACKBONES = {"squeezenet1_0": (squeezenet1_0, 512), "lenet": (lenet, 500)}


class Residual(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, hidden), nn.Linear(hidden, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, f: Tensor) -> Tensor:
        return f + self.up(self.down(f).relu())


def build_mapper(name: str, width: int, hidden: int) -> nn.Module:
    if name == "mlp":
        layers = [nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width), nn.ReLU()]
        return nn.Sequential(*layers)
    return Residual(width, hidden) if name == "residual" else nn.Identity()


class Network(nn.Module):
    """Frozen blocks, trained blocks, mapper, head."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        trial, frozen = config["trial"], config["frozen"]
        build, width = BACKBONES[config["backbone"]]
        blocks = build(config["weights"])
        self.frozen = nn.Sequential(*blocks[:frozen]).requires_grad_(False)
        self.trained = nn.Sequential(*blocks[frozen:])
        self.mapper = build_mapper(trial["mapper"], width, trial["mapper.hidden"])
        dropout = nn.Dropout(trial["head.dropout"])
        self.head = nn.Sequential(dropout, nn.Linear(width, config["classes"]))

    def train(self, mode: bool = True) -> "Network":
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the mapper gives and the logits."""
        with torch.no_grad():
            h = self.frozen(x)
        mapped = self.mapper(self.trained(h))
        return mapped, self.head(mapped)


class GradReverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradient, None


def build_discriminator(width: int, hidden: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, 1), nn.Flatten(0),
    )  # fmt: skip


def learning_rate_factor(trial: dict[str, Any], progress: float) -> float:
    warmup = trial["optimizer.warmup"]
    if progress < warmup:
        return 0.1 + 0.9 * progress / warmup
    if trial["optimizer.schedule"] == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def build_optimizer(
    trial: dict[str, Any], network: Network, more: list[nn.Parameter], transferred: bool
) -> torch.optim.Optimizer:
    lr, scale = trial["optimizer.lr"], trial["optimizer.transferred_lr_scale"]
    if scale == "auto":
        normalises = any(isinstance(m, nn.modules.batchnorm._NormBase) for m in network.modules())
        scale = TRANSFERRED_SCALE[trial["optimizer"]][normalises]
    new = [*network.mapper.parameters(), *network.head.parameters(), *more]
    groups = [
        {"params": list(network.trained.parameters()), "lr": lr * (scale if transferred else 1)},
        {"params": new, "lr": lr},
    ]
    groups = [group for group in groups if group["params"]]
    decay = trial["optimizer.weight_decay"]
    if trial["optimizer"] == "sgd":
        momentum = trial["optimizer.momentum"]
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, weight_decay=decay)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[trial["optimizer"]]
    return kind(groups, lr=lr, weight_decay=decay)


def loader(arrays: Arrays, batch_size: int, shuffle: bool) -> DataLoader:
    """A DataLoader that takes a batch's rows at once, which is much faster than row by row."""
    dataset = TensorDataset(*map(torch.from_numpy, arrays))
    order = RandomSampler(dataset) if shuffle else range(len(dataset))
    return DataLoader(
        dataset, batch_size=None, sampler=BatchSampler(order, batch_size, drop_last=False)
    )


def endless(batches: DataLoader) -> Iterator[list[Tensor]]:
    while True:
        yield from batches


class Training:
    """One trial: what is trained, on which streams of batches."""

    def __init__(self, config: dict[str, Any], data: dict[str, Arrays]) -> None:
        trial = self.trial = config["trial"]
        self.config, self.step = config, 0
        self.format = torch.channels_last if config["tuned"] else torch.contiguous_format
        self.network = Network(config).to(memory_format=self.format)
        self.discriminator: nn.Module | None = None
        names = ["labelled"] if "labelled" in data else ["source"]
        if trial["recipe"] == "dann":
            names = ["source", "target"]
            last = self.network.head[1]
            assert isinstance(last, nn.Linear)
            self.discriminator = build_discriminator(
                last.in_features, trial["discriminator_hidden"]
            )
        loaders = [loader(data[name], config["batch_size"], shuffle=True) for name in names]
        self.steps = config["steps"] or max(map(len, loaders))
        self.streams = [endless(batches) for batches in loaders]
        more = list(self.discriminator.parameters()) if self.discriminator else []
        transferred = config["weights"] is not None
        self.optimizer = build_optimizer(trial, self.network, more, transferred)
        self.parameters = [p for g in self.optimizer.param_groups for p in g["params"]]
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: learning_rate_factor(trial, step / self.all_steps)
        )

    @property
    def all_steps(self) -> int:
        return self.steps * self.config["of_epochs"]

    def epoch(self) -> None:
        self.network.train()
        for _ in range(self.steps):
            self.optimizer.zero_grad()
            self.loss().backward()
            if self.trial["optimizer.clip_norm"]:
                nn.utils.clip_grad_norm_(self.parameters, self.trial["optimizer.clip_norm"])
            self.optimizer.step()
            self.schedule.step()
            self.step += 1

    def loss(self) -> Tensor:
        batches = [next(stream) for stream in self.streams]
        x = torch.cat([x for x, _ in batches]) if len(batches) > 1 else batches[0][0]
        mapped, logits = self.network(x.to(memory_format=self.format))
        y = batches[0][1]
        task = F.cross_entropy(logits[: len(y)], y)
        if self.discriminator is None:
            return task
        ganin = 2 / (1 + math.exp(-10 * self.step / self.all_steps)) - 1
        reversed_ = GradReverse.apply(mapped, self.trial["adversarial_lambda"] * ganin)
        domain = torch.cat([torch.zeros(len(y)), torch.ones(len(mapped) - len(y))])
        scores = self.discriminator(reversed_)
        return task + F.binary_cross_entropy_with_logits(scores, domain)

    @torch.inference_mode()
    def probabilities(self, arrays: Arrays) -> Tensor:
        self.network.eval()
        batches = loader(arrays, EVAL_BATCH, shuffle=False)
        logits = [self.network(x.to(memory_format=self.format))[1] for x, _ in batches]
        return torch.cat(logits).softmax(1)


def accuracy(p_NK: Tensor, y_N: np.ndarray) -> float:
    return float((p_NK.argmax(1) == torch.from_numpy(y_N)).float().mean())


def score(p_NK: Tensor, y_N: np.ndarray, labelled: bool) -> float:
    """Return accuracy; without target labels the nuclear norm of the predictions."""
    if labelled:
        return accuracy(p_NK, y_N)
    return float(torch.linalg.matrix_norm(p_NK, "nuc")) / math.sqrt(p_NK.numel())


def plain_trial(space: dict[str, Any], data: dict[str, Arrays]) -> None:
    """Tune's function trainable: report after each epoch its seconds, validation included, and
    after the last one, where the trial is a retraining, the test split's. Without epochs, report
    once."""
    config = space["config"]
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
    torch.set_num_threads(1)
    if config["tuned"]:
        from raytl.memory import keep_freed_memory

        keep_freed_memory()
    torch.manual_seed(config["seed"])
    training = Training(config, data)
    trained = sum(p.numel() for p in training.network.parameters() if p.requires_grad)
    assert trained == config["trainable"], "raytl's model has another number of parameters"
    for epoch in range(config["epochs"]):
        start = time.perf_counter()
        training.epoch()
        p = training.probabilities(data["validation"])
        metrics = {"score": score(p, data["validation"][1], "labelled" in data)}
        metrics["epoch_seconds"] = time.perf_counter() - start
        if config["test"] and epoch + 1 == config["epochs"]:
            start = time.perf_counter()
            p = training.probabilities(data["test"])
            metrics["test_accuracy"] = accuracy(p, data["test"][1])
            metrics["test_seconds"] = time.perf_counter() - start
        tune.report(metrics)
    if not config["epochs"]:
        tune.report({"trainable": trained})
