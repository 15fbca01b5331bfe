"""An S3 server on loopback, and what lies there."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from moto.server import ThreadedMotoServer
from pyarrow.fs import FileSelector, FileSystem, S3FileSystem
from ray_processes import free_port

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "raytl-test", "AWS_SECRET_ACCESS_KEY": "for-no-file-0123456789"}


@dataclass(frozen=True)
class Bucket:
    """A bucket by its URL, options included."""

    url: str

    def files(self) -> set[str]:
        """Return the paths under the URL."""
        filesystem, path = FileSystem.from_uri(self.url)
        found = filesystem.get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
        return {info.path.removeprefix(f"{path}/") for info in found if info.is_file}


@contextlib.contextmanager
def s3_bucket(name: str = "bucket") -> Iterator[Bucket]:
    """Run a server with one bucket; the credentials for it stand in the environment meanwhile."""
    port = free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    options = {"region": "us-east-1", "scheme": "http", "endpoint_override": f"127.0.0.1:{port}"}
    try:
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in CREDENTIALS.items():
                patch.setenv(variable, value)
            S3FileSystem(**options, allow_bucket_creation=True).create_dir(name)
            given = "&".join(f"{key}={value}" for key, value in options.items())
            yield Bucket(f"s3://{name}/runs?{given}")
    finally:
        server.stop()
