"""`raytl export`: one grammar for formats and for candidates of a run."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from complete_models import TABLE, save_model

from raytl import cli, model_verbs
from raytl.exporting import formats
from raytl.exporting.names import NAMES


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["raytl", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


@pytest.fixture
def best(tmp_path: Path) -> Path:
    """The best/ of a run."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "study.yaml").write_text("study: mine\n")
    return save_model(tmp_path / "run" / "best", {"table": TABLE}, {"backbone": "mlp"})


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What is exported, in place of what torch.export would write."""
    found: list[tuple[Any, ...]] = []

    def write(model: Path, folder: Path) -> dict[str, Any]:
        found.append((model, (model / "source.json").exists()))
        (folder / "model.pt2").touch()
        (folder / "model.json").touch()
        return {"by": "torch.export", "apart": 2e-7}

    monkeypatch.setattr(formats, "FORMATS", {"torch": write, "onnx": write})
    return found


def test_a_model_goes_beside_itself_or_where_out_says(
    best: Path, calls: list[Any], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run(monkeypatch, "export", best, "--to", "torch") == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{best}-torch: {best} for torch.export, whose outputs lie 2e-07")
    assert (best.parent / "best-torch" / "model.pt2").exists()
    out = best.parent.parent / "out"
    assert run(monkeypatch, "export", best, "--to", "torch", "--out", out) == 0
    assert (out / "model.pt2").exists()
    assert run(monkeypatch, "export", best, "--to", "torch", "--out", out) == 2
    assert "exists already" in capsys.readouterr().err
    assert run(monkeypatch, "export", best, "--to", "torch", "--out", out, "--force") == 0
    assert calls == [(best, True)] * 3


@pytest.mark.parametrize("arguments", [["--to", "torch"], ["--to", "timm"]])
def test_force_replaces_exports_alone_and_never_the_run_or_the_model(
    best: Path, calls: list[Any], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], arguments: list[str],
) -> None:  # fmt: skip
    (best.parent.parent / "file").write_text("mine")
    for out in (best, best.parent, best.parent.parent, best.parent.parent / "file"):
        assert run(monkeypatch, "export", best, *arguments, "--out", out, "--force") == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "--force replaces what an earlier run of the command wrote" in said
    assert (best / "source.json").exists() and (best.parent / "study.yaml").exists() and not calls


def test_of_a_run_it_is_the_best_model(
    best: Path, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "export", best.parent, "--to", "onnx") == 0
    assert (best.parent / "best-onnx" / "model.pt2").exists() and calls == [(best, True)]
    monkeypatch.chdir(best)  # a folder without a name of its own
    assert run(monkeypatch, "export", ".", "--to", "torch") == 0
    assert (best.parent / "best-torch").is_dir()


def test_a_candidate_is_written_as_a_source_model_or_as_a_format(
    best: Path, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def candidate(of: str, name: str, out: Path, force: bool) -> None:
        asked.append((of, name))
        shutil.copytree(best, out)

    monkeypatch.setattr(model_verbs, "_export_candidate", candidate)
    one, two = best.parent.parent / "one", best.parent.parent / "two"
    assert run(monkeypatch, "export", best.parent, "scratch control", one) == 0
    assert (one / "source.json").exists() and calls == []
    assert run(monkeypatch, "export", best.parent, "scratch control", two, "--to", "onnx") == 0
    assert (two / "model.pt2").exists() and not (two / "source.json").exists()
    assert run(monkeypatch, "export", best.parent, "scratch control", "--to", "onnx") == 0
    assert (best.parent / "scratch_control-onnx" / "model.pt2").exists()
    assert asked == [(str(best.parent), "scratch control")] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say which format, --to torch, onnx, huggingface or timm, or which"),
        (["scratch control"], "say which format, --to torch, onnx, huggingface or timm, or which"),
        (["--to", "onx"], "--to onx: unknown format; did you mean 'onnx'"),
        (["a", "b", "--out", "c"], "OUT and --out are the same, got b and c; drop one"),
        (["ours", "out"], "not a run that has been confirmed"),
    ],
)
def test_mistakes_say_what_to_give(
    arguments: list[str], message: str, best: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(best.parent.parent)
    assert run(monkeypatch, "export", best.parent, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) <= 3
    assert [path.name for path in Path().iterdir()] == ["run"]


def test_every_format_that_is_named_is_one() -> None:
    assert tuple(formats.FORMATS) == NAMES


def test_a_folder_without_a_model_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "export", tmp_path / "nowhere", "--to", "torch") == 2
    assert "no source model here" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", [["refit"], ["export", "--to", "torch"]])
def test_a_file_in_place_of_a_run_is_the_users_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: list[str]
) -> None:
    (tmp_path / "run").touch()
    named = [tmp_path / "run", "scratch control", "--out", tmp_path / "out"]
    assert run(monkeypatch, verb[0], *named, *verb[1:]) == 2
    assert not (tmp_path / "out").exists()
