"""What the doctor makes of nodes that differ, lag, cannot read or do not answer."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from raytl.config import Study
from raytl.sweeping.on_ray.doctor import (
    LEAST_FREE_BYTES,
    PACKAGES,
    NodeFacts,
    auth_finding,
    examine,
    judge,
)

VERSIONS = {"python": "3.11.7"} | dict.fromkeys(PACKAGES, "1.0")
GOOD = NodeFacts(
    node="one", versions=VERSIONS, gpus_of_ray=1.0, gpus_of_torch=1, free_bytes=LEAST_FREE_BYTES,
    clock=100.0, asked=99.0, answered=101.0, note="text", wrote=True,
)  # fmt: skip


def failures(*nodes: NodeFacts | str) -> dict[str, str]:
    findings = judge([GOOD, *nodes], "text", None)
    return {f.check: f.text for f in findings if f.level == "failure"}


def test_nodes_that_are_alike_pass() -> None:
    assert failures(replace(GOOD, node="two")) == {}


@pytest.mark.parametrize(
    ("change", "check", "text"),
    [
        ({"versions": VERSIONS | {"torch": "1.1"}}, "versions", "torch 1.0 on 1 nodes, torch 1.1"),
        ({"versions": VERSIONS | {"raytl": "missing"}}, "versions", "raytl missing on 1 nodes"),
        ({"gpus_of_torch": 0}, "GPUs", "two: Ray has 1, torch sees 0"),
        ({"note": None}, "shared storage", "two: cannot read and write"),
        ({"note": "another"}, "shared storage", "two: cannot read and write"),
        ({"wrote": False}, "shared storage", "name it in RAYTL_ROOT"),
        ({"free_bytes": 10}, "disk", "two: less than 5 GiB free"),
        ({"clock": 110.0}, "clock", "two: off by more than 2 s"),
        ({"clock": 90.0}, "clock", "two: off by more than 2 s"),
    ],
)
def test_a_node_that_differs_is_named(change: dict[str, Any], check: str, text: str) -> None:
    found = failures(replace(GOOD, node="two", **change))
    assert list(found) == [check]
    assert text in found[check]


def test_a_node_that_does_not_answer_is_named() -> None:
    assert "10.0.0.7: no answer" in failures("10.0.0.7")["nodes"]


def test_data_that_a_node_lacks_is_named(tiny_study: Callable[..., Study], tmp_path: Any) -> None:
    note = tmp_path / "note"
    note.write_text("text")
    study = tiny_study()
    assert examine(note, study, 0.0)["problems"] == []
    next(study.target_domain.dataset.glob("train*.arrow")).unlink()
    weights = str(tmp_path / "lost.pth")
    lost = study.model_copy(
        update={"source_models": {"net": study.source_models["net"].model_copy(
            update={"weights": weights}
        )}}
    )  # fmt: skip
    node = NodeFacts(**examine(note, lost, 0.0), asked=0.0, answered=2e9)
    (data,) = [f for f in judge([node], "text", lost) if f.check == "data"]
    assert data.level == "failure"
    assert "shard of split train is missing" in data.text
    assert f"source model net: {weights} is not there" in data.text


def test_a_study_that_wants_gpus_where_there_are_none_is_warned(
    tiny_study: Callable[..., Study],
) -> None:
    study = tiny_study(resources={"gpus_per_worker": 1})
    node = replace(GOOD, gpus_of_ray=0.0, gpus_of_torch=0)
    (gpus,) = [f for f in judge([node], "text", study) if f.check == "GPUs"]
    assert (gpus.level, gpus.text) == ("warning", "none now; the study waits for resources.wait_s")


def test_a_cluster_without_token_is_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    assert auth_finding(joined=False).level == "ok"
    assert auth_finding(joined=True).level == "warning"
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert auth_finding(joined=True).level == "ok"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert auth_finding(joined=False).level == "warning"
