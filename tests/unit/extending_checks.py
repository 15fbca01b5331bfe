"""What is asked of the house that docs/extending.md builds: test_extending.py runs it there, and
with it the page's own last block."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import try_points  # type: ignore[import-not-found]
from raytl.modalities.points.column import PointsColumn  # type: ignore[import-not-found]

import raytl
from raytl.config import SearchConfig, SourceModelConfig, Study, TrialConfig
from raytl.data.domain import Domain
from raytl.data.writer import Chunk, write_dataset
from raytl.errors import DataError, ModelError
from raytl.modalities.image.catalogue import backbone_spec, input_shape_for
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.registry import MODALITIES
from raytl.models.source_model import load_source_model
from raytl.recipes import RECIPES
from raytl.rows import Padded
from raytl.scoring.evidence import Evidence
from raytl.scoring.validators import validate
from raytl.sweeping.search.objective import objective_metric
from raytl.training.material import Material
from raytl.training.trial import run_trial

NOISY = Domain.open(try_points.study.target_domain)
VALUES = NOISY.split("train").read("points", [0, 1, 2])


def loaded(**config: Any) -> Any:
    read = SourceModelConfig(**config)
    columns = {"points": PointsColumn()}
    return load_source_model("net", read, columns, lambda _: VALUES, 0).parts["points"]


def refused(call: Callable[[], Any], kind: type[Exception] = ModelError) -> str:
    try:
        call()
    except kind as error:
        return str(error)
    return "not refused"


def pads_alike() -> bool:
    part = loaded(path="sources/rings")
    rows, backbone = part.transform.prepare(VALUES), part.backbone.eval()
    wide = Padded(torch.cat([rows.values, torch.full((3, 5, 2), 7.0)], 1), rows.sizes)
    return torch.equal(backbone(wide), backbone(rows))


def trained(study: Study, trial: TrialConfig) -> dict[str, float]:
    last: dict[str, Any] = {}
    run_trial(Material.of(study), trial, 0, lambda metrics, _: last.update(metrics), test=True)
    return {name: value for name, value in last.items() if isinstance(value, float)}


def beside_images() -> list[float]:
    """Return the losses of trials on rows that have an image, too."""
    y_N = np.arange(40) % 2
    pixels = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 1)).astype(np.uint8)
    points = NOISY.split("train").read("points", np.arange(40))
    columns = {
        "image": ImageColumn(shape=(8, 8, 1), dtype="uint8"),
        "points": PointsColumn(),
        "label": NOISY.target_column,
    }
    chunk = Chunk({"image": pixels, "points": points, "label": y_N}, np.arange(40))
    write_dataset(Path("data/both"), columns, {"train": [chunk], "test": [chunk]}, {})
    images = {"backbone": "small_cnn", "args": {"width": 3}}
    parts = {"image": images, "points": {"path": "sources/rings"}}
    study = Study.model_validate(
        {
            "study": "both",
            "target_domain": {"dataset": "data/both"},
            "source_models": {"net": {"parts": parts}},
            "space": {"recipe": {"choice": ["finetune"]}},
            "train": {"epochs": 1, "batch_size": 8},
        }
    )
    flats: list[dict[str, Any]] = [
        {"fusion": "gated"}, {"recipe": "scratch"}, {"inputs": "points", "frozen_depth.points": 2},
    ]  # fmt: skip
    trials = [TrialConfig.from_flat({"source_model": "net"} | flat) for flat in flats]
    return [trained(study, trial)["train/loss/total"] for trial in trials]


def kept() -> int:
    """Return how many entries of rows of unequal sizes are in the cache."""
    return len(list(Path(os.environ["RAYTL_CACHE"]).glob("prefix/*/offsets.npy")))


def nearest_means(features: list[float], predicted: list[int]) -> float:
    """Return what the page's validator says of rows of one feature."""
    rows_ND, p_NK = np.array(features)[:, None], np.eye(2)[predicted]
    evidence = Evidence(target_p_NK=p_NK, target_features_ND=rows_ND)
    return validate(evidence, ["nearest_means"])["nearest_means"]


def selected_by_nearest_means() -> bool:
    """Whether a study may name the validator, and says what it is."""
    search = SearchConfig.model_validate({"objective": "nearest_means"})
    label = objective_metric(try_points.study.model_copy(update={"search": search})).label
    return label == "nearness to class means on the target, no labels"


def of_patches() -> dict[str, Any]:
    """Return what the page's network is for pictures of 16 × 16."""
    network = backbone_spec("patches").build("patches", (1, 16, 16), width=8, depth=2)
    refusal = refused(lambda: input_shape_for("patches", (1, 16, 16), 18))
    maps = list(network.shapes[-1])
    return {
        "blocks": len(network.blocks), "maps": maps, "no other side": "multiple of 4" in refusal,
    }  # fmt: skip


if __name__ == "__main__":
    told = {
        "predicted": raytl.predict("sources/rings", "data/noisy"),
        "last": trained(try_points.study, try_points.trial),
        "kept": kept(),
        "both": beside_images(),
        "patches": of_patches(),
        "nearest means": {
            "apart": nearest_means([0.0, 0.1, 5.0, 5.1], [0, 0, 1, 1]),
            "one row astray": nearest_means([0.0, 0.1, 5.0, 4.9], [0, 0, 1, 0]),
            "label": selected_by_nearest_means(),
        },
        "pads alike": pads_alike(),
        "kinds": [list(MODALITIES), "nuclear_norm" in RECIPES],
        "a backbone": refused(lambda: loaded(backbone="pointnt")),
        "an argument": refused(lambda: loaded(backbone="pointnet", args={"widht": 3})),
        "an option": refused(lambda: loaded(backbone="pointnet", input_size=3)),
        "a graft": refused(lambda: loaded(graft={"huggingface": "bert"})),
        "a row": refused(lambda: PointsColumn().check([np.zeros((2, 3), np.float32)]), ValueError),
        "a line": refused(lambda: raytl.shard("points", "broken", "data/broken"), DataError),
        "a shard": raytl.inspect("data/rings")["columns"]["points"]["kind"],
    }
    print("TOLD", json.dumps(told))
