"""Two workers train what one would: every recipe, batch statistics, uneven shares."""

import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from boxes_support import study_of_scenes
from conftest import stripes
from masks_support import study_of_squares
from sentences_support import study_of_pairs
from steps_support import study_of_waves
from tests_support import write_images
from timm.layers import BatchNormAct2d, SyncBatchNormAct
from tiny_domains import KINDS, write_domains
from torch import nn

from raytl.config import TASK_FACTS, AugmentConfig, Study, TrialConfig
from raytl.data.augmentation import AugmentedFeed
from raytl.data.feed import Feed
from raytl.modalities.image.column import ImageColumn
from raytl.models.sync_batch_norm import synchronise_batch_norm
from raytl.predictions import FILE_NAME, Predictions
from raytl.ranks import Share, all_rows, own_share, sum_over_ranks
from raytl.recipes import RECIPES
from raytl.training.building import build_trial
from raytl.training.material import Material
from raytl.training.pretrain import pretrain
from raytl.training.readers import Prepared, Readers
from raytl.training.trial import run_trial

RANKS = 2
UNLABELLED = ("source_only", "mcc")
BETWEEN_ROWS = ("dan", "deep_coral", "cdan", "relational_distillation", "importance_weighting")
Case = tuple[dict[str, Any], dict[str, Any], Any]  # keys of the trial, of `train`, labels
Plain = dict[str, Any]  # a study before it is checked


def padded_cases() -> dict[tuple[str, str], Case]:
    """Of rows of unequal lengths, by modality and name; the workers pad their shares unequally. And
    of masks and boxes, of which each reads those of its own rows."""
    every: dict[str, Any] = {"frozen_depth": 0}
    return {
        ("text", "padded texts"): ({**every, "recipe": "dann"}, {"batch_size": 7}, 10),
        ("series", "padded series"): ({**every, "recipe": "finetune"}, {"batch_size": 7}, 10),
        ("masks", "masks"): (
            {"recipe": "dann", "frozen_depth": 1, "head": "unet", "head.hidden": 16},
            {"batch_size": 7, "augment": {"flip": True}}, 10,
        ),
        ("masks", "masks in parts"): (
            {"recipe": "entropy_minimisation", "frozen_depth": 1, "head": "linear"},
            {"batch_size": 8, "accumulation_steps": 2}, "none",
        ),
        **sentences_cases(),
        ("boxes", "boxes"): (
            {"recipe": "dann", "frozen_depth": 1, "head": "faster_rcnn", "head.hidden": 8,
             "optimizer.lr": 0.01},
            {"batch_size": 7, "augment": {"flip": True}}, 10,
        ),
        ("steps", "steps to come"): ({**every, "recipe": "dann"}, {"batch_size": 7}, 10),
        ("steps", "steps said again"): (
            {"recipe": "seasonal_naive", "head": "naive"}, {"batch_size": 7}, 10
        ),
        ("series", "statistics of own steps"): (
            {**every, "recipe": "dann", "source_model": "other"}, {"batch_size": 7}, 10
        ),
    }  # fmt: skip


def sentences_cases() -> dict[tuple[str, str], Case]:
    """Of sentences, where they can be judged."""
    if find_spec("sacrebleu") is None:
        return {}
    adam = {"optimizer": "adam", "optimizer.lr": 0.01, "head.hidden": 16, "label_smoothing": 0.1}
    return {
        ("sentences", "sentences"): (
            {"recipe": "dann", "frozen_depth": 1, "head": "transformer_decoder", **adam},
            {"batch_size": 7}, 10,
        ),
        ("sentences", "sentences in parts"): (
            {"recipe": "finetune", "frozen_depth": 0, "head": "gru_decoder", **adam},
            {"batch_size": 8, "accumulation_steps": 2}, 10,
        ),
    }  # fmt: skip


def cases() -> dict[str, Case]:
    """Of images, by name."""
    found: dict[str, Case] = {}
    given = TASK_FACTS["classification"].gives
    for name in (name for name, recipe in RECIPES.items() if recipe.needs <= given):
        trial: dict[str, Any] = {"recipe": name, "frozen_depth": 1}
        if name == "constant":
            trial["head"] = "constant"
        if name in ("distillation", "relational_distillation"):
            trial |= {"source_model": "taught", "student": "other"}
        found[name] = (trial, {}, "none" if name in UNLABELLED else 10)
    for name in BETWEEN_ROWS:
        trial, _, labels = found[name]
        found[f"{name}, uneven"] = (trial, {"batch_size": 9}, labels)
    tuned = {"recipe": "finetune", "frozen_depth": 0}
    found["batch statistics"] = ({**tuned, "source_model": "normed"}, {"batch_size": 7}, 10)
    found["normalised mapper"] = (
        {**tuned, "mapper": "mlp", "mapper.batch_norm": True}, {"batch_size": 7}, 10
    )  # fmt: skip
    found["accumulated"] = ({"recipe": "dann"}, {"batch_size": 7, "accumulation_steps": 3}, 10)
    found["streaming, augmented"] = (
        tuned, {"feed": "streaming", "augment": {"flip": True, "crop": 1}}, 10
    )  # fmt: skip
    found["coral matrix"] = ({"recipe": "dan", "mapper": "matrix"}, {}, "none")
    return found


def train_all(studies: dict[str, Plain]) -> dict[str, Any]:
    """Return every case's metrics and trained weights; `studies` are by modality."""
    results = {}
    every = {("image", name): case for name, case in cases().items()} | padded_cases()
    for (modality, name), (trial, train, labels) in every.items():
        study = studies[modality]
        target = study["target_domain"] | {"labels": labels}
        plain = {"epochs": 2, "batch_size": 8, "steps_per_epoch": 3} | train
        made = Study.model_validate(study | {"target_domain": target, "train": plain})
        plain_rate = {"optimizer": "sgd", "optimizer.lr": 0.05, "optimizer.warmup": 0.0}
        flat = {"source_model": "net", "head": "mlp"} | plain_rate | trial
        seen: list[dict[str, Any]] = []

        def report(metrics: dict[str, Any], save: Any, seen: Any = seen) -> None:
            seen.append(metrics)
            if "test/rows" in metrics:
                metrics["predictions"] = saved_predictions(save)

        parts = run_trial(Material.of(made), TrialConfig.from_flat(flat), 3, report, test=True)
        state = parts.model.trainable_state() | parts.recipe.state_dict()
        results[name] = (seen, {key: value.clone() for key, value in state.items()})
    return results


def saved_predictions(save: Any) -> Predictions:
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        return Predictions.read(Path(folder) / FILE_NAME)


def worker(rank: int, folder: str, studies: dict[str, Plain]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS
    )
    torch.save((parts_of_it(), train_all(studies)), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def parts_of_it() -> dict[str, Any]:
    """What is measured inside the group besides whole trials."""
    share, x_BD = own_share(), torch.arange(15.0).view(5, 3)
    own = share.of(x_BD).clone().requires_grad_()
    rows = all_rows(own, 5)
    (rows.square().sum() / RANKS).backward()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(5, 2, 3, 3, generator=generator) + 100
    weights = torch.randn(5, 2, 3, 3, generator=generator)
    normed = {}
    for name, (make, dtype, _) in NORMS.items():
        layer = nn.Sequential(make())
        synchronise_batch_norm(layer, torch.device("cpu"))
        mine = share.of(images).to(dtype).requires_grad_()
        out = layer(mine)
        (out * share.of(weights)).sum().backward()
        normed[name] = (out.detach(), mine.grad, layer.state_dict())
    return {
        "rows": rows.detach(),
        "gradient": own.grad,
        "sum": sum_over_ranks(torch.tensor([1.0 + share.rank])),
        "normed": normed,
        "as on a GPU": outputs_as_on_a_gpu(),
    }


def outputs_as_on_a_gpu() -> tuple[torch.Tensor, torch.Tensor]:
    """Return what a network of timm's gives in eval mode, before and after it is made ready for
    several workers on GPUs."""
    network = nn.Sequential(nn.Conv2d(2, 4, 1), act_norm(4), nn.BatchNorm2d(4)).eval()
    images = torch.randn(5, 2, 3, 3)
    before = network(images).detach()
    synchronise_batch_norm(network, torch.device("cuda"))
    assert {type(layer) for layer in network[1:]} == {SyncBatchNormAct, nn.SyncBatchNorm}
    return before, network(images).detach()


def act_norm(channels: int = 2) -> nn.Module:
    return BatchNormAct2d(channels, act_layer=nn.Hardswish, drop_layer=Halved)


class Halved(nn.Module):
    """What stands between timm's normalisation and its activation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 2


# Layers, what they are given, and how near one worker's results are.
NORMS: dict[str, tuple[Callable[[], nn.Module], torch.dtype, float]] = {
    "plain": (lambda: nn.BatchNorm2d(2), torch.float32, 1e-3),
    "with an activation": (act_norm, torch.float32, 1e-3),
    "in bfloat16": (lambda: nn.BatchNorm2d(2), torch.bfloat16, 1e-2),
}


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Plain]:
    folder = tmp_path_factory.mktemp("padded")
    found = {"image": study_of_images(tmp_path_factory.mktemp("ranks"))}
    found["masks"] = study_of_squares(folder)
    found["steps"] = study_of_waves(tmp_path_factory.mktemp("waves"))
    found["sentences"] = study_of_pairs(tmp_path_factory.mktemp("pairs"))
    found["boxes"] = study_of_scenes(folder / "boxes")
    for modality in ("text", "series"):
        write_domains(folder / modality, modality)
        found[modality] = {
            "study": "ranks",
            "source_domain": {"dataset": folder / modality / "source"},
            "target_domain": {"dataset": folder / modality / "target"},
            "source_models": {"net": KINDS[modality].net, "other": KINDS[modality].other},
            "space": {"recipe": {"choice": ["finetune"]}},
        }
    return found


def study_of_images(folder: Path) -> Plain:
    for name, seed, noise in [("source", 0, 10.0), ("target", 1, 60.0)]:
        splits = {"train": [stripes(80, seed, noise)], "test": [stripes(41, seed + 9, noise)]}
        image = ImageColumn(shape=(8, 8, 1), dtype="uint8")
        write_images(folder / name, image, ("rows", "columns"), splits)
    pretrain(folder / "source", "lenet", folder / "taught", epochs=1, batch_size=16)
    return {
        "study": "ranks",
        "source_domain": {"dataset": folder / "source"},
        "target_domain": {"dataset": folder / "target"},
        "source_models": {
            "net": {"backbone": "lenet"},
            "other": {"backbone": "lenet"},
            "taught": {"path": folder / "taught"},
            "normed": {"backbone": "small_cnn", "args": {"width": 4}},
        },
        "space": {"recipe": {"choice": ["finetune"]}},
    }


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory, studies: dict[str, Plain]) -> list[Any]:
    folder = tmp_path_factory.mktemp("group")
    torch.multiprocessing.spawn(worker, (str(folder), studies), nprocs=RANKS)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(RANKS)]


@pytest.fixture(scope="module")
def of_one(studies: dict[str, Plain]) -> dict[str, Any]:
    return train_all(studies)


def comparable(metrics: dict[str, Any]) -> dict[str, float]:
    # iwv and dev fit a classifier to a handful of rows: rounding shows there.
    left_out = (
        "train/seconds", "test/confusion", "target/validator/iwv", "target/validator/dev",
        "predictions",
    )  # fmt: skip
    return {k: v for k, v in metrics.items() if k not in left_out}


@pytest.mark.parametrize("case", [*cases(), *(name for _, name in padded_cases())])
def test_two_workers_train_what_one_would(
    case: str, of_one: dict[str, Any], of_two: list[Any]
) -> None:
    metrics, state = of_one[case]
    for _, results in of_two:
        their_metrics, their_state = results[case]
        for ours, theirs in zip(metrics, their_metrics, strict=True):
            assert theirs.get("test/confusion") == ours.get("test/confusion")
            if "predictions" in ours:
                for name in ("id_N", "target_N", "predicted_N"):
                    one, other = (getattr(m["predictions"], name) for m in (ours, theirs))
                    assert one is other is None or one.tolist() == other.tolist()
                one, other = (m["predictions"].statistics_NM for m in (ours, theirs))
                assert one is other is None or np.allclose(one, other, rtol=1e-4)
            assert comparable(theirs) == pytest.approx(comparable(ours), rel=1e-3, abs=1e-5)
        for name, value in state.items():
            torch.testing.assert_close(their_state[name], value, rtol=1e-3, atol=1e-5)


def test_rows_come_together_in_their_order(of_two: list[Any]) -> None:
    x_BD = torch.arange(15.0).view(5, 3)
    for rank, (parts, _) in enumerate(of_two):
        torch.testing.assert_close(parts["rows"], x_BD)
        torch.testing.assert_close(parts["gradient"], 2 * x_BD[rank::RANKS])
        assert parts["sum"].item() == 3.0


@pytest.mark.parametrize("name", NORMS)
def test_batch_statistics_are_those_of_all_rows(name: str, of_two: list[Any]) -> None:
    make, dtype, near = NORMS[name]
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(5, 2, 3, 3, generator=generator) + 100
    weights = torch.randn(5, 2, 3, 3, generator=generator)
    every = images.to(dtype).requires_grad_()
    layer = make()
    out = layer(every)
    (out * weights).sum().backward()
    assert every.grad is not None
    for rank, (parts, _) in enumerate(of_two):
        mine = slice(rank, None, RANKS)
        their_out, their_gradient, statistics = parts["normed"][name]
        torch.testing.assert_close(their_out, out[mine], rtol=near, atol=near / 10)
        torch.testing.assert_close(their_gradient, every.grad[mine], rtol=near, atol=near / 10)
        for key, value in layer.state_dict().items():
            torch.testing.assert_close(statistics[f"0.{key}"], value)


def test_activations_inside_normalisations_are_kept_on_gpus(of_two: list[Any]) -> None:
    for parts, _ in of_two:
        before, after = parts["as on a GPU"]
        torch.testing.assert_close(after, before)


@pytest.mark.parametrize("kind", ["resident", "streaming"])
@pytest.mark.parametrize("augmented", [False, True])
def test_shares_make_up_the_batches(
    tiny_study: Callable[..., Study], kind: Any, augmented: bool
) -> None:
    material = Material.of(tiny_study())
    trial = TrialConfig(source_model="net", recipe="finetune")
    branch = build_trial(material, trial, 0).model.branch("image")
    readers = Readers(material.domains, {"image": Prepared("image", branch)})

    def feed(share: Share) -> Feed:
        return readers.feed(
            material.domains.target, "train", indices=None, labelled=True, batch_size=7, seed=1,
            kind=kind, augmented=(AugmentConfig(flip=True), 5) if augmented else None, share=share,
        )  # fmt: skip

    assert isinstance(feed(Share()), AugmentedFeed) == augmented
    streams = [feed(share).train_batches(11) for share in (Share(), Share(0, 3), Share(2, 3))]
    for _ in range(4):
        whole, first, third = (next(stream) for stream in streams)
        images = [batch.inputs["image"].rows for batch in (whole, first, third)]
        torch.testing.assert_close(images[1], images[0][0::3])  # type: ignore[index]
        torch.testing.assert_close(images[2], images[0][2::3])  # type: ignore[index]
        torch.testing.assert_close(third.target, whole.target)
        torch.testing.assert_close(third.id, whole.id)
    ids = [batch.id for batch in feed(Share()).eval_batches(9, Share(1, 3))]
    every = torch.cat([batch.id for batch in feed(Share()).eval_batches()])
    torch.testing.assert_close(torch.cat(ids), every[1::3])
    (empty,) = feed(Share()).eval_batches(9, Share(90, 91))
    assert empty.own_rows == 0


def test_the_group_is_only_in_the_workers(tmp_path: Path) -> None:
    assert own_share() == Share(0, 1)
    assert sum_over_ranks(torch.ones(1)).item() == 1.0
