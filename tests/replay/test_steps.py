"""Each recipe's step against the same step written by hand in plain torch.

`objectives` returns the losses by name, and what the model's and the recipe's own parameters
descend; gradients must agree, and with them the weights after any optimiser's step.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from image_models import IMAGE, image_model
from torch import Tensor
from torch.nn import functional as F

from raytl.config import HeadConfig, MapperConfig, TrialConfig
from raytl.data.batch import Batch, TrainBatch
from raytl.errors import ConfigError
from raytl.modalities.image.catalogue import build_backbone
from raytl.models.mappers import build_mapper
from raytl.models.transfer_model import TransferModel
from raytl.recipes import RECIPES, Context, Recipe, Teacher
from raytl.recipes.adversarial import ganin_factor
from raytl.recipes.base import TEACHER
from raytl.recipes.dan import KERNELS, multi_kernel_mmd
from raytl.recipes.deep_coral import coral_loss
from raytl.recipes.mdd import disparity
from raytl.recipes.tradaboost import ROUNDS
from raytl.rows import Given
from raytl.tasks.classification import Classification
from raytl.tasks.columns import LabelColumn
from raytl.tasks.heads import build_head

SHAPE, CLASSES, WIDTH = (1, 8, 8), 3, 5
TASK = Classification(LabelColumn(classes=("a", "b", "c")))
SOURCE, TARGET, LABELLED = 6, 5, 4
SOURCE_ROWS = 40  # of which a batch has 6
PROGRESS = 0.3
LAMBDA = 2 / (1 + math.exp(-10 * PROGRESS)) - 1

Objectives = tuple[dict[str, Tensor], Tensor, Tensor]


def build(
    depth: int = 1, width: int = 4, seed: int = 0, head: HeadConfig | None = None
) -> TransferModel:
    torch.manual_seed(seed)
    backbone = build_backbone("small_cnn", SHAPE, width=width)
    mapper = build_mapper(MapperConfig(name="linear", out=WIDTH), backbone.feature_dim)
    new_head = build_head(head or HeadConfig(), WIDTH, CLASSES)
    return image_model(backbone, SHAPE, mapper, new_head, range(depth))


def build_teacher() -> TransferModel:
    """With batch norm and dropout, in train mode as any new module."""
    return build(0, width=3, seed=9, head=HeadConfig(name="mlp", dropout=0.5))


def stream(rows: int, seed: int, labelled: bool = True) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, *SHAPE, generator=generator)
    y = torch.randint(CLASSES, (rows,), generator=generator)
    return Batch({IMAGE: Given(x)}, y if labelled else None, torch.arange(rows))


def with_teacher(batch: Batch) -> Batch:
    """The same rows as the teacher's branch is given them, too."""
    taught = {f"{TEACHER}{name}": given for name, given in batch.inputs.items()}
    return replace(batch, inputs=batch.inputs | taught)


def images(names: list[str]) -> Tensor:
    """x_BCHW of these streams together."""
    return torch.cat([STREAMS[name].inputs[IMAGE].rows for name in names])  # type: ignore[misc]


STREAMS = {
    "source": stream(SOURCE, 1),
    "target": stream(TARGET, 2, labelled=False),
    "labelled": stream(LABELLED, 3),
}


def make(name: str, model: TransferModel, **flat: Any) -> Recipe:
    trial = TrialConfig.from_flat({"source_model": "m", "recipe": name} | flat)
    teacher = build_teacher()
    torch.manual_seed(4)
    context = Context(
        trial=trial,
        model=model,
        task=TASK,
        source_task=TASK,
        teacher=Teacher(teacher, TASK),
        source_rows=SOURCE_ROWS,
        id_bounds={"source": SOURCE, "target": LABELLED},
    )
    return RECIPES[name](context)


class Forward:
    """One plain pass over the given streams, in their order, split again."""

    def __init__(self, model: TransferModel, names: list[str]) -> None:
        f = model.branch(IMAGE).backbone(images(names))
        z = model.mapper(f)
        sizes = [len(STREAMS[name].id) for name in names]
        self.f = dict(zip(names, f.split(sizes), strict=True))
        self.z = dict(zip(names, z.split(sizes), strict=True))
        self.logits = dict(zip(names, model.head(z).split(sizes), strict=True))

    def task(self) -> Tensor:
        names = [name for name in ("source", "labelled") if name in self.logits]
        rows = [
            -F.log_softmax(self.logits[name], 1)[torch.arange(len(y)), y]
            for name in names
            if (y := STREAMS[name].target) is not None
        ]
        return torch.cat(rows).mean()


def bce(scores: Tensor, truth: float) -> Tensor:
    p = scores.sigmoid()
    return -(truth * p.log() + (1 - truth) * (1 - p).log())


def domain(discriminator: Any, source: Tensor, target: Tensor) -> Tensor:
    return torch.cat([bce(discriminator(source), 0.0), bce(discriminator(target), 1.0)]).mean()


def supervised(names: list[str]) -> Callable[[TransferModel, Any], Objectives]:
    def objectives(model: TransferModel, recipe: Any) -> Objectives:
        task = Forward(model, names).task()
        return {"task": task}, task, task

    return objectives


def constant(model: TransferModel, recipe: Any) -> Objectives:
    task = Forward(model, ["labelled"]).task()
    return {"task": task}, 0.0 * task, 0.0 * task  # the head is set before any step, and stays


def dann(model: TransferModel, recipe: Any) -> Objectives:
    out = Forward(model, ["source", "target", "labelled"])
    d = domain(recipe.discriminator, out.z["source"], out.z["target"])
    return {"task": out.task(), "domain": d}, out.task() - LAMBDA * d, d


def cdan(model: TransferModel, recipe: Any) -> Objectives:
    out = Forward(model, ["source", "target", "labelled"])
    g = {n: out.logits[n].softmax(1).detach() for n in ("source", "target")}
    joined = {n: torch.einsum("bk,bd->bkd", g[n], out.z[n]).reshape(len(g[n]), -1) for n in g}
    weights, losses = [], []
    for truth, n in enumerate(("source", "target")):
        losses.append(bce(recipe.discriminator(joined[n]), float(truth)))
        weights.append(1 + torch.exp((g[n] * g[n].log()).sum(1)))
    weight = torch.cat(weights)
    d = (weight * torch.cat(losses)).sum() / weight.sum()
    return {"task": out.task(), "domain": d}, out.task() - LAMBDA * d, d


def mdd(model: TransferModel, recipe: Any) -> Objectives:
    out = Forward(model, ["source", "target", "labelled"])
    y_s, y_t = out.logits["source"].argmax(1), out.logits["target"].argmax(1)
    p_s = recipe.adversary(out.z["source"]).softmax(1)[torch.arange(SOURCE), y_s]
    p_t = recipe.adversary(out.z["target"]).softmax(1)[torch.arange(TARGET), y_t]
    d = -3.0 * p_s.log().mean() - (1 - p_t).log().mean()
    return {"task": out.task(), "domain": d}, out.task() - LAMBDA * d, d


def dan(model: TransferModel, recipe: Any) -> Objectives:
    out = Forward(model, ["source", "target", "labelled"])
    rows = torch.cat([out.z["source"], out.z["target"]])
    n = len(rows)
    squares = ((rows[i] - rows[j]).square().sum() for i in range(n) for j in range(n))
    mean = sum(squares, torch.zeros(())).detach() / (n * (n - 1))

    def k(i: int, j: int) -> Tensor:
        square = (rows[i] - rows[j]).square().sum()
        parts = (torch.exp(-square / (s * mean)) for s in KERNELS)
        return sum(parts, torch.zeros(())) / len(KERNELS)

    s, t = range(SOURCE), range(SOURCE, n)
    mmd = sum((k(i, j) for i in s for j in s if i != j), torch.zeros(()))
    mmd = mmd / (SOURCE * (SOURCE - 1))
    mmd = mmd + sum(k(i, j) for i in t for j in t if i != j) / (TARGET * (TARGET - 1))
    mmd = mmd - 2 * sum(k(i, j) for i in s for j in t) / (SOURCE * TARGET)
    total = out.task() + 0.5 * mmd
    return {"task": out.task(), "alignment": mmd}, total, total


def deep_coral(model: TransferModel, recipe: Any) -> Objectives:
    out = Forward(model, ["source", "target", "labelled"])
    gap = torch.cov(out.z["source"].T) - torch.cov(out.z["target"].T)
    coral = (gap**2).sum() / (4 * WIDTH**2)
    total = out.task() + 0.5 * coral
    return {"task": out.task(), "alignment": coral}, total, total


def mcc(model: TransferModel, recipe: Any) -> Objectives:
    out = Forward(model, ["source", "target", "labelled"])
    p = (out.logits["target"] / 2.5).softmax(1)
    entropy = -(p * p.log()).sum(1).detach()
    w = 1 + torch.exp(-entropy)
    w = TARGET * w / w.sum()
    pairs = [[(w * p[:, i] * p[:, j]).sum() for j in range(CLASSES)] for i in range(CLASSES)]
    c = torch.stack([torch.stack(row) for row in pairs])
    c = c / c.sum(1, keepdim=True)
    apart = (c[i, j] for i in range(CLASSES) for j in range(CLASSES) if i != j)
    loss = sum(apart, torch.zeros(())) / CLASSES
    total = out.task() + 0.5 * loss
    return {"task": out.task(), "alignment": loss}, total, total


def entropy_minimisation(model: TransferModel, recipe: Any) -> Objectives:
    out = Forward(model, ["source", "target", "labelled"])
    p = out.logits["target"].softmax(1)
    loss = -(p * p.log()).sum(1).mean() / np.log(CLASSES)
    total = out.task() + 0.5 * loss
    return {"task": out.task(), "alignment": loss}, total, total


def importance_weighting(model: TransferModel, recipe: Any) -> Objectives:
    out = Forward(model, ["source", "target", "labelled"])
    fixed = {n: out.z[n].detach() for n in ("source", "target")}
    w = torch.exp(recipe.discriminator(fixed["source"])).detach().clamp(max=10)
    w = w / w.mean()
    losses = {
        n: F.cross_entropy(out.logits[n], STREAMS[n].target, reduction="none")  # type: ignore[arg-type]
        for n in ("source", "labelled")
    }
    task = torch.cat([w * losses["source"], losses["labelled"]]).mean()
    d = domain(recipe.discriminator, fixed["source"], fixed["target"])
    return {"task": task, "domain": d}, task, d


def tradaboost(model: TransferModel, recipe: Any) -> Objectives:
    out = Forward(model, ["source", "labelled"])
    task = out.task()  # all weights are 1 at first
    return {"task": task}, task, task


def joint(model: TransferModel, recipe: Any) -> Objectives:
    out = Forward(model, ["source", "labelled"])
    of_source = F.cross_entropy(recipe.source_head(out.f["source"]), STREAMS["source"].target)  # type: ignore[arg-type]
    task = F.cross_entropy(out.logits["labelled"], STREAMS["labelled"].target)  # type: ignore[arg-type]
    return {"source_task": of_source, "task": task}, of_source + task, of_source


def distillation(model: TransferModel, recipe: Any) -> Objectives:
    out = Forward(model, ["target", "labelled"])
    taught = build_teacher().eval()(STREAMS["target"].inputs).out.detach()
    p, log_q = (taught / 4).softmax(1), F.log_softmax(out.logits["target"] / 4, 1)
    soft = 16 * (p * (p.log() - log_q)).sum(1).mean()
    total = out.task() + 0.5 * soft
    return {"distillation": soft, "task": out.task()}, total, total


def relational_distillation(model: TransferModel, recipe: Any) -> Objectives:
    out = Forward(model, ["target", "labelled"])
    ours = out.f["target"]
    theirs = build_teacher().eval()(STREAMS["target"].inputs).features.detach()

    def huber(gap: Tensor) -> Tensor:
        return torch.where(gap.abs() < 1, 0.5 * gap**2, gap.abs() - 0.5)

    def distances(f: Tensor) -> Tensor:
        rows = [[(f[i] - f[j]).norm() if i != j else f.new_zeros(()) for j in range(TARGET)]
                for i in range(TARGET)]  # fmt: skip
        found = torch.stack([torch.stack(row) for row in rows])
        return found / (found.sum() / (TARGET * (TARGET - 1)))

    def angle(f: Tensor, i: int, j: int, k: int) -> Tensor:
        if j in (i, k):
            return f.new_zeros(())
        a, b = f[i] - f[j], f[k] - f[j]
        return (a / a.norm()) @ (b / b.norm())

    distance = huber(distances(ours) - distances(theirs)).mean()
    every = [(i, j, k) for i in range(TARGET) for j in range(TARGET) for k in range(TARGET)]
    angles = torch.stack([huber(angle(ours, *ijk) - angle(theirs, *ijk)) for ijk in every]).mean()
    total = out.task() + 0.5 * (distance + 2 * angles)
    return {"task": out.task(), "distance": distance, "angle": angles}, total, total


WEIGHTS = {"alignment_lambda": 0.5, "distillation_weight": 0.5}
CASES: list[tuple[str, dict[str, Any], Callable[[TransferModel, Any], Objectives]]] = [
    ("linear_probe", {}, supervised(["labelled"])),
    ("finetune", {}, supervised(["labelled"])),
    ("lp_ft", {}, supervised(["labelled"])),
    ("gradual_unfreezing", {}, supervised(["labelled"])),
    ("scratch", {}, supervised(["labelled"])),
    ("target_only", {}, supervised(["labelled"])),
    ("source_only", {}, supervised(["source"])),
    ("constant", {"head": "constant"}, constant),
    ("adda", {}, supervised(["source", "labelled"])),  # its first stage
    ("dann", {}, dann),
    ("cdan", {"entropy_conditioning": True}, cdan),
    ("mdd", {"margin": 3.0}, mdd),
    ("dan", WEIGHTS, dan),
    ("deep_coral", WEIGHTS, deep_coral),
    ("mcc", WEIGHTS, mcc),
    ("entropy_minimisation", WEIGHTS, entropy_minimisation),
    ("importance_weighting", {}, importance_weighting),
    ("tradaboost", {}, tradaboost),
    ("joint", {}, joint),
    ("distillation", WEIGHTS, distillation),
    ("relational_distillation", WEIGHTS, relational_distillation),
]


def batch_for(recipe: Recipe) -> TrainBatch:
    streams = {name: STREAMS[name] for name in recipe.streams(True, True)}
    if recipe.uses_student:
        streams = {name: with_teacher(batch) for name, batch in streams.items()}
    return TrainBatch(**streams)


def same_gradients(parameters: Any, expected: Tensor) -> None:
    parameters = [p for p in parameters if p.requires_grad]
    theirs = torch.autograd.grad(expected, parameters, retain_graph=True, allow_unused=True)
    for p, gradient in zip(parameters, theirs, strict=True):
        ours = p.grad if p.grad is not None else torch.zeros_like(p)
        gradient = torch.zeros_like(p) if gradient is None else gradient
        assert torch.allclose(ours, gradient, atol=2e-5), (ours - gradient).abs().max()


def test_every_recipe_is_replayed() -> None:
    of_series = {"naive", "seasonal_naive"}  # which take no step: see tests/contract
    assert {name for name, _, _ in CASES} == set(RECIPES) - of_series


@pytest.mark.parametrize(("name", "flat", "objectives"), CASES, ids=[case[0] for case in CASES])
def test_replay(name: str, flat: dict[str, Any], objectives: Any) -> None:
    model = build(head=HeadConfig(name=flat.get("head", "linear")))
    recipe = make(name, model, **flat)
    with torch.no_grad():  # make opinions strong, so that weights by certainty differ
        for p in (*recipe.parameters(), *model.head.parameters()):
            if p.requires_grad:
                p.mul_(4)
    recipe.train()
    losses = recipe.losses(model, batch_for(recipe), PROGRESS)
    recipe.total(losses, PROGRESS).backward()
    # Autograd of a copy whose batch-norm statistics have not moved.
    plain, plain_recipe = copy.deepcopy(model), copy.deepcopy(recipe)
    plain.zero_grad()
    plain_recipe.zero_grad()
    expected, of_model, of_recipe = objectives(plain, plain_recipe)
    assert set(losses) == set(expected)
    for key, value in expected.items():
        assert losses[key].item() == pytest.approx(value.item(), rel=1e-4, abs=1e-6), key
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        theirs.grad = ours.grad
    for ours, theirs in zip(recipe.parameters(), plain_recipe.parameters(), strict=True):
        theirs.grad = ours.grad
    same_gradients(plain.parameters(), of_model)
    if any(p.requires_grad for p in plain_recipe.parameters()):
        same_gradients(plain_recipe.parameters(), of_recipe)


@pytest.mark.parametrize(("name", "flat", "objectives"), CASES, ids=[case[0] for case in CASES])
def test_the_fewest_rows_of_a_recipe_have_a_loss(
    name: str, flat: dict[str, Any], objectives: Any
) -> None:
    model = build(head=HeadConfig(name=flat.get("head", "linear"))).eval()  # by fixed statistics
    recipe = make(name, model, **flat)
    rows = slice(recipe.least_rows)
    streams = batch_for(recipe).streams
    few = TrainBatch(**{name: batch.cut(rows, rows) for name, batch in streams.items()})
    total = recipe.total(recipe.losses(model, few, PROGRESS), PROGRESS)
    total.backward()
    assert total.isfinite()
    gradients = [p.grad for p in (*model.parameters(), *recipe.parameters()) if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("loss", [multi_kernel_mmd, coral_loss])
def test_domains_are_compared_in_float32_where_training_is_in_bfloat16(loss: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    source, target = (20 + torch.randn(16, 8, generator=generator) for _ in range(2))
    coarse = [features.bfloat16().requires_grad_() for features in (source, target + 0.2)]
    fine = [features.detach().float().requires_grad_() for features in coarse]
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(*coarse)
    wanted = loss(*fine)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)
    for rounded, exact in zip(
        torch.autograd.grad(found, coarse), torch.autograd.grad(wanted, fine), strict=True
    ):
        torch.testing.assert_close(rounded.float(), exact, rtol=0.02, atol=1e-5)


def test_l2_sp() -> None:
    model = build()
    recipe = make("finetune", model, l2_sp=0.2)
    with torch.no_grad():
        for p in model.block_parameters((IMAGE, 2)):
            p.add_(0.5)
    losses = recipe.losses(model, batch_for(recipe), 0.0)
    moved = sum(p.numel() for p in model.block_parameters((IMAGE, 2)))
    assert losses["l2_sp"].item() == pytest.approx(0.25 * moved, rel=1e-5)
    total = recipe.total(losses, 0.0)
    assert total.item() == pytest.approx(losses["task"].item() + 0.1 * 0.25 * moved, rel=1e-5)


def test_adda_in_its_second_stage() -> None:
    model = build()
    recipe: Any = make("adda", model, adversarial_lambda=0.5)
    with torch.no_grad():
        for p in recipe.discriminator.parameters():
            p.mul_(3)
    model.train()
    recipe.train()
    start = copy.deepcopy(model).eval()
    batch = TrainBatch(source=STREAMS["source"], target=STREAMS["target"])
    losses = recipe.losses(model, batch, 0.6)
    recipe.total(losses, 0.6).backward()
    source = start(STREAMS["source"].inputs).mapped.detach()
    target = Forward(model, ["target"]).z["target"]
    d = domain(recipe.discriminator, source, target.detach())
    confusion = bce(recipe.discriminator(target), 0.0).mean()
    assert losses["domain"].item() == pytest.approx(d.item(), rel=1e-4)
    assert losses["confusion"].item() == pytest.approx(confusion.item(), rel=1e-4)
    same_gradients(
        [p for i in (1, 2, 3) for p in model.block_parameters((IMAGE, i))],
        0.5 * ganin_factor(0.2) * confusion,
    )  # a fifth of the second stage is over
    same_gradients(recipe.discriminator.parameters(), d)
    assert all(p.grad is None for p in model.head.parameters())
    assert recipe.switched


def test_tradaboost_fades_what_contradicts() -> None:
    model = build()
    recipe: Any = make("tradaboost", model)
    recipe.train()
    recipe.losses(model, batch_for(recipe), 0.0)
    out = Forward(model, ["source", "labelled"])
    y = STREAMS["source"].target
    assert y is not None
    error = 1 - out.logits["source"].softmax(1)[torch.arange(SOURCE), y]
    log_beta = -math.log(1 + math.sqrt(2 * math.log(SOURCE_ROWS) / ROUNDS))
    assert torch.allclose(recipe.source_log_weights_N[:SOURCE], log_beta * error, atol=1e-4)
    assert (recipe.target_log_weights_N[:LABELLED] > 0).all()
    recipe.eval()
    before = recipe.source_log_weights_N.clone()
    recipe.losses(model, batch_for(recipe), 0.0)
    assert torch.equal(before, recipe.source_log_weights_N)


def test_mdd_pulls_where_the_adversary_is_certain() -> None:
    scores = torch.tensor([[30.0, 0.0, -1.0], [200.0, 0.0, 5.0], [0.3, 1.0, -2.0]])
    y = torch.zeros(3, dtype=torch.long)
    exact = scores.double()
    others = exact[:, 1:].logsumexp(1) - exact.logsumexp(1)  # log(1 - p_0)
    target = scores.clone().requires_grad_()
    loss = disparity(torch.zeros(1, 3), target, y[:1], y, margin=1.0)
    assert loss.item() == pytest.approx(math.log(3) - others.mean().item(), rel=1e-6)
    loss.backward()
    assert target.grad is not None
    p = exact.softmax(1)
    expected = p.clone()  # of -log(1 - p_0): p_0 at class 0, p_k - p_k / (1 - p_0) at the others
    expected[:, 1:] -= exact[:, 1:].softmax(1)
    torch.testing.assert_close(target.grad.double(), expected / 3, rtol=1e-5, atol=1e-6)
    assert target.grad[:2].abs().amax(1).tolist() == pytest.approx([1 / 3, 1 / 3], rel=1e-5)


def test_lambda_schedules() -> None:
    assert ganin_factor(0.0) == 0.0
    assert ganin_factor(1.0) == pytest.approx(math.tanh(5.0))
    constant = make("dann", build(), lambda_schedule="constant", adversarial_lambda=0.3)
    assert constant.scalars(0.0) == {"adversarial_lambda": 0.3}


def test_what_is_held_when() -> None:
    model = build(depth=1)
    lp_ft, gradual = (make(name, model) for name in ("lp_ft", "gradual_unfreezing"))
    blocks = model.branch(IMAGE).backbone.blocks
    assert lp_ft.held_blocks(model, 0.49) == {(IMAGE, i) for i in (1, 2, 3)}
    assert lp_ft.held_blocks(model, 0.5) == set()
    held = [sorted(gradual.held_blocks(model, p)) for p in (0.0, 0.17, 0.34, 0.9)]
    assert held == [[(IMAGE, 1), (IMAGE, 2)], [(IMAGE, 1)], [], []]
    assert model.hold(frozenset({(IMAGE, 1), (IMAGE, 2)}))
    assert [any(p.requires_grad for p in block.parameters()) for block in blocks] == [
        False, False, False, True,
    ]  # fmt: skip
    assert not blocks[1].training
    assert model.hold(frozenset())
    assert blocks[1].training
    assert not blocks[0].training


def test_randomised_multilinear_map_keeps_inner_products() -> None:
    from raytl.recipes.cdan import MultilinearMap

    torch.manual_seed(0)
    joined = MultilinearMap(600, 10)
    assert joined.randomised
    f, g = torch.randn(2, 600), torch.randn(2, 10).softmax(1)
    exact = (f[0] @ f[1]) * (g[0] @ g[1])
    scale = f.norm(dim=1).prod() * g.norm(dim=1).prod()
    r = joined(f, g)
    assert abs((r[0] @ r[1] - exact) / scale) < 0.2


REGIMES: list[tuple[str, bool, bool, Any]] = [
    ("finetune", True, True, ("labelled",)),
    ("finetune", False, True, ("source",)),
    ("linear_probe", True, False, ("labelled",)),
    ("dann", False, True, ("source", "target")),
    ("dann", True, True, ("source", "target", "labelled")),
    ("scratch", True, False, ("labelled",)),
    ("target_only", True, True, ("labelled",)),
    ("source_only", True, True, ("source",)),
    ("joint", True, True, ("source", "labelled")),
    ("distillation", False, False, ("target",)),
    ("finetune", False, False, "needs target labels or a source_domain"),
    ("dann", True, False, "needs a source_domain"),
    ("mcc", False, False, "needs a source_domain"),
    ("adda", True, False, "needs a source_domain"),
    ("importance_weighting", True, False, "needs a source_domain"),
    ("scratch", False, True, "labels is none"),
    ("target_only", False, True, "labels is none"),
    ("source_only", True, False, "needs a source_domain"),
    ("joint", False, True, "needs a source_domain and some target labels"),
    ("tradaboost", False, True, "some target labels"),
    ("relational_distillation", False, True, "needs target labels"),
]


@pytest.mark.parametrize(("name", "labelled", "has_source", "streams"), REGIMES)
def test_label_regimes(name: str, labelled: bool, has_source: bool, streams: Any) -> None:
    if isinstance(streams, str):
        with pytest.raises(ConfigError, match=streams):
            RECIPES[name].streams(labelled, has_source)
    else:
        assert RECIPES[name].streams(labelled, has_source) == streams


def test_teachers_that_do_not_fit() -> None:
    model = build()
    trial = TrialConfig(source_model="m", recipe="distillation")
    with pytest.raises(ConfigError, match="needs student"):
        RECIPES["distillation"](Context(trial, model, TASK))
    fewer = Classification(LabelColumn(classes=("a", "b")))
    for task, why in ((None, "of m: it has no head"), (fewer, "it has 2 classes, and the other 3")):
        teacher = Teacher(build(0), task)
        with pytest.raises(ConfigError, match=f"{why}; use relational_distillation"):
            RECIPES["distillation"](Context(trial, model, TASK, teacher=teacher))


@pytest.mark.parametrize("name", ["distillation", "relational_distillation"])
def test_a_teacher_stays_as_it_is(name: str) -> None:
    model = build()
    recipe: Any = make(name, model)
    start = copy.deepcopy(recipe.teacher.network.state_dict())
    for _ in range(2):
        model.train()
        recipe.train()
        recipe.losses(model, batch_for(recipe), 0.0)
    teacher = recipe.teacher.network
    assert all(torch.equal(value, start[key]) for key, value in teacher.state_dict().items())
    assert not any(module.training for module in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())
    batch = with_teacher(STREAMS["target"])
    assert torch.equal(recipe.teacher(batch).out, recipe.teacher(batch).out)


def test_adversary_gradient_is_reversed_and_not_zero() -> None:
    for name in ("dann", "cdan", "mdd"):
        recipe: Any = make(name, build(), lambda_schedule="constant", adversarial_lambda=0.5)
        model = build()
        outputs: list[np.ndarray] = []
        for lambda_ in (0.5, -1.0):
            recipe.adversarial_lambda = lambda progress, value=lambda_: value
            losses = recipe.losses(model, batch_for(recipe), 0.5)
            model.zero_grad()
            losses["domain"].backward()
            gradient = model.mapper.linear.weight.grad  # type: ignore[union-attr]
            assert isinstance(gradient, Tensor)
            outputs.append(gradient.numpy().copy())
        assert np.abs(outputs[1]).max() > 0
        assert np.allclose(outputs[0], -0.5 * outputs[1], atol=1e-6)
