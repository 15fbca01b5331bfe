"""What a cloud's metadata service tells a machine: whether it is a spot machine, and when it is to
be taken away.

Each cloud answers on an address that only the machine itself reaches, in its own way:

- AWS, two minutes before: docs.aws.amazon.com, "Spot Instance interruption notices"
- Google Cloud, 30 s before: cloud.google.com, "Spot VMs"
- Azure, 30 s before: learn.microsoft.com, "Scheduled Events for Linux VMs"
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import Protocol
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from raytl.errors import RaytlError

ADDRESS = "http://169.254.169.254"  # the same with all three
ANSWER_S = 2.0  # the service is on the machine itself
TOKEN_S = 3600  # how long a token of AWS is good for
GCP_NOTICE_S = 30.0
# Of Azure's scheduled events, those after which a machine's processes are gone
ENDING = ("Preempt", "Terminate", "Reboot", "Redeploy")
# Where a Linux machine says who made it, and whose machines say what there
MAKER = Path("/sys/class/dmi/id/sys_vendor")
MAKERS = {"Amazon EC2": "aws", "Google": "gcp", "Microsoft Corporation": "azure"}


class MetadataError(RaytlError):
    """The metadata service does not answer, or not as its cloud documents."""


class RefusedError(MetadataError):
    """The metadata service wants to be asked with a (new) token."""


@dataclass(frozen=True)
class Notice:
    """A machine is to be taken away. `text`: who says so and how; `deadline`: Unix time."""

    text: str
    deadline: float


class Cloud(Protocol):
    """A cloud's metadata service, as seen from one of its machines."""

    def is_spot(self) -> bool:
        """Whether the cloud may take this machine away at any time. Raises MetadataError."""
        ...

    def notice(self) -> Notice | None:
        """Return the notice that the machine was given, if it was. Raises MetadataError."""
        ...


class Aws:
    """EC2's metadata service, version 2: each request shows a token."""

    def __init__(self, base: str = ADDRESS) -> None:
        self._base = f"{base}/latest"
        self._token: str | None = None

    def is_spot(self) -> bool:
        return self._get("instance-life-cycle") == "spot"

    def notice(self) -> Notice | None:
        text = self._get("spot/instance-action")
        if text is None:
            return None
        try:
            found = json.loads(text)
            # "2026-11-26T08:22:00Z"
            return Notice(
                f"AWS: {found['action']}", datetime.fromisoformat(found["time"]).timestamp()
            )
        except (ValueError, KeyError, TypeError) as error:
            raise MetadataError(f"AWS: not a notice ({error!r}): {text[:200]}") from None

    def _get(self, name: str) -> str | None:
        for _ in range(2):  # a token that has run out is refused: once more with a new one
            if self._token is None:
                lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_S)}
                self._token = _ask(f"{self._base}/api/token", lifetime, method="PUT")
            try:
                shown = {"X-aws-ec2-metadata-token": self._token or ""}
                return _ask(f"{self._base}/meta-data/{name}", shown)
            except RefusedError:
                self._token = None
        raise MetadataError(f"{self._base}: refuses its own tokens")


class Gcp:
    """Google Cloud's metadata server."""

    def __init__(self, base: str = ADDRESS) -> None:
        self._base = f"{base}/computeMetadata/v1/instance"

    def is_spot(self) -> bool:
        return self._get("scheduling/preemptible") == "TRUE"

    def notice(self) -> Notice | None:
        if self._get("preempted") != "TRUE":
            return None
        return Notice("GCP: preempted", time.time() + GCP_NOTICE_S)

    def _get(self, name: str) -> str | None:
        return _ask(f"{self._base}/{name}", {"Metadata-Flavor": "Google"})


class Azure:
    """Azure's metadata service and its scheduled events, which are those of a whole scale set."""

    def __init__(self, base: str = ADDRESS) -> None:
        self._base = f"{base}/metadata"
        self._name: str | None = None

    def is_spot(self) -> bool:
        return self._compute("priority") == "Spot"

    def notice(self) -> Notice | None:
        self._name = self._name or self._compute("name")
        text = self._get("scheduledevents?api-version=2020-07-01") or "{}"
        try:
            events = [
                event
                for event in json.loads(text).get("Events", [])
                if event["EventType"] in ENDING and self._name in event["Resources"]
            ]
            deadlines = [_begin(event.get("NotBefore")) for event in events]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MetadataError(f"Azure: not a list of events ({error!r}): {text[:200]}") from None
        if not events:
            return None
        return Notice(f"Azure: {events[0]['EventType']}", min(deadlines))

    def _compute(self, name: str) -> str | None:
        return self._get(f"instance/compute/{name}?api-version=2021-02-01&format=text")

    def _get(self, path: str) -> str | None:
        return _ask(f"{self._base}/{path}", {"Metadata": "true"})


CLOUDS: Mapping[str, type[Aws] | type[Gcp] | type[Azure]] = {
    "aws": Aws,
    "gcp": Gcp,
    "azure": Azure,
}


def cloud_here(maker: Path = MAKER) -> str | None:
    """Return whose machine this is, by the names of CLOUDS; None where it is nobody's of them."""
    try:
        return MAKERS.get(maker.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError):
        return None


def _begin(given: str | None) -> float:
    """Return when an event of Azure begins, Unix time; it leaves the time empty once it has."""
    return parsedate_to_datetime(given).timestamp() if given else time.time()


def _ask(url: str, headers: dict[str, str], method: str = "GET") -> str | None:
    """Return the answer's text; None where there is none (404).

    Raises RefusedError where the request is refused (401), and MetadataError where nothing answers.
    """
    # Never through a proxy: the address is the machine's own.
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(Request(url, headers=headers, method=method), timeout=ANSWER_S) as answer:
            return str(answer.read().decode("utf-8", "replace")).strip()
    except HTTPError as error:
        if error.code == 404:
            return None
        if error.code == 401:
            raise RefusedError(f"{url}: 401 {error.reason}") from None
        raise MetadataError(f"{url}: {error.code} {error.reason}") from None
    except (OSError, HTTPException) as error:
        raise MetadataError(f"{url}: {error}") from None
