"""docs/serving.md: its deployment answers requests on loopback."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from complete_models import BAG, CNN, IMAGE, TABLE, assert_alike, save_model
from PIL import Image
from serving_page import made_of, page_code

import raytl
from raytl.modalities.text.column import TextColumn

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytestmark = [pytest.mark.ray, pytest.mark.slow]
SECONDS = 60  # that one request may take


@pytest.fixture
def code() -> str:
    return page_code()


@pytest.fixture
def port(ray_cluster: None) -> Iterator[int]:
    """Serve on loopback, at a port that is free."""
    from ray import serve

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = int(free.getsockname()[1])
    serve.start(http_options={"host": "127.0.0.1", "port": number})
    yield number
    serve.shutdown()


def deploy(code: str, best: Path) -> None:
    from ray import serve

    serve.run(made_of(code, best)["app"])


def ask(port: int, body: bytes, kind: str = "application/octet-stream") -> tuple[int, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/", data=body, headers={"content-type": kind}
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_files_and_rows_are_answered_as_the_loaded_model_answers(
    code: str, port: int, tmp_path: Path
) -> None:
    image = save_model(tmp_path / "image", {"image": IMAGE}, CNN, options={"size": 12})
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    deploy(code, image)
    status, answer = ask(port, (tmp_path / "a.png").read_bytes())
    assert status == 200
    assert_alike(answer[0], raytl.load(image).answers([tmp_path / "a.png"])[0])
    status, answer = ask(port, b"no image")
    assert status == 400 and "does not decode as an image" in answer["error"]
    path = json.dumps([str(tmp_path / "a.png")]).encode()
    status, answer = ask(port, path, "application/json")
    assert status == 400 and "row 0: is a path, and no file is opened" in answer["error"]

    parts = {"parts": {"text": BAG, "table": {"backbone": "mlp"}}}
    both = save_model(tmp_path / "both", {"text": TextColumn(), "table": TABLE}, parts)
    deploy(code, both)
    rows = [{"text": "good film", "age": 3, "mass": None, "town": "north"}] * 2
    status, answer = ask(port, json.dumps(rows).encode(), "application/json")
    assert status == 200 and len(answer) == 2
    assert_alike(answer[0], raytl.load(both).answers(rows)[0])
    for body, why in ((b"[{}]", "row 0: has no 'text'"), (b"{", "Expecting"), (b"3", "a list")):
        status, answer = ask(port, body, "application/json")
        assert status == 400 and why in answer["error"]
