"""A whole study of masks on tiny data, through Tune: verdict, report, TensorBoard, prediction."""

import re
from pathlib import Path

import pytest
from masks_support import TEST, study_of_squares

import raytl
from raytl.config import Study, load_study
from raytl.predictions import Predictions
from raytl.reporting.tensorboard import FOLDER

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.mark.usefixtures("ray_cluster")
def test_a_study_of_masks_comes_to_a_verdict_over_whole_images(tmp_path: Path) -> None:
    study = study_of_squares(
        tmp_path,
        space={"recipe": {"choice": ["finetune", "entropy_minimisation"]}},
        search={"trials": 2, "control_tries": 1, "scheduler": "none", "sampler": "grid"},
        confirm={"top": 1, "seeds": 3},
        resources={"workers_per_trial": 1, "cpus_per_worker": 1, "gpus_per_worker": 0},
    )
    run = tmp_path / "run"
    result = raytl.verbs.sweep(Study.model_validate(study), run, store=False)
    written = load_study(run / "study.yaml")
    assert (written.search.metric, written.defaults["head"]) == ("miou", "unet")
    found = result.confirmation
    assert found is not None and found.classes == ["ground", "first", "second"]
    assert "of mean IoU" in found.verdict.sentence
    assert {c.difference.rows for c in found.comparisons} == {TEST}
    selected = found.selected
    assert selected is not None and selected.confusion is not None
    pixels = sum(map(sum, selected.confusion))
    assert pixels == selected.n * TEST * 12 * 11  # the last line of each mask is VOID
    first = Predictions.read(run / str(selected.runs[0].predictions))
    assert first.predicted_N is None and first.given("pixels").shape == (TEST, 9)

    page = (run / "report.html").read_text()
    assert "Some test rows" in page and "first (" in page
    assert len(re.findall(r'<img src="data:image/png;base64,', page)) == 8

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / FOLDER / "confirmation"), {"images": 0})
    events.Reload()
    tags = events.Tags()["images"]
    shown = [tag for tag in tags if tag.startswith("pictures/")]
    assert len(shown) == len([c for c in found.candidates if c.n])
    assert len(events.Images(shown[0])) == 8

    told = raytl.predict(run / "best", tmp_path / "target", out=tmp_path / "said")
    assert told["rows"] == TEST and 0 <= told["miou"] <= 1
    assert len(list((tmp_path / "said").glob("*.png"))) == TEST
    parts = raytl.predict(run / "best", tmp_path / "target", workers=1, out=tmp_path / "parts")
    assert parts["miou"] == pytest.approx(told["miou"])
