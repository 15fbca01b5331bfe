"""What is refused before Ray starts, with its place in the study."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import stripes
from masks_support import study_of_squares
from sentences_support import study_of_pairs
from tests_support import write_images

from raytl.config import Study
from raytl.errors import ConfigError, RaytlError
from raytl.modalities.image.catalogue import build_backbone
from raytl.modalities.image.column import ImageColumn
from raytl.sweeping.preflight import preflight
from raytl.training.pretrain import pretrain


def base(domains: tuple[Path, Path]) -> dict[str, Any]:
    source, target = domains
    return {
        "study": "s",
        "source_domain": {"dataset": source},
        "target_domain": {"dataset": target, "labels": 10},
        "source_models": {"net": {"backbone": "small_cnn"}},
        "space": {"recipe": {"choice": ["finetune", "dann"]}},
    }


def dataset(path: Path, classes: tuple[str, ...], channels: int = 1) -> Path:
    labels = np.arange(30) % len(classes)
    images = np.zeros((30, 8, 8, channels), np.uint8)
    image = ImageColumn(shape=(8, 8, channels), dtype="uint8")
    write_images(path, image, classes, {"train": [(images, labels)], "test": [(images, labels)]})
    return path


def test_a_good_study_passes(domains: tuple[Path, Path]) -> None:
    checked = preflight(Study.model_validate(base(domains)))
    assert checked.source_models["net"].blocks == 4


@pytest.mark.parametrize(
    ("change", "message", "exit_code"),
    [
        ({"space": {"frozen_depth": {"choice": [9]}}}, "frozen_depth=9 for small_cnn with 4", 2),
        ({"space": {"frozen_depth": {"int": [0, 5]}}}, "frozen_depth=5 for small_cnn with 4", 2),
        ({"defaults": {"frozen_depth": 7}}, "frozen_depth=7 for small_cnn with 4", 2),
        (
            {"space": {"tuned_blocks": {"choice": ["2-3", "3-4"]}}},
            "space.tuned_blocks: .*got tuned_blocks=3-4 for small_cnn with 4",
            2,
        ),
        ({"defaults": {"tuned_blocks": 4}}, "tuned_blocks=4 for small_cnn with 4", 2),
        ({"space": {"tuned_blocks": {"int": [2, 4]}}}, "tuned_blocks=4 for small_cnn with 4", 2),
        (
            {"space": {"mapper": {"choice": ["matrix"]}, "recipe": {"choice": ["finetune"]}}},
            "space.mapper: mapper matrix with fit=coral needs .* but finetune reads labelled here",
            2,
        ),
        (
            {
                "space": {"recipe": {"choice": ["finetune", "dan"]}},
                "train": {"batch_size": 7, "accumulation_steps": 4},
            },
            "train.batch_size >= 2 × .* recipe dan compares rows .* got 7 for 2 × 4",
            2,
        ),
        (
            {"defaults": {"mapper": "mlp", "mapper.batch_norm": True}, "train": {"batch_size": 1}},
            "train.batch_size >= 2 × .* mapper.batch_norm normalises .* got 1 for 2 × 1",
            2,
        ),
        ({"space": {}}, "space: it is empty", 2),
        ({"space": {"source_model": {"choice": ["nett"]}}}, "did you mean 'net'", 2),
        ({"source_models": {"net": {"backbone": "small_cnnn"}}}, "did you mean 'small_cnn'", 2),
        ({"source_models": {"net": {"path": "none"}}}, "source_models.net: .*no source model", 2),
        (
            {"source_models": {"net": {"backbone": "lenet", "input_size": 8}}},
            "source_models.net: lenet takes images of 16 pixels",
            2,
        ),
        (
            {"source_models": {"net": {"backbone": "lenet", "weights": "none.pth"}}},
            "source_models.net: .*none.pth: no such weights file",
            2,
        ),
        ({"target_domain": {"dataset": "none"}}, "target_domain.dataset: .*no dataset here", 2),
        ({"source_domain": None}, "space.recipe: recipe dann needs a source_domain", 2),
    ],
)
def test_each_mistake_has_its_place(
    domains: tuple[Path, Path], change: dict[str, Any], message: str, exit_code: int
) -> None:
    with pytest.raises(RaytlError, match=message) as caught:
        preflight(Study.model_validate(base(domains) | change))
    assert caught.value.exit_code == exit_code
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize(
    ("content", "exit_code", "message"),
    [
        (b"", 1, "no whole file of weights"),
        (b"\x00" * 1000, 1, "no whole file of weights"),
        (pickle.dumps({"a": print}), 2, "refused: it holds"),
        (None, 2, "the weights do not fit: 'blocks.0.0.weight' is"),
    ],
)
def test_weights_that_only_loading_shows(
    domains: tuple[Path, Path], tmp_path: Path, content: bytes | None, exit_code: int, message: str
) -> None:
    file = tmp_path / "w.pth"
    if content is None:
        torch.save(build_backbone("small_cnn", (1, 8, 8), width=8).state_dict(), file)
    else:
        file.write_bytes(content)
    broken = {"backbone": "small_cnn", "weights": str(file)}
    models = {"net": {"backbone": "small_cnn"}, "teacher": broken}
    with pytest.raises(RaytlError, match=f"^source_models.teacher: .*{message}") as caught:
        preflight(Study.model_validate(base(domains) | {"source_models": models}))
    assert caught.value.exit_code == exit_code
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("depth", [{"choice": [4]}, {"int": [3, 4]}])
def test_a_depth_is_compared_with_the_networks_that_have_it(
    domains: tuple[Path, Path], depth: dict[str, Any]
) -> None:
    models = {"deep": {"backbone": "small_cnn"}, "flat": {"backbone": "lenet"}}
    space = {"source_model": {"choice": ["deep", "flat"]}, "recipe": {"choice": ["finetune"]}}
    study = base(domains) | {"source_models": models}
    own = depth | {"when": {"source_model": "deep"}}
    preflight(Study.model_validate(study | {"space": space | {"frozen_depth": own}}))
    with pytest.raises(ConfigError, match="space.frozen_depth: .*frozen_depth=4 for lenet"):
        preflight(Study.model_validate(study | {"space": space | {"frozen_depth": depth}}))


def test_a_depth_is_compared_with_the_student_that_is_frozen(domains: tuple[Path, Path]) -> None:
    models = {"deep": {"backbone": "small_cnn"}, "flat": {"backbone": "lenet"}}
    space = {"recipe": {"choice": ["relational_distillation"]}, "frozen_depth": {"choice": [4]}}
    study = base(domains) | {"source_models": models, "space": space}

    def taught(teacher: str, student: str) -> Study:
        defaults = {"source_model": teacher, "student": student}
        return Study.model_validate(study | {"defaults": defaults})

    preflight(taught("flat", "deep"))
    with pytest.raises(ConfigError, match="space.frozen_depth: .*frozen_depth=4 for lenet"):
        preflight(taught("deep", "flat"))


def test_weights_that_run_but_overflow(domains: tuple[Path, Path], tmp_path: Path) -> None:
    state = build_backbone("lenet", (1, 16, 16)).state_dict()
    state = {k: torch.full_like(v, 1e30) if v.is_floating_point() else v for k, v in state.items()}
    torch.save(state, tmp_path / "w.pth")
    models = {"net": {"backbone": "lenet", "weights": str(tmp_path / "w.pth")}}
    with pytest.raises(RaytlError, match="source_models.net: lenet gives features .* not finite"):
        preflight(Study.model_validate(base(domains) | {"source_models": models}))


def test_a_stored_source_model_is_compared_with_its_spec(
    domains: tuple[Path, Path], tmp_path: Path
) -> None:
    pretrain(domains[0], "small_cnn", tmp_path / "m", epochs=1)
    study = base(domains) | {"source_models": {"net": {"path": tmp_path / "m"}}}
    assert preflight(Study.model_validate(study)).source_models["net"].blocks == 4
    spec = tmp_path / "m" / "source.json"
    spec.write_text(spec.read_text().replace('"blocks": 4', '"blocks": 9'))
    with pytest.raises(RaytlError, match="source_models.net: .*blocks is 9, but small_cnn"):
        preflight(Study.model_validate(study))


def test_what_is_hardly_meant_is_warned_of(
    domains: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a pass takes here and now hangs on who else computes.
    monkeypatch.setattr("raytl.sweeping.preflight._run_seconds", lambda *_: 4e-4)

    def warnings(**train: Any) -> tuple[str, ...]:
        return preflight(Study.model_validate(base(domains) | {"train": train})).warnings

    assert warnings() == ()
    (batch,) = warnings(batch_size=100_000)
    assert batch.startswith("train.batch_size: a batch of 100,000 is larger than the 76 rows")
    (hours,) = warnings(epochs=1_000_000_000)
    # 32 trials, three tries of two controls and a constant one, 2 steps an epoch
    assert "39 trials and controls come to 78,000,000,000 steps of 64 rows, about" in hours
    assert "hours one after another on this machine" in hours
    gpu = {"train": {"epochs": 10**9}, "resources": {"gpus_per_worker": 1}}
    (steps,) = preflight(Study.model_validate(base(domains) | gpu)).warnings
    assert "78,000,000,000 steps of 64 rows, not counting confirmation" in steps


def test_splits_that_are_one(domains: tuple[Path, Path]) -> None:
    study = base(domains)
    for splits in ({"test": "train"}, {"validation": "train"}, {"validation": "test"}):
        study["target_domain"] = study["target_domain"] | {"splits": splits}
        with pytest.raises(ValueError, match="each part must be another split"):
            Study.model_validate(study)
    source = study["source_domain"] | {"splits": {"validation": "train"}}
    with pytest.raises(ValueError, match="each part must be another split"):
        Study.model_validate(study | {"source_domain": source})
    study["target_domain"] = study["target_domain"] | {"splits": {"train": "trian"}}
    with pytest.raises(RaytlError, match="did you mean 'train'"):
        preflight(Study.model_validate(study))


def test_test_rows_are_learnt_from_through_no_other_domain(domains: tuple[Path, Path]) -> None:
    study = base(domains)
    target = study["target_domain"]["dataset"]
    source = {"dataset": target, "splits": {"train": "test"}}
    with pytest.raises(ValueError, match="both domains read split test of"):
        Study.model_validate(study | {"source_domain": source})


def test_a_copy_of_the_targets_rows_is_no_source_domain(domains: tuple[Path, Path]) -> None:
    study = base(domains)
    target = Path(study["target_domain"]["dataset"])
    copy = shutil.copytree(target, target.with_name("copy"))
    source = {"dataset": copy, "splits": {"train": "test"}}
    for section in ({"dataset": copy}, source):
        with pytest.raises(
            ConfigError, match=r"source_domain: .* learnt from, but shards of .*copy"
        ):
            preflight(Study.model_validate(study | {"source_domain": section}))


def test_rows_that_are_held_out_are_learnt_from_through_no_other_domain(
    domains: tuple[Path, Path],
) -> None:
    study = base(domains)
    target = study["target_domain"]
    same = study | {"source_domain": {"dataset": target["dataset"]}}
    named = {"splits": {"train": "train", "validation": "dev"}}

    def judged(source: dict[str, Any], **more: Any) -> Study:
        source = same["source_domain"] | source
        return Study.model_validate(
            same | {"source_domain": source, "target_domain": target | more}
        )

    for more in ({}, {"labels": "all"}, {"labels": "none"}, named, named | {"labels": "none"}):
        with pytest.raises(ValueError, match="labels it leaves out.* both domains read"):
            judged({}, **more)
    judged({}, **named, labels="all")
    judged({"splits": {"train": "more"}})
    judged({"target": "weight"}, target="height")
    with pytest.raises(ValueError, match="both domains read split train"):
        judged({"target": "weight"}, target="weight")


def test_what_a_verdict_needs_of_the_target(domains: tuple[Path, Path], tmp_path: Path) -> None:
    study = base(domains)
    every = study["target_domain"] | {"labels": "all"}
    redraw = study | {"confirm": {"redraw": True}, "target_domain": every}
    with pytest.raises(RaytlError, match="redraw: true needs `labels: N` and more than N"):
        preflight(Study.model_validate(redraw))
    splits = {"train": [stripes(80, 1, 60.0)], "test": [stripes(1, 2, 60.0)]}
    image = ImageColumn(shape=(8, 8, 1), dtype="uint8")
    write_images(tmp_path / "short", image, ("rows", "columns"), splits)
    study["target_domain"] = study["target_domain"] | {"dataset": tmp_path / "short"}
    with pytest.raises(RaytlError, match="at least 2 test rows with a label .* 'test' has 1"):
        preflight(Study.model_validate(study))


def test_classes_that_differ(domains: tuple[Path, Path], tmp_path: Path) -> None:
    study = base(domains)
    other = dataset(tmp_path / "three", ("a", "b", "c"))
    with pytest.raises(RaytlError, match="column label: it has 2 classes, and the other 3"):
        preflight(Study.model_validate(study | {"source_domain": {"dataset": other}}))
    swapped = dataset(tmp_path / "swapped", ("columns", "rows"))
    with pytest.raises(RaytlError, match="same classes in another order"):
        preflight(Study.model_validate(study | {"source_domain": {"dataset": swapped}}))
    for names in (("columns", "none"), ("Columns", "none"), ("some", "Rows")):
        other = dataset(tmp_path / "_".join(names), names)
        with pytest.raises(RaytlError, match=f"'{names[names[1] == 'Rows']}' is label . in one"):
            preflight(Study.model_validate(study | {"source_domain": {"dataset": other}}))


def test_classes_that_are_called_otherwise_are_told(
    domains: tuple[Path, Path], tmp_path: Path
) -> None:
    study = base(domains)
    assert not [note for note in preflight(Study.model_validate(study)).notes if "called" in note]
    other = dataset(tmp_path / "other", ("lines", "Columns"))
    checked = preflight(Study.model_validate(study | {"source_domain": {"dataset": other}}))
    said = "classes of the source domain are called otherwise: 'lines' is 'rows', 'Columns' is 'col"
    assert any(note.startswith(said) for note in checked.notes)


def test_channels_that_do_not_fit(domains: tuple[Path, Path], tmp_path: Path) -> None:
    study = base(domains) | {"source_models": {"net": {"backbone": "resnet18"}}}
    study["source_domain"] = None
    study["space"] = {"recipe": {"choice": ["finetune"]}}
    study["target_domain"] = {"dataset": dataset(tmp_path / "five", ("a", "b"), channels=5)}
    with pytest.raises(RaytlError, match="resnet18 takes 3 channels, but the images have 5"):
        preflight(Study.model_validate(study))


TAUGHT = ("distillation", "relational_distillation")


@pytest.mark.parametrize("recipe", TAUGHT)
def test_a_recipe_with_a_teacher_is_refused_without_a_student(
    domains: tuple[Path, Path], recipe: str
) -> None:
    searched = base(domains) | {"space": {"recipe": {"choice": ["finetune", recipe]}}}
    said = f"^space.recipe: recipe {recipe} needs student, .* put one into defaults.student"
    with pytest.raises(ConfigError, match=said):
        preflight(Study.model_validate(searched))
    fixed = {"space": {"optimizer.lr": {"choice": [0.1]}}, "defaults": {"recipe": recipe}}
    with pytest.raises(ConfigError, match=f"^defaults.recipe: recipe {recipe} needs student"):
        preflight(Study.model_validate(base(domains) | fixed))


def test_a_student_that_is_there_for_other_recipes_alone_is_none(
    domains: tuple[Path, Path],
) -> None:
    recipes = ["finetune", "relational_distillation"]
    for when, refused in ((["finetune"], True), (["relational_distillation"], False)):
        student = {"choice": ["net"], "when": {"recipe": when}}
        space = {"recipe": {"choice": recipes}, "student": student}
        study = Study.model_validate(base(domains) | {"space": space})
        if not refused:
            preflight(study)
            continue
        with pytest.raises(ConfigError, match="recipe relational_distillation needs student"):
            preflight(study)


def test_a_teacher_that_cannot_teach_is_refused(domains: tuple[Path, Path], tmp_path: Path) -> None:
    other = dataset(tmp_path / "three", ("a", "b", "c"))
    pretrain(other, "small_cnn", tmp_path / "of_three", epochs=1)
    pretrain(domains[0], "small_cnn", tmp_path / "of_two", epochs=1)
    paths = {name: {"path": tmp_path / name} for name in ("of_two", "of_three")}
    study = base(domains) | {
        "source_models": paths | {"net": {"backbone": "small_cnn"}},
        "defaults": {"recipe": "distillation", "student": "net"},
    }

    def taught_by(*teachers: str) -> Study:
        return Study.model_validate(study | {"space": {"source_model": {"choice": teachers}}})

    preflight(taught_by("of_two"))
    for teacher, why in (("net", "it has no head"), ("of_three", "it has 3 classes, and the oth")):
        with pytest.raises(ConfigError, match=f"^defaults.recipe: .*but of {teacher}: {why}"):
            preflight(taught_by("of_two", teacher))


def test_a_truncated_shard_is_a_failure(domains: tuple[Path, Path]) -> None:
    file = next(domains[1].glob("train*.arrow"))
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(
        RaytlError, match=r"target_domain\.dataset: .*train-00000.*shard has 7714 bytes, expected"
    ) as caught:
        preflight(Study.model_validate(base(domains)))
    assert caught.value.exit_code == 1


def test_sentences_that_are_cut_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sacrebleu", reason="raytl[text] is not installed")
    monkeypatch.setattr("raytl.tasks.translation.MOST_TOKENS", 2)
    notes = preflight(Study.model_validate(study_of_pairs(tmp_path))).notes
    assert any("training sentences are longer than 2 tokens" in note for note in notes)


@pytest.mark.parametrize("head", ["unet", "linear"])
def test_heads_that_normalise_maps_of_a_pixel_need_two_rows(tmp_path: Path, head: str) -> None:
    net = {"backbone": "small_cnn", "args": {"width": 4}, "input_size": 8}
    plain = study_of_squares(tmp_path, source_models={"net": net}, defaults={"head": head})
    one = Study.model_validate(plain | {"train": {"epochs": 1, "batch_size": 1}})
    told = (
        rf"train.batch_size >= 2 × accumulation_steps must hold, as head {head} normalises over a "
        r"step's rows and source model net gives maps of 1 x 1 pixel, got 1 for 2 × 1; raise"
    )
    with pytest.raises(ConfigError, match=told):
        preflight(one)
    preflight(Study.model_validate(plain | {"train": {"epochs": 1, "batch_size": 2}}))
