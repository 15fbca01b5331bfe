"""What the doctor makes of nodes that differ, lag, cannot read or do not answer."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ray.exceptions import NodeDiedError, RayTaskError

from raytl.config import SourceModelConfig, Study
from raytl.sweeping.on_ray import doctor, node_facts, tuning
from raytl.sweeping.on_ray.doctor import LEAST_FREE_BYTES, Finding, auth_finding, judge
from raytl.sweeping.on_ray.node_facts import PACKAGES, Asked, NodeFacts, examine
from raytl.sweeping.on_ray.storage_check import StorageFacts
from raytl.urls import Url

VERSIONS = {"python": "3.11.7", "raytl's source": "abc"} | dict.fromkeys(PACKAGES, "1.0")
GOOD = NodeFacts(
    node="one", versions=VERSIONS, gpus_of_ray=1.0, gpus_of_torch=1, free_bytes=LEAST_FREE_BYTES,
    clock=100.0, asked=99.0, answered=101.0, shares=True,
)  # fmt: skip
FOLDER = Asked("text", Path("note"))
BUCKET = Asked("text", storage=Url("s3://bucket/runs?region=eu-west-1"))


def found(check: str, *nodes: NodeFacts | str, asked: Asked = FOLDER) -> Finding:
    (finding,) = [each for each in judge(nodes, asked) if each.check == check]
    return finding


def failures(*nodes: NodeFacts | str) -> dict[str, str]:
    findings = judge([GOOD, *nodes], FOLDER)
    return {f.check: f.text for f in findings if f.level == "failure"}


def test_nodes_that_are_alike_pass() -> None:
    assert failures(replace(GOOD, node="two")) == {}


@pytest.mark.parametrize(
    ("change", "check", "text"),
    [
        ({"versions": VERSIONS | {"torch": "1.1"}}, "versions", "torch 1.0 on 1 nodes, torch 1.1"),
        ({"versions": VERSIONS | {"raytl": "missing"}}, "versions", "raytl missing on 1 nodes"),
        ({"gpus_of_torch": 0}, "GPUs", "two: Ray has 1, torch sees 0"),
        ({"versions": VERSIONS | {"raytl's source": "b"}}, "versions", "raytl's source abc on 1"),
        ({"free_bytes": 10}, "disk", "two: less than 5 GiB free"),
        ({"clock": 110.0}, "clock", "two: off by more than 2 s"),
        ({"clock": 90.0}, "clock", "two: off by more than 2 s"),
    ],
)
def test_a_node_that_differs_is_named(change: dict[str, Any], check: str, text: str) -> None:
    found = failures(replace(GOOD, node="two", **change))
    assert list(found) == [check]
    assert text in found[check]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (RayTaskError("examine", "a traceback", ImportError("no torch")), "ImportError: no torch"),
        (NodeDiedError("it was\npreempted"), "NodeDiedError: it was preempted"),
        (None, "no answer within 0.01 s"),
    ],
)
def test_of_a_node_without_facts_it_is_said_why(
    answer: Exception | None, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = {"Alive": True, "NodeID": "ab" * 28, "NodeManagerAddress": "10.0.0.7", "Resources": {}}
    task = SimpleNamespace(remote=lambda *_: "ref")

    def get(ref: str) -> None:
        assert answer is not None
        raise answer

    def wait(refs: list[str], timeout: float) -> tuple[list[str], list[str]]:
        return ([], refs) if answer is None else (refs, [])

    for name, fake in {
        "nodes": lambda: [node], "remote": lambda **_: lambda _: task, "wait": wait, "get": get
    }.items():  # fmt: skip
        monkeypatch.setattr(f"ray.{name}", fake)
    monkeypatch.setattr(node_facts, "EXAMINE_S", 0.01)
    assert failures(*node_facts.visit(FOLDER))["nodes"] == f"10.0.0.7: {text}"


def test_only_a_study_without_a_bucket_needs_a_disk_that_all_share(
    tiny_study: Callable[..., Study],
) -> None:
    alone = replace(GOOD, node="two", shares=False)
    for_nothing = found("shared storage", GOOD, alone)
    assert for_nothing.level == "warning"
    assert "two: cannot read and write" in for_nothing.text
    assert "keep runs in a bucket (resources.storage_path)" in for_nothing.text
    for_study = found("shared storage", GOOD, alone, asked=replace(FOLDER, study=tiny_study()))
    assert for_study.level == "failure"
    checks = [each.check for each in judge([GOOD, alone], BUCKET)]
    assert "shared storage" not in checks


def test_what_a_node_may_not_do_in_the_bucket_is_named() -> None:
    can = replace(GOOD, storage=StorageFacts(skew_s=0.0, seconds=0.4))
    well = found("storage", can, asked=BUCKET)
    assert well.level == "ok"
    assert well.text == "s3://bucket/runs: every node writes, reads, lists and deletes, in 0.4 s"
    cannot = replace(GOOD, node="two", storage=StorageFacts(["may not delete it", "or list it"]))
    bad = found("storage", can, cannot, asked=BUCKET)
    assert (bad.level, bad.text) == ("failure", "two: may not delete it; two: or list it")


@pytest.mark.parametrize("skew", [-3.0, 3.0])
def test_a_node_whose_clock_is_not_the_buckets_is_named(skew: float) -> None:
    off = replace(GOOD, node="two", storage=StorageFacts(skew_s=skew))
    bad = found("storage", off, asked=BUCKET)
    assert bad.level == "failure"
    assert f"two: its clock is {skew:+.0f} s off the storage's; run NTP" in bad.text
    near = replace(off, storage=StorageFacts(skew_s=skew / 2))
    assert found("storage", near, asked=BUCKET).level == "ok"


def test_a_bucket_without_a_clock_is_said_to_have_none() -> None:
    node = replace(GOOD, storage=StorageFacts(skew_s=None))
    assert found("storage", node, asked=BUCKET).text.endswith("by a clock that it does not tell")


def test_a_spot_node_that_nobody_watches_over_is_warned_of() -> None:
    assert found("spot notices", GOOD).level == "ok"
    alone = replace(GOOD, node="two", unwatched="a spot machine without `raytl watch-spot`")
    warned = found("spot notices", GOOD, alone)
    assert warned.level == "warning"
    assert warned.text.startswith("two: a spot machine without `raytl watch-spot`; start it beside")


def test_data_that_a_node_lacks_is_named(tiny_study: Callable[..., Study], tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.write_text("text")
    study = tiny_study()
    good = examine(Asked("text", note, study=study), 0.0)
    assert good["problems"] == []
    assert good["shares"]
    assert not examine(Asked("another", note), 0.0)["shares"]
    next(study.target_domain.dataset.glob("train*.arrow")).unlink()
    weights = str(tmp_path / "lost.pth")
    lost = study.model_copy(
        update={"source_models": {"net": study.source_models["net"].model_copy(
            update={"weights": weights}
        )}}
    )  # fmt: skip
    asked = Asked("text", note, study=lost)
    node = NodeFacts(**examine(asked, 0.0), asked=0.0, answered=2e9)
    data = found("data", node, asked=asked)
    assert data.level == "failure"
    assert "train-00000-of-00001.arrow: shard is missing" in data.text
    assert f"source model net: {weights} is not there" in data.text


@pytest.mark.parametrize("scheme", ["", "local://"])
def test_a_network_in_a_folder_that_a_node_lacks_is_named(
    scheme: str, tiny_study: Callable[..., Study], tmp_path: Path
) -> None:
    (tmp_path / "bert").mkdir()
    origin = f"{scheme}{tmp_path}/bert"
    models = {"folder": SourceModelConfig(huggingface=origin)}
    models["name"] = SourceModelConfig(huggingface="google-bert/bert-base-uncased")
    asked = Asked("text", study=tiny_study().model_copy(update={"source_models": models}))
    assert examine(asked, 0.0)["problems"] == []
    (tmp_path / "bert").rmdir()
    assert examine(asked, 0.0)["problems"] == [f"source model folder: {origin} is not there"]


def test_a_study_that_wants_gpus_where_there_are_none_is_warned(
    tiny_study: Callable[..., Study],
) -> None:
    study = tiny_study(resources={"gpus_per_worker": 1})
    node = replace(GOOD, gpus_of_ray=0.0, gpus_of_torch=0)
    gpus = found("GPUs", node, asked=replace(FOLDER, study=study))
    assert (gpus.level, gpus.text) == ("warning", "none now; the study waits for resources.wait_s")


def bfloat16(study: Study, *nodes: NodeFacts) -> list[tuple[str, str]]:
    findings = judge(nodes, replace(FOLDER, study=study))
    return [(each.level, each.text) for each in findings if each.check == "bfloat16"]


def test_gpus_without_bfloat16_are_named_where_a_study_asks_for_it(
    tiny_study: Callable[..., Study],
) -> None:
    gpus = {"gpus_per_worker": 1}
    old = replace(GOOD, node="two", without_bfloat16=["Tesla T4 (7.5)"])
    computed = tiny_study(resources=gpus, train={"precision": "bfloat16"})
    assert bfloat16(computed, GOOD) == [("ok", "every GPU has it")]
    ((level, text),) = bfloat16(computed, GOOD, old)
    assert level == "warning"
    assert text.startswith("none on two: Tesla T4 (7.5): trials there train in float32, and their")
    stored = tiny_study(resources=gpus, train={"prefix_dtype": "bfloat16"})
    ((level, text),) = bfloat16(stored, GOOD, old)
    assert level == "ok"
    assert text.endswith(
        "stored features are only rounded to it (train.prefix_dtype), as elsewhere"
    )
    assert bfloat16(tiny_study(resources=gpus), old) == []
    assert bfloat16(tiny_study(train={"precision": "bfloat16"}), old) == [], "on CPUs"


def test_a_node_is_asked_which_of_its_gpus_lack_bfloat16(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    asked = Asked("text", tmp_path / "note")
    assert examine(asked, 1.0)["without_bfloat16"] == ["Tesla T4 (7.5)"]


def test_a_cluster_without_token_is_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    assert auth_finding(joined=False).level == "ok"
    assert auth_finding(joined=True).level == "warning"
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert auth_finding(joined=True).level == "ok"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert auth_finding(joined=False).level == "warning"


class Growing:
    """A cluster that gets a node when it is asked for room."""

    grows = True

    def __init__(self) -> None:
        self.asked: list[list[dict[str, float]]] = []

    def nodes(self) -> list[dict[str, float]]:
        return [{"CPU": 0.0}, *([{"CPU": 4.0}] if self.asked else [])]

    def request(self, bundles: list[dict[str, float]]) -> None:
        self.asked.append(bundles)


def test_room_is_made_before_nodes_are_looked_at(
    tiny_study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAYTL_ROOT", str(tmp_path))
    cluster, looked = Growing(), list[int]()
    monkeypatch.setattr(tuning, "ray_session", lambda address: nullcontext(cluster))

    def visit(asked: Asked) -> list[NodeFacts | str]:
        looked.append(len(cluster.nodes()))
        return [GOOD] * len(cluster.nodes())

    monkeypatch.setattr(doctor, "visit", visit)
    said = list[str]()
    doctor.examine_cluster(tiny_study(), None, room=False, say=said.append)
    assert (looked, cluster.asked, said) == ([1], [], [])
    doctor.examine_cluster(tiny_study(), None, room=True, say=said.append)
    assert looked == [1, 2]
    assert cluster.asked == [[{"CPU": 1.0}], []]
    assert said[0].startswith("waiting for 1 CPU: ")


def test_a_cache_that_nodes_share_is_warned_of() -> None:
    assert found("cache", GOOD).level == "ok"
    shared = replace(GOOD, node="two", cache="RAYTL_CACHE: /home/cache lies on nfs4, which nodes")
    warned = found("cache", GOOD, shared)
    assert warned.level == "warning"
    assert warned.text.startswith("two: RAYTL_CACHE: /home/cache lies on nfs4")
