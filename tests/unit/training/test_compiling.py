"""Compiled networks train as the others; what cannot be compiled is refused in a line. But for one
test, blocks are traced here and run as they are: a compiler of C++ takes half a minute."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from several_columns import BILSTM, CNN, run_of, study_of, write_rows
from torch import nn
from torch._dynamo.testing import CompileCounter

from raytl.config import Study, TrialConfig
from raytl.errors import ConfigError
from raytl.sweeping.preflight import preflight
from raytl.training import compiling
from raytl.training.compiling import missing_compiler
from raytl.training.material import Material
from raytl.training.torch_options import MOST_COMPILED, torch_options
from raytl.training.trial import TrialRun

MakeStudy = Callable[..., Study]
BUDGET = {"epochs": 2, "batch_size": 8, "steps_per_epoch": 4}


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> CompileCounter:
    """Trace what is compiled and run it as it is; count what was traced."""
    counter, plain = CompileCounter(), nn.Module.compile
    monkeypatch.setattr(
        nn.Module, "compile", lambda self, **options: plain(self, backend=counter, **options)
    )
    monkeypatch.setattr(compiling, "missing_compiler", lambda device: None)
    torch._dynamo.reset()
    return counter


def make_run(tiny_study: MakeStudy, compiled: bool, recipe: str = "dann", **flat: Any) -> TrialRun:
    study = tiny_study(train=BUDGET | {"compile": compiled})
    trial = {"source_model": "net", "recipe": recipe, "optimizer.lr": 0.02} | flat
    return TrialRun(Material.of(study), TrialConfig.from_flat(trial), seed=3)


def epochs(run: TrialRun) -> list[dict[str, Any]]:
    with torch_options(run.study.train):
        found = [run.judge(run.train()), run.judge(run.train())]
    return [{k: v for k, v in of.items() if k != "train/seconds"} for of in found]


def alike(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> None:
    for then, now in zip(one, two, strict=True):
        assert then.keys() == now.keys()
        for name, value in then.items():
            assert now[name] == pytest.approx(value, rel=1e-3, abs=1e-6), name


@pytest.mark.parametrize("recipe", ["dann", "gradual_unfreezing"])
def test_compiled_blocks_train_as_the_others(
    tiny_study: MakeStudy, traced: CompileCounter, recipe: str
) -> None:
    plain = epochs(make_run(tiny_study, False, recipe))
    assert traced.frame_count == 0
    run = make_run(tiny_study, True, recipe)
    alike(plain, epochs(run))
    blocks = len(run.parts.model.branch("image").backbone.blocks)
    assert traced.frame_count >= blocks


def test_evaluation_whose_batches_have_any_shape_compiles_nothing(
    tiny_study: MakeStudy, traced: CompileCounter
) -> None:
    run = make_run(tiny_study, True)
    with torch_options(run.study.train):
        metrics = run.train()
        before = traced.frame_count
        run.judge(metrics)
        assert traced.frame_count == before > 0
        run.judge(run.train())
    assert traced.frame_count == before, "nor is what has been compiled compiled again"


def test_what_is_frozen_and_stored_is_not_compiled(
    tiny_study: MakeStudy, traced: CompileCounter
) -> None:
    epochs(make_run(tiny_study, True, "finetune", frozen_depth="100%"))
    assert traced.frame_count == 0


def test_a_checkpoint_goes_from_one_to_the_other(
    tiny_study: MakeStudy, traced: CompileCounter, tmp_path: Path
) -> None:
    plain, compiled = make_run(tiny_study, False), make_run(tiny_study, True)
    assert list(plain.parts.model.state_dict()) == list(compiled.parts.model.state_dict())
    compiled.judge(compiled.train())
    compiled.save(tmp_path)
    study = tiny_study(train=BUDGET)
    trial = TrialConfig.from_flat({"source_model": "net", "recipe": "dann", "optimizer.lr": 0.02})
    taken_up = TrialRun(Material.of(study), trial, seed=3, resume_from=tmp_path)
    theirs = taken_up.parts.model.state_dict()
    for name, value in compiled.parts.model.state_dict().items():
        assert torch.equal(theirs[name], value), name


def test_blocks_that_share_their_code_are_all_compiled(tiny_study: MakeStudy) -> None:
    import torch._dynamo.config as config

    before = config.recompile_limit
    with torch_options(make_run(tiny_study, False).study.train):
        assert config.recompile_limit == before
    with torch_options(tiny_study(train=BUDGET | {"compile": True}).train):
        assert config.recompile_limit == MOST_COMPILED > before
    assert config.recompile_limit == before


def test_rows_that_differ_in_length_are_refused(tmp_path: Path) -> None:
    target = write_rows(tmp_path / "target", {"image": "image", "text": "text"})
    domain = {"dataset": target, "inputs": ["text"], "labels": "all"}
    study = study_of(
        target, {"net": BILSTM}, target_domain=domain, train=BUDGET | {"compile": True}
    )
    law = "train.compile: rows must have one shape, but those of text differ in length; leave"
    with pytest.raises(ConfigError, match=law):
        preflight(study)
    with pytest.raises(ConfigError, match=law):
        run_of(study)
    images = study_of(
        target, {"net": CNN}, target_domain=domain | {"inputs": ["image"]},
        train=BUDGET | {"compile": True},
    )  # fmt: skip
    preflight(images)


def test_what_a_machine_lacks_is_named(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(compiling.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(compiling, "find_spec", lambda name: None)
    assert missing_compiler(cpu) is None
    assert missing_compiler(gpu) == "triton"
    monkeypatch.setattr(compiling, "find_spec", lambda name: name)
    assert missing_compiler(gpu) is None
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    assert missing_compiler(cpu) == missing_compiler(gpu) == "a C++ compiler (g++)"
    with pytest.raises(ConfigError, match=r"train\.compile: .* lacks a C\+\+ compiler .* leave"):
        make_run(tiny_study, True)
    monkeypatch.setattr(
        compiling.shutil, "which", lambda name: name if name == "my-compiler" else None
    )
    monkeypatch.setenv("CXX", "my-compiler")
    assert missing_compiler(cpu) is None


@pytest.mark.slow
def test_with_a_real_compiler_it_is_the_same(tiny_study: MakeStudy) -> None:
    missing = missing_compiler(torch.device("cpu"))
    if missing is not None:
        pytest.skip(f"this machine lacks {missing}")
    torch._dynamo.reset()
    alike(epochs(make_run(tiny_study, False)), epochs(make_run(tiny_study, True)))
