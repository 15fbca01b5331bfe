"""The wheel works away from the checkout: built and installed into an environment of its own."""

import subprocess
import sys
import sysconfig
import textwrap
import zipfile
from pathlib import Path

import pytest
from tests_support import ROOT

pytestmark = pytest.mark.slow

STUDY = """
study: away
target_domain: {dataset: data/digits, labels: 5}
source_models: {net: {backbone: small_cnn, args: {width: 4}}}
space: {optimizer.lr: {choice: [0.01, 0.1]}}
search: {sampler: grid, trials: 2, control_tries: 1}
train: {epochs: 1, batch_size: 16, steps_per_epoch: 3}
confirm: {top: 1, seeds: 3}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it as pip would, without a network."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("raytl-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the `bin` of an environment that has the wheel, and sees this one's packages; but not
    this one's raytl, for .pth files of a folder that a .pth file names are not read."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    python = place / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps",
               "--no-index", "--quiet", str(wheel)]  # fmt: skip
    subprocess.run(install, check=True)
    own = next(place.glob("lib/python*/site-packages"))
    (own / "others.pth").write_text(sysconfig.get_path("purelib"))
    return place / "bin"


def run(installed: Path, folder: Path, *command: str) -> str:
    """Run a command of the environment in a folder; return what it printed."""
    environment = {
        "PATH": f"{installed}:/usr/bin:/bin", "HOME": str(folder), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    done = subprocess.run(
        [str(installed / command[0]), *command[1:]], cwd=folder, env=environment,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_studies_templates_types_and_licence_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    studies = {f"raytl/search_spaces/{file.name}" for file in ROOT.glob("search_spaces/*.yaml")}
    templates = {str(file.relative_to(ROOT)) for file in ROOT.glob("raytl/**/*.j2")}
    assert studies
    assert templates
    assert studies | templates | {"raytl/py.typed"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0] for name in names} <= {
        "raytl", *(name.partition("/")[0] for name in names if ".dist-info/" in name),
    }  # fmt: skip


def test_it_runs_away_from_the_checkout(installed: Path, wheel: Path, tmp_path: Path) -> None:
    version = wheel.name.split("-")[1]
    assert run(installed, tmp_path, "raytl", "--version") == f"raytl {version}\n"
    assert "sweep" in run(installed, tmp_path, "raytl", "--help")
    said = run(installed, tmp_path, "raytl", "shard", "digits", "data/digits", "--size", "28")
    assert "train 1000, test 797 rows" in said
    run(installed, tmp_path, "raytl", "pretrain", "--dataset", "data/digits", "--backbone", "lenet",
        "--out", "sources/lenet", "--epochs", "1", "--threads", "1")  # fmt: skip
    script = """
        import numpy as np
        import raytl
        print(len(raytl.load("sources/lenet").predict(np.zeros((3, 28, 28), np.uint8))))
    """
    assert run(installed, tmp_path, "python", "-c", textwrap.dedent(script)) == "3\n"


def test_a_study_runs_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    run(installed, tmp_path, "raytl", "shard", "digits", "data/digits", "--size", "28")
    (tmp_path / "study.yaml").write_text(STUDY)
    assert "report:" in run(installed, tmp_path, "raytl", "sweep", "study.yaml")
    assert "<html" in (tmp_path / "runs/away/report.html").read_text()
    script = """
        import numpy as np
        import raytl
        found = raytl.sweep("study.yaml", resume=True)  # which has nothing left to train
        print(found.verdict.kind, len(found.best.predict(np.zeros((3, 28, 28), np.uint8))))
    """
    said = run(installed, tmp_path, "python", "-c", textwrap.dedent(script))
    kind, rows = said.split()[-2:]
    assert kind in ("helps", "hurts", "equivalent", "undecided")
    assert rows == "3"


def test_the_demos_studies_are_found_in_it(installed: Path, tmp_path: Path) -> None:
    script = """
        from pathlib import Path
        import raytl
        from raytl.demo.catalogue import DEMOS
        from raytl.demo.running import study_in
        print(raytl.__file__)
        for demo in DEMOS.values():
            study_in(demo, Path("out"))
    """
    said = run(installed, tmp_path, "python", "-c", textwrap.dedent(script))
    assert Path(said.strip()).is_relative_to(installed.parent)
