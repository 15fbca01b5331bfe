"""A local S3 server for tests, and what they ask of it."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from moto.server import ThreadedMotoServer
from pyarrow.fs import S3FileSystem
from ray_processes import free_port
from tests_support import CREDENTIALS

from raytl.remote_files import upload
from raytl.urls import Url


@contextlib.contextmanager
def s3_bucket(monkeypatch: pytest.MonkeyPatch, name: str = "bucket") -> Iterator[Url]:
    """Yield the URL of an empty bucket on a local S3 server, whose credentials the environment
    has."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    for variable, value in CREDENTIALS.items():
        monkeypatch.setenv(variable, value)
    port = free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    try:
        # Servers of one process share what they hold.
        reset = Request(f"http://127.0.0.1:{port}/moto-api/reset", method="POST")
        urlopen(reset, timeout=30).close()
        options = {
            "region": "us-east-1", "scheme": "http", "endpoint_override": f"127.0.0.1:{port}",
        }  # fmt: skip
        S3FileSystem(**options, allow_bucket_creation=True).create_dir(name)
        query = "&".join(f"{key}={value}" for key, value in options.items())
        yield Url(f"s3://{name}?{query}")
    finally:
        server.stop()


def put(folder: Path, url: Url) -> None:
    """Copy a folder behind a URL."""
    for file in folder.rglob("*"):
        if file.is_file():
            upload(file, url / file.relative_to(folder).as_posix())
