"""The demo: `search_spaces/digits.yaml` with the data and source models that it names made on the
spot. Source domain: digits rendered from fonts. Target domain: handwritten digits, few labels."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from raytl import verbs
from raytl.config import Study, load_study
from raytl.errors import UserError
from raytl.folders import make_folder

if TYPE_CHECKING:
    from raytl.sweeping.study_run import StudyResult

RENDERED, HANDWRITTEN = "data/rendered_digits", "data/digits"
# Source model → backbone and epochs of its pretraining on the rendered digits.
PRETRAINED = {"rendered_lenet": ("lenet", 4), "rendered_cnn": ("small_cnn", 3)}


def study_file() -> Path:
    """Return digits.yaml, from the installed package or from the checkout."""
    here = Path(__file__).parent
    for folder in (here / "search_spaces", here.parent / "search_spaces"):
        if (folder / "digits.yaml").exists():
            return folder / "digits.yaml"
    raise UserError("search_spaces/digits.yaml is missing; install raytl again")


def run_demo(
    out: Path, *, resume: bool, store: bool = True, say: Callable[[str], None]
) -> StudyResult:
    """Make what is missing under `out`, then run the study in `out`/run."""
    if (out / "run").exists() and not resume:
        raise UserError(f"{out / 'run'}: the run folder exists; use --resume or another --out")
    make_folder(out)
    start = time.perf_counter()

    def stamp(text: str) -> None:
        say(f"[{time.perf_counter() - start:5.1f} s] {text}")

    rendered, handwritten = out / RENDERED, out / HANDWRITTEN
    if not rendered.exists():
        stamp("rendering the source domain from fonts")
        verbs.shard("rendered-digits", None, rendered)
    if not handwritten.exists():
        stamp("sharding the target domain, scikit-learn's handwritten digits")
        verbs.shard("digits", None, handwritten, size=28)
    for name, (backbone, epochs) in PRETRAINED.items():
        if not (out / "sources" / name).exists():
            stamp(f"pretraining {name} ({backbone}) on the rendered digits")
            # One thread: the same weights, and so the same study, whatever cores there are.
            spec = verbs.pretrain(
                rendered, backbone, out / "sources" / name, epochs=epochs, threads=1
            )
            stamp(f"{name}: {spec.score_text}")
    stamp("searching; the first results take some seconds")
    result = verbs.sweep(_study_in(out), out / "run", resume=resume, store=store)
    stamp("done")
    return result


def _study_in(out: Path) -> Study:
    """Return digits.yaml with what it names taken under `out`."""
    paths = {"source_domain.dataset": RENDERED, "target_domain.dataset": HANDWRITTEN}
    paths |= {f"source_models.{name}.path": f"sources/{name}" for name in PRETRAINED}
    return load_study(study_file(), [f"{key}={out / path}" for key, path in paths.items()])
