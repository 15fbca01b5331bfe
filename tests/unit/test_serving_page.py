"""docs/serving.md: its deployment, asked without a cluster; tests/ray/test_serving.py has one."""

import asyncio
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from complete_models import CNN, IMAGE, TABLE, assert_alike, save_model
from PIL import Image
from serving_page import made_of, page_code

import raytl
from raytl.tasks.mask_column import MaskColumn
from raytl.tasks.segmentation import Segmentation

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


def ask(replica: Any, body: bytes, kind: str = "application/octet-stream") -> tuple[int, Any]:
    """Ask a replica as Serve asks it."""
    from starlette.requests import Request

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", kind.encode())]
    scope = {"type": "http", "method": "POST", "headers": headers, "path": "/"}
    answer = asyncio.run(replica(Request(scope, receive)))
    return answer.status_code, json.loads(answer.body)


def test_a_file_is_one_row_and_json_is_many(tmp_path: Path) -> None:
    best = save_model(tmp_path / "best", {"image": IMAGE}, CNN, options={"size": 12})
    replica = made_of(page_code(), best)["Model"].func_or_class(str(best))
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    status, answer = ask(replica, (tmp_path / "a.png").read_bytes())
    assert status == 200
    assert_alike(answer[0], raytl.load(best).answers([tmp_path / "a.png"])[0])
    status, answer = ask(replica, b"no image")
    assert status == 400 and "does not decode as an image" in answer["error"]
    path = json.dumps([str(tmp_path / "a.png")]).encode()
    status, answer = ask(replica, path, "application/json")
    assert status == 400 and "row 0: is a path, and no file is opened" in answer["error"]

    best = save_model(tmp_path / "table", {"table": TABLE}, {"backbone": "mlp"})
    replica = made_of(page_code(), best)["Model"].func_or_class(str(best))
    rows = [{"age": 3, "mass": None, "town": "north"}] * 2
    status, answer = ask(replica, json.dumps(rows).encode(), "application/json")
    assert status == 200 and len(answer) == 2
    assert_alike(answer[0], raytl.load(best).answers(rows)[0])


def test_a_mask_is_its_png_in_base64(tmp_path: Path) -> None:
    task = Segmentation(MaskColumn(classes=("ground", "disc"), shape=(12, 12)))
    best = save_model(tmp_path / "best", {"image": IMAGE}, CNN, task=task, options={"size": 12})
    replica = made_of(page_code(), best)["Model"].func_or_class(str(best))
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    status, (answer,) = ask(replica, (tmp_path / "a.png").read_bytes())
    assert status == 200
    wanted = raytl.load(best).answers([tmp_path / "a.png"])[0]["mask"]
    assert b64decode(answer["mask"]) == wanted


@pytest.mark.parametrize(
    ("body", "why"),
    [(b"[{}]", "row 0: has no 'age'"), (b"{", "Expecting"), (b"3", "a list"), (b"[]", "none")],
)
def test_what_is_no_row_is_answered_with_400(body: bytes, why: str, tmp_path: Path) -> None:
    best = save_model(tmp_path / "best", {"table": TABLE}, {"backbone": "mlp"})
    replica = made_of(page_code(), best)["Model"].func_or_class(str(best))
    status, answer = ask(replica, body, "application/json")
    assert status == 400 and why in answer["error"]
