"""The demos: which there are, and that each study holds on a small version of its data."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raytl.cli import app
from raytl.config import Study
from raytl.demo import DEMOS, Demo, demo_named, make_inputs, run_demo, settings_in, study_in
from raytl.errors import ConfigError, UserError
from raytl.models.source_model import load_source_model

OF_CHOSEN_ROWS = ("rendered-digits", "docstrings", "motions", "tones", "named-digits")


def test_the_list_has_a_line_for_each_demo() -> None:
    result = CliRunner().invoke(app, ["demo", "--list"])
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(DEMOS)
    assert lines[0] == "images      digits rendered from fonts → handwritten digits"


def test_an_unknown_demo_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="demo: no demo 'image'; did you mean 'images'"):
        demo_named("image")
    with pytest.raises(ConfigError, match=f"no demo 'xyz'; known: {', '.join(DEMOS)}"):
        demo_named("xyz")


def test_a_demo_does_not_run_over_another_run(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match="the run folder exists; use --resume or another --out"):
        run_demo(DEMOS["images"], tmp_path, resume=False, say=print)


@pytest.mark.parametrize("name", DEMOS)
def test_every_path_of_a_study_is_one_that_its_demo_makes(name: str, tmp_path: Path) -> None:
    demo = DEMOS[name]
    files = {tmp_path / "data" / data.name for data in demo.data}
    files |= {tmp_path / "sources" / model.name for model in demo.models}
    files |= {tmp_path / f"sources/{m.name}.safetensors" for m in demo.models if m.bare}
    named = {Path(setting.partition("=")[2]) for setting in settings_in(demo, tmp_path)}
    assert named <= files
    study = study_in(demo, tmp_path)
    assert isinstance(study, Study)
    assert study.target_domain.dataset == tmp_path / "data" / demo.data[-1].name


def small(demo: Demo) -> Demo:
    """Return a demo of few rows, pretrained for an epoch."""
    made = [
        replace(data, options={**data.options, "rows": 150})
        if data.kind in OF_CHOSEN_ROWS and data.source != "handwritten"
        else data
        for data in demo.data
    ]
    models = tuple(replace(model, epochs=1) for model in demo.models)
    return replace(demo, data=tuple(made), models=models)


@pytest.mark.parametrize("name", DEMOS)
def test_a_small_version_passes_preflight(name: str, tmp_path: Path) -> None:
    from raytl.sweeping.preflight import preflight

    said: list[str] = []
    demo = small(DEMOS[name])
    make_inputs(demo, tmp_path, said.append)
    assert sum(line.startswith("pretraining") for line in said) == len(demo.models)
    checked = preflight(study_in(demo, tmp_path))
    assert set(checked.source_models) == set(checked.study.source_models)
    said.clear()
    make_inputs(demo, tmp_path, said.append)
    assert said == []  # all of it is there


def test_a_network_of_images_reads_sounds_with_its_own_weights(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from raytl.training.material import Material

    demo = small(DEMOS["audio"])
    make_inputs(replace(demo, models=demo.models[:1]), tmp_path)
    study = study_in(demo, tmp_path)
    models = Material.of(study).source_models
    model = load_source_model(
        "digits_cnn", study.source_models["digits_cnn"], models.columns, models.samples, seed=0
    )
    stored = load_file(tmp_path / "sources/rendered_cnn/model.safetensors")
    kernel = model.parts["sound"].backbone.state_dict()["blocks.0.0.weight"]
    (theirs,) = [stored[key] for key in stored if key.endswith(".backbone.blocks.0.0.weight")]
    assert torch.equal(kernel, theirs)
    assert model.transferred
