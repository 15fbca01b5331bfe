"""A metadata service on loopback: it plays AWS's, Google Cloud's and Azure's in turn."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Asked:
    """A request, and what it came with."""

    method: str
    path: str
    headers: dict[str, str]


Reply = tuple[int, str]


@dataclass
class Service:
    """A metadata service: `answer` gives a request's status and text; `asked` are those so far."""

    base: str
    answer: Callable[[Asked], Reply]
    asked: list[Asked] = field(default_factory=list)


@contextlib.contextmanager
def metadata_service(answer: Callable[[Asked], Reply]) -> Iterator[Service]:
    """Run a service on a port of its own; whoever has it may change its `answer`."""

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers)
            service.asked.append(asked)
            status, text = service.answer(asked)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_PUT = _reply

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service = Service(f"http://127.0.0.1:{server.server_port}", answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def aws(
    action: str | None, *, life_cycle: str = "spot", token: str = "one"
) -> Callable[..., Reply]:
    """Play EC2's: `action`, JSON, is what spot/instance-action says; no token, no answer."""

    def answer(asked: Asked) -> Reply:
        if asked.path == "/latest/api/token":
            wanted = (
                asked.method == "PUT" and "x-aws-ec2-metadata-token-ttl-seconds" in asked.headers
            )
            return (200, token) if wanted else (400, "")
        if asked.headers.get("x-aws-ec2-metadata-token") != token:
            return 401, ""
        found = {"spot/instance-action": action, "instance-life-cycle": life_cycle}
        text = found.get(asked.path.removeprefix("/latest/meta-data/"))
        return (404, "") if text is None else (200, text)

    return answer


def gcp(preempted: str, *, preemptible: str = "TRUE") -> Callable[..., Reply]:
    """Play Google Cloud's, which answers nobody who does not show its header."""

    def answer(asked: Asked) -> Reply:
        if asked.headers.get("metadata-flavor") != "Google":
            return 403, ""
        found = {"preempted": preempted, "scheduling/preemptible": preemptible}
        text = found.get(asked.path.removeprefix("/computeMetadata/v1/instance/"))
        return (404, "") if text is None else (200, text)

    return answer


def azure(events: str, *, name: str = "worker-1", priority: str = "Spot") -> Callable[..., Reply]:
    """Play Azure's; `events` is the document of scheduled events."""

    def answer(asked: Asked) -> Reply:
        if asked.headers.get("metadata") != "true":
            return 400, ""
        path, _, query = asked.path.removeprefix("/metadata/").partition("?")
        if "api-version=" not in query:
            return 400, ""
        found = {
            "scheduledevents": events,
            "instance/compute/name": name,
            "instance/compute/priority": priority,
        }
        text = found.get(path)
        return (404, "") if text is None else (200, text)

    return answer
