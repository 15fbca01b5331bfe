"""The command line: exit codes, one- to three-line errors, nothing heavy for --help."""

import errno
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from tests_support import write_images

import raytl
from raytl import cli, verbs
from raytl.errors import CorruptError
from raytl.modalities.image.column import ImageColumn
from raytl.sweeping.kept.records import Trained
from raytl.sweeping.kept.trial_store import opened

LIGHT = """
import sys
sys.argv = ["raytl", "--help"]
import raytl
from raytl.cli import main
try:
    main()
except SystemExit as stop:
    assert stop.code == 0
heavy = {"torch", "ray", "torchvision", "optuna", "sklearn", "matplotlib", "pandas"}
heavy &= set(sys.modules)
assert not heavy, heavy
"""


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["raytl", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_help_and_import_are_light() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    verbs = "shard inspect pretrain rank sweep store doctor watch-spot report export predict demo"
    for verb in [*verbs.split(), "compare"]:
        assert verb in done.stdout


def test_the_store_is_listed_and_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path))
    assert run(monkeypatch, "store") == 0
    assert capsys.readouterr().out == f"0 trials, 0.0 MB in {tmp_path / 'trials'}\n"
    with opened(budget=10**6) as store:
        trained = Trained({"name": "trial-00000"}, [{"epoch": 1}, {"epoch": 2}])
        store.put("key", "ants", trained, None)
    assert run(monkeypatch, "store") == 0
    first, _, row = capsys.readouterr().out.strip().splitlines()
    assert first.startswith("1 trials, 0.0 MB in")
    assert row.split()[:3] == ["ants", "trial-00000", "2"]
    assert run(monkeypatch, "store", "--clear") == 0
    assert capsys.readouterr().out == "1 trials deleted\n"
    assert not list((tmp_path / "trials").glob("*/"))


def test_shard_inspect_and_existing_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "digits"
    assert run(monkeypatch, "shard", "digits", out, "--size", "16") == 0
    assert "train 1000, test 797 rows" in capsys.readouterr().out
    assert run(monkeypatch, "inspect", out) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "dataset"
    assert found["columns"]["image"]["shape"] == [16, 16, 1]
    assert found["splits"]["train"]["classes"]["0"] == 99
    assert run(monkeypatch, "shard", "digits", out) == 2
    assert "exists already" in capsys.readouterr().err


def test_shard_says_what_nobody_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", X=np.zeros((6, 2, 2), np.uint8), y=np.arange(6) % 2)
    assert run(monkeypatch, "shard", "arrays", "a.npz", "[red]out[/x]", "--split", "train=X,y",
               "--classes", "a,b,c") == 0  # fmt: skip
    printed = capsys.readouterr()
    assert "note: split train: 1 of 3 classes have no row: c" in printed.err
    assert "[red]out[/x]: train 6 rows" in printed.out


def mistake(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
) -> str:
    """Return what is said of a mistake: three lines at most, no traceback."""
    assert run(monkeypatch, *arguments) == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) <= 3
    return error


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["shard", "mnst", "a", "b"], 2, "did you mean 'mnist'"),
        (["shard", "mnist", "out"], 2, "needs SOURCE and OUT"),
        (["shard", "mnist", "nowhere", "out"], 2, "train-images-idx3-ubyte.gz is missing"),
        (["shard", "arrays", "a.npz", "out", "--split", "train"], 2, "expected NAME=IMAGES,LABELS"),
        (["shard", "a", "b", "c", "d"], 2, "takes KIND [SOURCE] OUT"),
        (["shard", "a"], 2, "takes KIND [SOURCE] OUT"),
        (["shard", "a", "b", "c", "--out", "d"], 2, "takes KIND [SOURCE] OUT"),
        (["shard", "image-folder", "--out", "d"], 2, "needs SOURCE and OUT"),
        (["shard", "image-folder", "in", "--out", "d", "--workers", "0"], 2, "--workers >= 1"),
        (["shard", "digits", "out", "--workers", "2"], 2, "one process reads it"),
        (["shard", "digits", "out", "--fit", "squash"], 2, "fit"),
        (["shard", "digits", "out", "--size", "1000000"], 2, "--size: must be 1 to 4096 pixels"),
        (["shard", "digits", "src", "out"], 2, "needs OUT alone"),
        (["shard", "digits", "file/out"], 2, "file is no folder"),
        (["shard", "arrays", "a.npz", "out", "--split", "../x=X,y"], 2, "got '../x'"),
        (
            ["shard", "arrays", "a.npz", "out", *2 * ["--split", "train=X,y"]],
            2,
            "split 'train' is given twice",
        ),
        (["shard", "torchvision", "MNST", "out"], 2, "did you mean 'MNIST'"),
        (["sweep", "none.yaml"], 2, "none.yaml: cannot read the study"),
        (["inspect", "nowhere"], 2, "neither a dataset"),
        (["report", "nowhere"], 2, "not a run folder"),
        (["export", "nowhere", "scratch control", "out"], 2, "not a run that has been confirmed"),
        (["predict", "nowhere", "nowhere"], 2, "no source model here"),
        (["pretrain", "--dataset", "no", "--backbone", "lenet", "--out", "o"], 2, "no dataset"),
    ],
)
def test_mistakes_end_in_a_line_and_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    told = mistake(monkeypatch, capsys, arguments, code)
    assert message in told
    assert not (tmp_path / "out").exists()


def test_failures_are_code_1_and_ctrl_c_is_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise CorruptError("x.arrow: SHA-256 differs")

    monkeypatch.setattr(verbs, "inspect", broken)
    assert run(monkeypatch, "inspect", "x") == 1
    assert "raytl: x.arrow: SHA-256 differs" in capsys.readouterr().err

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "inspect", interrupted)
    assert run(monkeypatch, "inspect", "x") == 130


@pytest.mark.parametrize("out", ["my runs/it's [one]", "plain"])
def test_what_goes_on_is_said_as_a_shell_takes_it(
    out: str, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "sweep", interrupted)
    monkeypatch.setattr("raytl.demo.run_demo", interrupted)
    study = work / out / "s.yaml"
    study.parent.mkdir(parents=True)
    study.write_text(STUDY)
    settings = ["--set", "target_domain.dataset=it's", "--set", "space.recipe={choice: [finetune]}"]
    for words in (
        ["sweep", str(study), "--out", f"{out}/run", "--resume", "--no-store", *settings],
        ["demo", "text", "--out", f"{out}/demo", "--resume"],
    ):
        assert run(monkeypatch, *words) == 130
        told = capsys.readouterr().err.partition("stopped; go on with: ")[2]
        assert shlex.split(told) == ["raytl", *words]


def test_what_nobody_foresaw_is_code_1_with_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(verbs, "inspect", broken)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run(monkeypatch, "inspect", "x") == 1
    error = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in error
    assert "Traceback" not in error
    log = next(tmp_path.glob("raytl-error-*.log"))
    assert "Traceback" in log.read_text()
    assert log.name in error.replace("\n", "")


FAST = """
import sys
from pathlib import Path
import raytl.cli
sys.argv = ["raytl", *{arguments!r}]
try:
    raytl.cli.main()
except SystemExit as stop:
    print(stop.code, sorted({{"torch", "ray", "optuna", "sklearn"}} & set(sys.modules)))
"""
STUDY = """study: s
target_domain: {dataset: digits, labels: 8}
source_models: {net: {backbone: small_cnn}}
space: {recipe: {choice: [finetune]}}
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a small dataset and a good study."""
    monkeypatch.chdir(tmp_path)
    stripes = np.zeros((20, 8, 8, 1), np.uint8)
    labels = np.arange(20) % 2
    splits = {"train": [(stripes, labels)], "test": [(stripes, labels)]}
    image = ImageColumn(shape=(8, 8, 1), dtype="uint8")
    write_images(tmp_path / "digits", image, ("a", "b"), splits)
    (tmp_path / "s.yaml").write_text(STUDY)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "study.yaml").write_text(STUDY)
    (tmp_path / "run" / "leaderboard.json").write_text('{"trials": 3}')
    (tmp_path / "file").write_text("")
    (tmp_path / "sounds").mkdir()
    for name in ("0_a_0.wav", "0_b_1.wav", "1_a_2.wav"):
        (tmp_path / "sounds" / name).touch()
    return tmp_path


PRETRAIN = ["pretrain", "--dataset", "digits", "--backbone", "lenet", "--out", "m"]
LIGHT_MISTAKES = [
    (["sweep", "s.yaml", "--out", "run"], 2, "the run folder exists; go on with --resume"),
    (["sweep", "s.yaml", "--out", "digits", "--resume"], 2, "no study.yaml, so it is no run"),
    (["sweep", "s.yaml", "--out", "file"], 2, "is a file, not a run folder"),
    (["sweep", "s.yaml", "--trials", "0"], 2, "search.trials: Input should be greater than 0"),
    (["sweep", "s.yaml", "--set", "search.trials"], 2, "expected key=value"),
    (["sweep", "s.yaml", "--set", "search.trials=["], 2, "not valid YAML"),
    (["sweep", "s.yaml", "--set", "target_domain.dataset=none"], 2, "no dataset here"),
    (["sweep", "s.yaml", "--set", "target_domain.splits.test=tset"], 2, "did you mean 'test'"),
    (["sweep", "s.yaml", "--set", "target_domain.labels=99"], 2, "99 per class are asked for"),
    (["sweep", "s.yaml", "--set", "source_models.b={path: none}"], 2, "source_models.b: "),
    (
        ["sweep", "s.yaml", "--set", "source_models.b={backbone: lenet, weights: none.pth}"],
        2,
        "none.pth: no such weights file",
    ),
    (["sweep", "s.yaml", "--set", "space.recipe={choice: [fine]}"], 2, "space.recipe"),
    (["sweep", "digits"], 2, "is a folder; give the study's YAML file"),
    (["sweep", "s.yaml", "--out", "file/run"], 2, "file is no folder; give another one"),
    ([*PRETRAIN[:-1], "file/m"], 2, "file is no folder; give another one"),
    (["rank", "s.yaml", "--out", "digits"], 2, "digits: is a folder; give the name of a file"),
    (["rank", "s.yaml", "--out", "no/where.json"], 2, "the folder"),
    (["rank", "s.yaml", "--out", "s.yaml"], 2, "s.yaml: is what is read here (s.yaml); give"),
    (["rank", "s.yaml", "--set", "target_domain.dataset=none"], 2, "no dataset here"),
    (["report", "file"], 2, "not a run folder"),
    (["report", "run"], 1, "leaderboard.json: not as `raytl sweep` writes it"),
    (["inspect", "run"], 1, "leaderboard.json: not as `raytl sweep` writes it"),
    (["inspect", "file"], 2, "neither a dataset"),
    (["predict", "digits", "digits"], 2, "no source model here"),
    ([*PRETRAIN, "--epochs", "0"], 2, "pretrain: epochs: Input should be greater than 0, got 0"),
    ([*PRETRAIN, "--threads", "0"], 2, "pretrain: threads >= 1 must hold, got 0"),
    ([*PRETRAIN, "--batch-size", "0"], 2, "pretrain: batch_size: Input should be greater than 0"),
    ([*PRETRAIN, "--lr", "-1"], 2, "pretrain: lr: Input should be greater than 0, got -1.0"),
    ([*PRETRAIN, "--lr", "nan"], 2, "pretrain: lr: Input should be"),
    ([*PRETRAIN, "--lr", "inf"], 2, "pretrain: lr: Input should be a finite number, got inf"),
    ([*PRETRAIN, "--seed", "-1"], 2, "seed >= 0 must hold, got -1"),
    ([*PRETRAIN, "--epochs", "many"], 2, "valid integer"),
    (["pretrain", "--dataset", "digits", "--backbone", "lenet", "--out", "run"], 2, "exists"),
    (["doctor", "none.yaml"], 2, "none.yaml: cannot read the study"),
    (["doctor", "--room"], 2, "--room needs a study, which says what a trial takes"),
    (["doctor", "s3://key:secret@bucket/runs"], 2, "must hold no credentials"),
    (["watch-spot", "--cloud", "aw"], 2, "unknown cloud 'aw'; known: auto, aws, gcp, azure"),
    (["demo", "--out", "file"], 2, "cannot make this folder"),
    (["shard", "mnst", "a", "m"], 2, "did you mean 'mnist'"),
    (["shard", "torchvision", "MNST", "m"], 2, "did you mean 'MNIST'"),
    (["shard", "image-folder", "none", "m"], 2, "none: no such folder"),
    (["shard", "arrays", "none.npz", "m", "--split", "train=X,y"], 2, "none.npz: cannot be read"),
    ([*PRETRAIN, "--optimizer", "sdg"], 2, "pretrain: name: Input should be 'sgd', 'adam' or"),
    (["refit", "run"], 1, "leaderboard.json: not as `raytl sweep` writes it"),
    (["refit", "run", "--out", "digits"], 2, "digits: exists already"),
    (["new", "sounds"], 2, "is the class cannot be told"),
    (["new", "digits", "--labels", "none"], 2, "--labels none leaves no label to learn from"),
]


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(("arguments", "code", "message"), LIGHT_MISTAKES)
def test_more_mistakes_end_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    told = mistake(monkeypatch, capsys, arguments, code)
    assert message in told
    assert not Path("m").exists() and not Path("new").exists()


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    "which", [0, 6, 8, 9, 10, 14, 17, 19, 21, 22, 23, 25, 30, 33, 34, 35, 36, 41, 42, 43, 44, 45]
)
def test_what_is_wrong_is_said_without_torch_or_ray(which: int) -> None:
    arguments, code, message = LIGHT_MISTAKES[which]
    program = FAST.format(arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == f"{code} []\n"
    assert message in done.stderr


@pytest.mark.usefixtures("work")
def test_an_unknown_backbone_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = ["pretrain", "--dataset", "digits", "--backbone", "lenett", "--out", "m"]
    assert run(monkeypatch, *unknown) == 2
    assert "unknown backbone 'lenett'; did you mean 'lenet'?" in capsys.readouterr().err


def test_the_version_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"raytl {raytl.__version__}\n"


def test_the_shell_completes_commands_and_options() -> None:
    def completed(line: str) -> set[str]:
        environment = dict(os.environ) | {
            "_RAYTL_COMPLETE": "complete_bash", "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split(" ")) - 1),
        }  # fmt: skip
        script = "import sys; sys.argv = ['raytl']; from raytl.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True
        )
        assert not done.stderr
        return set(done.stdout.split())

    assert completed("raytl sw") == {"sweep"}
    assert "--split-column" in completed("raytl shard --sp")


def test_new_says_that_nothing_is_there_before_torch_is_loaded(tmp_path: Path) -> None:
    script = (
        "import sys, raytl\n"
        "try: raytl.new('nowhere')\n"
        "except raytl.RaytlError as error: print(error, 'torch' in sys.modules)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert found.stdout.strip() == "nowhere: no such file or folder False"


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT"])
def test_a_full_disk_is_said_with_what_to_do(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    number = getattr(errno, name)
    full = OSError(number, os.strerror(number), "runs/x/events.out")

    def fill(*_: object) -> None:
        raise full

    monkeypatch.setattr(verbs, "inspect", fill)
    assert run(monkeypatch, "inspect", "data") == 1
    told = "raytl: runs/x/events.out: the disk is full; free some of it and give the command again"
    assert capsys.readouterr().err.startswith(told)


def test_what_nobody_foresaw_is_said_where_no_log_can_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise OSError("odd")

    monkeypatch.setattr(verbs, "inspect", fail)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert run(monkeypatch, "inspect", "data") == 1
    assert "raytl: OSError: odd (no log of the whole story: " in capsys.readouterr().err
