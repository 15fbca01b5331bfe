"""The examples of public names run, one after the other in one folder, as a person would try them.

Here Ray is initialised already, as it is in many a notebook.
"""

import asyncio
import doctest
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import raytl
from raytl.config import Study

pytestmark = pytest.mark.ray

# In this order: what one makes the next reads
ORDER = (
    "shard", "inspect", "pretrain", "load", "Loaded", "predict", "dataset", "sweep", "results",
    "Results", "report", "compare", "clean", "new", "export", "refit", "rank", "doctor", "Study",
    "Verdict", "RaytlError",
)  # fmt: skip


@pytest.mark.usefixtures("ray_cluster")
def test_the_example_of_every_public_name_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sorted(ORDER) == sorted(set(raytl.__all__) - {"__version__"})
    monkeypatch.chdir(tmp_path)
    for name in ORDER:
        text = getattr(raytl, name).__doc__
        assert text
        example = doctest.DocTestParser().get_doctest(text, {"raytl": raytl}, name, None, 0)
        said: list[str] = []
        doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(
            example, out=said.append
        )
        assert not said, "".join(said)
    progress = [line for line in capsys.readouterr().err.split("\n") if "trial" in line]
    assert progress
    assert not any(mark in line for line in progress for mark in ("\r", "\x1b"))


@pytest.mark.usefixtures("ray_cluster")
def test_a_study_runs_in_a_cell_that_has_an_event_loop(
    tiny_study: Callable[..., Study], tmp_path: Path
) -> None:
    rows = pd.DataFrame({"x": [0.1, 0.9, 0.2, 0.8] * 12, "y": ["no", "yes"] * 24})
    study = tiny_study().model_dump(mode="json", by_alias=True, exclude_none=True)
    del study["source_domain"]
    study |= {
        "study": "cell",
        "target_domain": {"dataset": {"train": rows, "test": rows}, "target": "y"},
        "source_models": {"net": {"backbone": "mlp"}},
        "space": {"optimizer.lr": {"choice": [0.01, 0.1]}},
    }

    async def cell() -> raytl.Results:
        return raytl.sweep(study, tmp_path / "run", store=False, overrides=["train.epochs=1"])

    found = asyncio.run(cell())
    assert not found.stopped
    assert found.study.train.epochs == 1
    assert found.verdict.against in {"scratch", "constant"}
    assert set(found.confirmations["candidate"]) > {"scratch control"}
    assert f"<p><b>{found.verdict.text[:20]}" in found._repr_html_()
