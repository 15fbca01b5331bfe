"""docs/extending.md and the pages beside it are carried out: their files are written into a copy of
the package, registries changed as they say, and the last block run, in a process of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests_support import ROOT

DOCS = ROOT / "docs"
PAGES = [DOCS / "extending.md"] + [
    DOCS / "how-to" / f"{name}.md" for name in ("backbone", "recipe", "validator")
]
BLOCK = re.compile(r"^```(python|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHECKS = Path(__file__).with_name("extending_checks.py")


def blocks() -> list[tuple[str, str, str]]:
    """Return the pages' blocks: their language, their file, their content."""
    found = []
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for language, content in BLOCK.findall(text):
        first, _, rest = content.partition("\n")
        found.append((language, first.removeprefix("# ").removeprefix("--- "), rest))
    return found


def changed(text: str, hunk: str) -> str:
    """Return a file's text with the lines of a hunk changed, which must stand there once."""
    lines = hunk.splitlines()
    old, new = (
        "".join(f"{line[1:]}\n" for line in lines if line[0] in mark) for mark in (" -", " +")
    )
    assert text.count(old) == 1, f"the page says that this stands in the file, once:\n{old}"
    return text.replace(old, new)


def sets_of_points(folder: Path, noise: float, seed: int) -> None:
    """Write rings and discs of 5 to 30 points."""
    generator = np.random.default_rng(seed)
    folder.mkdir()
    for split, rows in (("train", 120), ("test", 60)):
        lines = []
        for row in range(rows):
            count = generator.integers(5, 31)
            angles = generator.uniform(0, 2 * np.pi, count)
            radii = np.ones(count) if row % 2 else np.sqrt(generator.uniform(0, 1, count))
            points = radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
            points = 3 + points + generator.normal(0, noise, points.shape)
            numbers = " ".join(f"{number:.4f}" for number in points.ravel())
            lines.append(f"{'ring' if row % 2 else 'disc'} {numbers}\n")
        (folder / f"{split}.txt").write_text("".join(lines))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with what the page adds, and the data that it reads."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "raytl", folder / "raytl", ignore=shutil.ignore_patterns("__pycache__"))
    for language, name, content in blocks():
        file = folder / name
        if language == "python":
            assert not file.exists(), f"{name} is there already"
            file.parent.mkdir(exist_ok=True)
            file.write_text(content, encoding="utf-8")
        else:
            text = file.read_text(encoding="utf-8")
            for hunk in content.split("@@\n")[1:]:
                text = changed(text, hunk)
            file.write_text(text, encoding="utf-8")
    sets_of_points(folder / "rings", 0.02, 1)
    sets_of_points(folder / "noisy", 0.08, 2)
    (folder / "broken").mkdir()
    (folder / "broken" / "train.txt").write_text("ring 1 2\nring 1 2 3\n")
    shutil.copy(CHECKS, folder / "checks.py")
    return folder


@pytest.fixture(scope="module")
def told(house: Path) -> dict[str, object]:
    """What the page's last block, and checks of what it made, say."""
    run = subprocess.run(
        [sys.executable, "checks.py"],
        cwd=house,
        env=os.environ | {"PYTHONPATH": str(house), "RAYTL_CACHE": str(house / "cache")},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]
    for line in ("source model on the target:", "adapted:"):
        assert line in run.stdout
    return dict(json.loads(run.stdout.split("TOLD ")[1]))


def test_the_pages_add_a_wing_an_importer_a_network_a_recipe_and_a_validator() -> None:
    files = [name for language, name, _ in blocks() if language == "python"]
    assert [name.rpartition("/")[2] for name in files] == [
        "__init__.py", "column.py", "transform.py", "networks.py", "wing.py", "points.py",
        "try_points.py", "patches.py", "nuclear_norm.py", "nearest_means.py",
    ]  # fmt: skip
    changed_files = [name for language, name, _ in blocks() if language == "diff"]
    assert changed_files == [
        "raytl/modalities/registry.py", "raytl/data/columns.py", "raytl/data/importers/__init__.py",
        "raytl/modalities/image/catalogue.py", "raytl/recipes/__init__.py", "raytl/config/trial.py",
        "raytl/reporting/report/rendering.py", "raytl/scoring/validators.py",
        "raytl/config/study.py",
    ]  # fmt: skip


def test_the_new_modality_is_pretrained_and_predicts(told: dict[str, object]) -> None:
    predicted = told["predicted"]
    assert isinstance(predicted, dict) and predicted["rows"] == 60
    assert predicted["accuracy"] > 0.8
    assert told["kinds"] == [["image", "text", "table", "series", "audio", "points"], True]
    assert told["a shard"] == "points"


def test_a_trial_of_it_adapts_on_kept_prefix_features(told: dict[str, object]) -> None:
    last = told["last"]
    assert isinstance(last, dict)
    assert -1 < last["train/loss/alignment"] < 0 and last["test/accuracy"] > 0.8
    assert told["kept"] == 4 and told["pads alike"] is True


def test_it_stands_among_the_parts_of_a_source_model(told: dict[str, object]) -> None:
    losses = told["both"]
    assert isinstance(losses, list) and len(losses) == 3 and np.isfinite(losses).all()


def test_the_new_network_is_cut_into_blocks(told: dict[str, object]) -> None:
    assert told["patches"] == {"blocks": 3, "maps": [8, 4, 4], "no other side": True}


def test_the_new_validator_scores_and_can_be_selected_by(told: dict[str, object]) -> None:
    assert told["nearest means"] == {"apart": 1.0, "one row astray": 0.75, "label": True}


def test_what_does_not_fit_is_told(told: dict[str, object]) -> None:
    assert told["a backbone"] == "unknown backbone 'pointnt' for points; did you mean 'pointnet'?"
    assert "unknown key 'widht'; did you mean 'width'?" in str(told["an argument"])
    assert told["a graft"] == "graft: there is no stem that makes tokens of points rows"
    assert told["an option"] == "input_size means nothing to points; remove it"
    assert told["a row"] == "points are float32 (P, 2), but row 0 is float32 (2, 3)"
    assert "train.txt, line 2: a line is a class, then x y x y" in str(told["a line"])
