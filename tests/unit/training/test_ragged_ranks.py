"""Two workers train on rows of unequal lengths, and on several columns, what one would."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from several_columns import BILSTM, CNN, GRU, study_of, trial_of, write_rows

from raytl.training.material import Material
from raytl.training.trial import run_trial

pytestmark = pytest.mark.slow

RANKS = 2
Case = tuple[str, str | None, dict[str, Any], dict[str, Any], dict[str, Any]]
BATCH = {"batch_size": 7}
TEXT, SERIES = {"net": BILSTM}, {"net": GRU}
TWO = {"net": {"parts": {"image": CNN, "text": BILSTM}}}
TAUGHT = {"teacher": {"parts": {"image": CNN}}, "student": {"parts": {"series": GRU}}}

# Target and source domain, source models, keys of the trial, of `train`
CASES: dict[str, Case] = {
    "series": ("series", None, SERIES, {}, BATCH),
    "a frozen prefix of texts": ("texts", None, TEXT, {"frozen_depth": 1}, BATCH),
    "texts prepared as they are read": ("texts", None, TEXT, {}, BATCH | {"feed": "streaming"}),
    "accumulated": ("texts", None, TEXT, {}, BATCH | {"accumulation_steps": 3}),
    "two columns": ("both", None, TWO, {"fusion": "gated", "recipe": "finetune"}, BATCH),
    "domains with other columns": (
        "texts", "images", TWO, {"fusion": "mean", "recipe": "dann"}, BATCH
    ),
    "a branch that no row of a step has": ("texts", "images", TWO, {"fusion": "mean"}, BATCH),
    "a teacher of another column": (
        "pairs", None, TAUGHT,
        {"source_model": "teacher", "student": "student", "recipe": "relational_distillation"},
        BATCH,
    ),
}  # fmt: skip
FEW = ("series", "texts prepared as they are read")  # judged by fewer rows than workers


def train_all(data: dict[str, Path]) -> dict[str, Any]:
    """Return every case's metrics and trained weights, or its error."""
    results: dict[str, Any] = {}
    for name in CASES:
        results[name] = train_one(data, *CASES[name])
    for name in FEW:
        splits = {"train": "train", "validation": "one"}
        results[f"few: {name}"] = train_one(data, *CASES[name], splits=splits)
    return results


def train_one(
    data: dict[str, Path], target: str, source: str | None, models: dict[str, Any],
    flat: dict[str, Any], train: dict[str, Any], **domain: Any,
) -> Any:  # fmt: skip
    study = study_of(
        data[target], models,
        target_domain={"dataset": data[target], "labels": "all"} | domain,
        source_domain=source and {"dataset": data[source]},
        train={"epochs": 1, "steps_per_epoch": 3} | train,
    )  # fmt: skip
    seen: list[dict[str, Any]] = []

    def report(metrics: dict[str, Any], save: Any) -> None:
        seen.append({k: v for k, v in metrics.items() if k != "train/seconds"})

    try:
        parts = run_trial(Material.of(study), trial_of(**flat), 3, report, test=True)
    except Exception as error:  # told by the case's own test
        return repr(error)
    state = parts.model.trainable_state() | parts.recipe.state_dict()
    return seen, {key: value.clone() for key, value in state.items()}


def worker(rank: int, folder: str, data: dict[str, Path]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS
    )
    torch.save(train_all(data), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, rows = tmp_path_factory.mktemp("data"), {"train": 60, "test": 31, "one": 1}
    kinds = {
        "texts": {"text": "text"},
        "series": {"series": "series"},
        "images": {"image": "image"},
        "both": {"image": "image", "text": "text"},
        "pairs": {"image": "image", "series": "series"},
    }
    return {
        name: write_rows(folder / name, columns, seed, rows)
        for seed, (name, columns) in enumerate(kinds.items())
    }


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Path]) -> list[dict[str, Any]]:
    # Before one worker trains: so two of them compute what is stored, together.
    folder = tmp_path_factory.mktemp("group")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYTL_CACHE", str(folder / "cache"))
        torch.multiprocessing.spawn(worker, (str(folder), data), nprocs=RANKS)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(RANKS)]


@pytest.fixture(scope="module")
def of_one(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Path]) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYTL_CACHE", str(tmp_path_factory.mktemp("one") / "cache"))
        return train_all(data)


@pytest.mark.parametrize("case", [*CASES, *(f"few: {name}" for name in FEW)])
def test_two_workers_train_what_one_would(
    case: str, of_one: dict[str, Any], of_two: list[dict[str, Any]]
) -> None:
    assert not isinstance(of_one[case], str), of_one[case]
    metrics, state = of_one[case]
    for results in of_two:
        assert not isinstance(results[case], str), results[case]
        their_metrics, their_state = results[case]
        for ours, theirs in zip(metrics, their_metrics, strict=True):
            for name, value in ours.items():
                plain = name == "test/confusion"
                assert theirs[name] == (value if plain else pytest.approx(value, 1e-3, 1e-5)), name
        for name, value in state.items():
            torch.testing.assert_close(their_state[name], value, rtol=1e-3, atol=1e-5)


def test_few_rows_are_judged_by(of_one: dict[str, Any]) -> None:
    for name in FEW:
        assert of_one[f"few: {name}"][0][0]["validation_rows"] == 1
