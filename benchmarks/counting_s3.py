"""A local S3 server (moto's) in a process of its own, which writes down who asked for what.

    python benchmarks/counting_s3.py PORT LOG

Each request is a line `seconds key METHOD path?query`; `key` is the access key's name, by which
processes can be told apart.
"""

import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CREDENTIAL = re.compile(r"Credential=([^/]+)/")
OTHER = "?"  # a request that names no key


@dataclass(frozen=True)
class Request:
    """One line of the log. `at`: seconds since 1970."""

    at: float
    key: str
    method: str
    target: str

    @property
    def kind(self) -> str:
        """The method; a listing and a deletion of many are told from other GETs and POSTs."""
        query = self.target.partition("?")[2]
        if "list-type" in query:
            return "LIST"
        return "DELETE MANY" if query.startswith("delete") else self.method


def read_log(log: Path) -> list[Request]:
    """Return the requests so far."""
    found = []
    for line in log.read_text(encoding="utf-8").splitlines():
        at, key, method, target = line.split(" ", 3)
        found.append(Request(float(at), key, method, target))
    return found


def kinds(requests: Iterable[Request], key: str) -> dict[str, int]:
    """Return how many requests of each kind came with a key, the most frequent first."""
    return dict(Counter(r.kind for r in requests if r.key == key).most_common())


def counted(app: Callable[..., Any], log: Path) -> Callable[..., Any]:
    """Return the WSGI application with each request written to `log`."""
    lines = log.open("a", encoding="utf-8", buffering=1)

    def answer(environ: dict[str, Any], start: Any) -> Any:
        found = CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
        target = environ["PATH_INFO"] + (f"?{q}" if (q := environ.get("QUERY_STRING")) else "")
        key = found[1] if found else OTHER
        lines.write(f"{time.time():.3f} {key} {environ['REQUEST_METHOD']} {target}\n")
        return app(environ, start)

    return answer


def main() -> None:
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        create_backend_app,
    )
    from werkzeug.serving import WSGIRequestHandler, run_simple

    class Silent(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept, as S3 does

        def log_request(self, *_: Any) -> None:
            """The log has it."""

    app = counted(DomainDispatcherApplication(create_backend_app), Path(sys.argv[2]))
    run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True, request_handler=Silent)


if __name__ == "__main__":
    main()
