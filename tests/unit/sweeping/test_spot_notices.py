"""What each cloud's metadata service says of a spot machine, as its documentation has it."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from metadata_server import Reply, aws, azure, gcp, metadata_service
from ray_processes import free_port

from raytl.sweeping.on_ray.spot_notices import (
    GCP_NOTICE_S,
    Aws,
    Azure,
    Gcp,
    MetadataError,
    cloud_here,
)

Kind = type[Aws] | type[Gcp] | type[Azure]
ACTION = '{"action": "terminate", "time": "2026-11-28T08:22:00Z"}'
EIGHT = datetime(2026, 11, 28, 8, 22, tzinfo=UTC).timestamp()


def event(
    kind: str, *machines: str, begin: str = "Sat, 28 Nov 2026 08:22:00 GMT"
) -> dict[str, object]:
    return {
        "EventId": "602d9444-d2cd-49c7-8624-8643e7171297",
        "EventType": kind,
        "ResourceType": "VirtualMachine",
        "Resources": list(machines),
        "EventStatus": "Scheduled" if begin else "Started",
        "NotBefore": begin,
    }


def events(*found: dict[str, object]) -> str:
    return json.dumps({"DocumentIncarnation": 1, "Events": list(found)})


@pytest.mark.parametrize(
    ("kind", "answer"),
    [(Aws, aws(None)), (Gcp, gcp("FALSE")), (Azure, azure(events()))],
)
def test_a_machine_that_stays_has_no_notice(kind: Kind, answer: Callable[..., Reply]) -> None:
    with metadata_service(answer) as service:
        assert kind(service.base).notice() is None


@pytest.mark.parametrize(
    ("kind", "answer", "text", "deadline"),
    [
        (Aws, aws(ACTION), "AWS: terminate", EIGHT),
        (Gcp, gcp("TRUE"), "GCP: preempted", None),
        (Azure, azure(events(event("Preempt", "worker-1"))), "Azure: Preempt", EIGHT),
        (Azure, azure(events(event("Redeploy", "worker-1", "worker-2"))), "Azure: Redeploy", EIGHT),
    ],
)
def test_a_machine_that_goes_has_a_notice_and_a_deadline(
    kind: Kind, answer: Callable[..., Reply], text: str, deadline: float | None
) -> None:
    with metadata_service(answer) as service:
        begin = time.time()
        found = kind(service.base).notice()
    assert found is not None
    assert found.text == text
    if deadline is None:
        assert begin <= found.deadline - GCP_NOTICE_S <= time.time()
    else:
        assert found.deadline == deadline


def test_azure_speaks_of_other_machines_and_of_pauses_too() -> None:
    others = events(event("Preempt", "worker-2"), event("Freeze", "worker-1"))
    with metadata_service(azure(others)) as service:
        assert Azure(service.base).notice() is None


def test_an_event_of_azure_that_has_begun_is_now() -> None:
    with metadata_service(azure(events(event("Preempt", "worker-1", begin="")))) as service:
        begin = time.time()
        found = Azure(service.base).notice()
    assert found is not None and begin <= found.deadline <= time.time()


def test_a_token_of_aws_that_ran_out_is_had_anew() -> None:
    with metadata_service(aws(None, token="one")) as service:
        cloud = Aws(service.base)
        assert cloud.notice() is None
        service.answer = aws(ACTION, token="two")
        found = cloud.notice()
    assert found is not None and found.deadline == EIGHT
    tokens = [asked.path for asked in service.asked if asked.path.endswith("/token")]
    assert len(tokens) == 2, "one token serves until it is refused"


def test_a_service_that_refuses_its_own_tokens_is_an_error() -> None:
    def refuse(asked: object) -> Reply:
        return (200, "one") if getattr(asked, "method", "") == "PUT" else (401, "")

    with metadata_service(refuse) as service, pytest.raises(MetadataError, match="refuses"):
        Aws(service.base).notice()


@pytest.mark.parametrize(
    ("kind", "spot", "staying"),
    [
        (Aws, aws(None), aws(None, life_cycle="on-demand")),
        (Gcp, gcp("FALSE"), gcp("FALSE", preemptible="FALSE")),
        (Azure, azure(events()), azure(events(), priority="Regular")),
    ],
)
def test_spot_machines_are_told_from_others(
    kind: Kind, spot: Callable[..., Reply], staying: Callable[..., Reply]
) -> None:
    with metadata_service(spot) as service:
        assert kind(service.base).is_spot()
        service.answer = staying
        assert not kind(service.base).is_spot()


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (Aws, aws("soon")),
        (Aws, aws('{"action": "terminate"}')),
        (Aws, aws('{"action": "terminate", "time": "soon"}')),
        (Azure, azure("soon")),
        (Azure, azure('{"Events": [{"EventType": "Preempt"}]}')),
        (Azure, azure(events(event("Preempt", "worker-1", begin="soon")))),
        (Gcp, lambda asked: (500, "")),
        (Gcp, lambda asked: (401, "")),
    ],
)
def test_an_answer_that_is_none_is_an_error(kind: Kind, answer: Callable[..., Reply]) -> None:
    with metadata_service(answer) as service, pytest.raises(MetadataError):
        kind(service.base).notice()


@pytest.mark.parametrize("kind", [Aws, Gcp, Azure])
def test_no_answer_is_an_error(kind: Kind) -> None:
    with pytest.raises(MetadataError, match="127.0.0.1"):
        kind(f"http://127.0.0.1:{free_port()}").notice()


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with metadata_service(gcp("FALSE")) as service:
        assert Gcp(service.base).is_spot()


@pytest.mark.parametrize(
    ("maker", "cloud"),
    [
        ("Amazon EC2\n", "aws"),
        ("Google\n", "gcp"),
        ("Microsoft Corporation\n", "azure"),
        ("LENOVO\n", None),
        (None, None),
    ],
)
def test_a_machine_says_whose_it_is(maker: str | None, cloud: str | None, tmp_path: Path) -> None:
    file = tmp_path / "sys_vendor"
    if maker is not None:
        file.write_text(maker)
    assert cloud_here(file) == cloud
