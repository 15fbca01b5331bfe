"""What transfer.json holds: what training changed in the transferred model. Plain numbers."""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from raytl.errors import CorruptError
from raytl.files import write_atomically

FILE = "transfer.json"
Share = Annotated[float, Field(ge=0, le=1)]
Point = tuple[float, float]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Block(_Part):
    """A block of a branch, numbered from the input. `cka`: linear CKA of its features before and
    after training, None where a row is like the others; `frozen`: never trained; `fresh`: nothing
    was learnt in it before."""

    branch: str
    block: int
    frozen: bool
    fresh: bool
    cka: Share | None


class Gap(_Part):
    """Both domains in one model's features. `distance`: the proxy A-distance, in [0, 2]; source and
    target: rows in the plane of two principal components, which explain `explained`."""

    stage: Literal["before", "after", "mapped"]
    distance: Annotated[float, Field(ge=0, le=2)]
    source: list[Point]
    target: list[Point]
    explained: list[float]


class Looked(_Part):
    """Where the trained model looked in a target row: in an `image` (a PNG in base64) the grid
    `map` of shares in [0, 1], or `tokens`, each with what it says for the answer, in [-1, 1]."""

    id: int
    column: str
    said: str
    image: str | None = None
    map: list[list[float]] | None = None
    tokens: list[tuple[str, float]] | None = None


class Transferred(_Part):
    """The content of transfer.json. `candidate`: which was looked at; `rows`: of how many rows of
    the target the blocks' change is told; `notes`: what could not be computed, and
    why."""

    version: Literal[1] = 1
    candidate: str
    source_model: str
    rows: int = 0
    blocks: list[Block] = []
    gaps: list[Gap] = []
    looked: list[Looked] = []
    notes: list[str] = []
    seconds: float = 0.0


def save_transferred(found: Transferred, run: Path) -> None:
    """Write transfer.json."""
    write_atomically(run / FILE, json.dumps(found.model_dump(mode="json")))


def load_transferred(run: Path) -> Transferred | None:
    """Read transfer.json; None where there is none. Raises CorruptError where it does not hold."""
    try:
        return Transferred.model_validate_json((run / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CorruptError(
            f"{run / FILE}: cannot be read: {str(error).splitlines()[0]}; delete it, and "
            "`raytl report` computes it again where data and weights are at hand"
        ) from None
