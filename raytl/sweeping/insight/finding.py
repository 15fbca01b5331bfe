"""What was transferred, computed once a study is decided.

It looks at the selected candidate's first good seed: as it started, and as it was trained. Of a
study whose test rows have no label it looks at the trial in best/.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from raytl.config import Study, TrialConfig
from raytl.errors import RaytlError
from raytl.models.adapters import merge_adapters
from raytl.recipes import RECIPES
from raytl.seeds import seed_for
from raytl.sweeping.insight.facts import Transferred
from raytl.sweeping.insight.looker import Looker
from raytl.sweeping.insight.validation_rows import validation_rows
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.leaderboard import Leaderboard
from raytl.sweeping.search.selection import of_trial, retraining_name
from raytl.sweeping.verdict.confirmed import Candidate
from raytl.training.building import build_trial
from raytl.training.checkpoint import load_checkpoint
from raytl.training.material import Material


@dataclass(frozen=True)
class Retrained:
    """A configuration that was retrained. `seed`: the index of the confirmation's; `rows_seed`:
    drew its labelled rows, None where they are the search's; `folder`: has its weights."""

    name: str
    config: dict[str, Any]
    seed: int
    rows_seed: int | None
    folder: str


def confirmed(candidate: Candidate) -> Retrained | None:
    """Return a candidate's first good seed; None where it has none."""
    good = next((run for run in candidate.runs if run.score is not None), None)
    if good is None:
        return None
    return Retrained(candidate.name, candidate.config, good.seed, good.rows_seed, good.folder)


def unconfirmed(board: Leaderboard) -> Retrained | None:
    """Return what was retrained of a study whose test rows have no label: the best searched trial,
    once."""
    best = board.best_searched
    if best is None:
        return None
    folder = retraining_name(of_trial(best.trial), 0)
    return Retrained(f"trial {best.trial}", best.trial_config, 0, None, folder)


def find_transferred(study: Study, storage: RunStorage, retrained: Retrained) -> Transferred:
    """Return what was transferred. Nothing is raised: what cannot be computed is a note."""
    base = Transferred(candidate=retrained.name, source_model=retrained.config["source_model"])
    start = time.monotonic()
    try:
        looker = opened(study, storage, retrained)
    except Exception as error:
        return base.model_copy(update={"notes": [_note("what was transferred", error)]})
    notes: list[str] = []

    def tried(what: str, compute: Callable[[], Any], nothing: Any) -> Any:
        try:
            return compute()
        except Exception as error:  # a study is not to fail for what is only looked at
            notes.append(_note(what, error))
            return nothing

    blocks, rows = tried("change of each block", looker.blocks, ([], 0))
    gaps = tried("distance between the domains", looker.gaps, [])
    looked = tried("where the model looked", looker.looked, [])
    if RECIPES[retrained.config["recipe"]].fresh_backbone:
        notes.append("the backbone started with random weights: nothing was transferred into it")
    found = {"blocks": blocks, "rows": rows, "gaps": gaps, "looked": looked}
    found |= {"notes": [*notes, *looker.notes], "seconds": time.monotonic() - start}
    return base.model_copy(update=found)


def opened(study: Study, storage: RunStorage, retrained: Retrained) -> Looker:
    """Build a model twice, and load the trained weights into one. Raises RaytlError where data or
    weights are not at hand."""
    checkpoint = storage.newest_checkpoint(retrained.folder)
    material, trial = Material.of(study), TrialConfig.from_flat(retrained.config)
    seed = seed_for(study.search.seed, "confirm", retrained.seed)
    before, after = (build_trial(material, trial, seed, retrained.rows_seed) for _ in range(2))
    load_checkpoint(checkpoint, after.model)
    merge_adapters(after.model)
    return Looker(material, before, after, validation_rows(material, retrained.rows_seed))


def _note(what: str, error: Exception) -> str:
    said = str(error) if isinstance(error, RaytlError) else f"{type(error).__name__}: {error}"
    return f"{what}: {said[:300] or type(error).__name__}"
