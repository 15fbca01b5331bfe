"""Looks at one trained candidate: what training changed in it, and where it looks.

Legend: N and M rows of source and target domain, D features.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from raytl.errors import RaytlError
from raytl.rows import Inputs
from raytl.scoring.domain_distance import LEAST_ROWS, flat_map, proxy_a_distance
from raytl.sweeping.insight.facts import Block, Gap, Looked
from raytl.sweeping.insight.small import grid, points, rounded, thumbnail
from raytl.sweeping.insight.validation_rows import ValidationRows
from raytl.tasks.base import Task
from raytl.training.block_change import block_changes
from raytl.training.building import TrialParts
from raytl.training.domain_features import Stage, features_of
from raytl.training.looked_at import columns_to_look_into, look
from raytl.training.material import Material
from raytl.training.readers import Prepared, Readers

AT_A_TIME = 32  # rows that run at once
SHOWN = 6  # rows in which it is shown where the model looked
SECONDS = 30.0  # that all of it may take, about: rows are fewer where a network is slow
CPU = torch.device("cpu")


@dataclass
class Looker:
    """A candidate as it started and as it was trained, and the held-out `rows` of "target" and
    "source" domain. `notes`: what could not be computed."""

    material: Material
    before: TrialParts
    after: TrialParts
    rows: dict[str, ValidationRows]
    notes: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.before.model.eval()
        self.after.model.eval()

    @property
    def task(self) -> Task:
        """What the candidate does."""
        return self.after.task

    def batches(
        self, rows: ValidationRows, parts: TrialParts, at_a_time: int = AT_A_TIME
    ) -> Iterator[Inputs]:
        """Yield prepared rows by branch; no target is read."""
        domains = self.material.domains
        by_branch = {name: Prepared(name, of) for name, of in parts.model.named_branches.items()}
        feed = Readers(domains, by_branch, CPU, parts.task).feed(
            rows.domain, rows.split, indices=rows.numbers, labelled=False, batch_size=at_a_time,
            seed=0, kind="resident",
        )  # fmt: skip
        for batch in feed.eval_batches(at_a_time):
            yield dict(batch.inputs)

    def until(self, share: float) -> Callable[[], bool]:
        """Return what says whether there is time, up to a share of SECONDS."""
        return lambda: time.monotonic() - self.started < share * SECONDS

    def blocks(self) -> tuple[list[Block], int]:
        """Return each block's change, and of how many rows it is told."""
        rows = self.rows["target"]
        changes, count = block_changes(
            self.before.model.named_branches, self.after.model.named_branches,
            self.batches(rows, self.after), self.until(0.5),
        )  # fmt: skip
        return [
            Block(branch=c.branch, block=c.block, frozen=c.frozen, fresh=c.fresh,
                  cka=None if math.isnan(c.cka) else c.cka)
            for c in changes
        ], count  # fmt: skip

    def gaps(self) -> list[Gap]:
        """Return both domains in the features of the source model, of the trained one, and behind
        its mapper. Raises RaytlError where there are no two domains, or too few rows."""
        domains = self.material.domains
        if domains.source is None:
            raise RaytlError("there is no source domain")
        shared = [
            name for name in self.after.model.columns
            if all(domains.column_in(of, name) for of in (domains.source, domains.target))
        ]  # fmt: skip
        if not shared:
            raise RaytlError("the domains share no column that the model reads")
        few = min(len(rows.numbers) for rows in self.rows.values())
        if few < LEAST_ROWS:
            raise RaytlError(f"a domain has {few} validation rows, and {LEAST_ROWS} are needed")
        source, target = (
            features_of(
                self.before.model, self.after.model, shared,
                self.batches(self.rows[role], self.after), self.until(share),
                of_source=role == "source",
            )
            for role, share in (("source", 0.7), ("target", 0.9))
        )  # fmt: skip
        gaps = [self._gap(stage, source[stage], target[stage]) for stage in source]
        return [gap for gap in gaps if gap is not None]

    def _gap(self, stage: Stage, source_ND: np.ndarray, target_MD: np.ndarray) -> Gap | None:
        rows = min(len(source_ND), len(target_MD))
        if rows < LEAST_ROWS or not (np.isfinite(source_ND).all() and np.isfinite(target_MD).all()):
            self.notes.append(f"proxy A-distance {stage}: too few finite rows in the time it has")
            return None
        source, target, explained = flat_map(source_ND, target_MD)
        return Gap(
            stage=stage, distance=proxy_a_distance(source_ND, target_MD),
            source=points(source), target=points(target), explained=explained,
        )  # fmt: skip

    def looked(self) -> list[Looked]:
        """Return where the trained model looked in a few rows of the target. Raises RaytlError
        where it cannot be said."""
        columns = columns_to_look_into(self.after.model)
        if not columns:
            raise RaytlError(
                "only images with a convolutional backbone and texts can be looked into"
            )
        if "numbers" not in self.task.gives:
            raise RaytlError("only answers that are a class or a value can be looked into")
        rows = self.rows["target"]
        spread = np.unique(np.linspace(0, len(rows.numbers) - 1, SHOWN).round().astype(int))
        few = ValidationRows(rows.domain, rows.split, rows.numbers[spread])
        (inputs,) = self.batches(few, self.after, SHOWN)
        return [one for column in columns for one in self._looked_into(column, few, inputs)]

    def _looked_into(self, column: str, rows: ValidationRows, inputs: Inputs) -> list[Looked]:
        found, ids = look(self.after.model, column, inputs), rows.ids.tolist()
        classes = getattr(self.task.column, "classes", None)
        said = ["the value" if classes is None else classes[k] for k in found.said]
        if found.tokens is not None:
            return [
                Looked(id=id_, column=column, said=of, tokens=rounded(tokens))
                for id_, of, tokens in zip(ids, said, found.tokens, strict=True)
            ]
        assert found.maps is not None
        name = self.material.domains.column_in(rows.domain, column)
        assert name is not None
        images = rows.domain.split(rows.split).read(name, rows.numbers)
        return [
            Looked(id=id_, column=column, said=of, image=thumbnail(image), map=grid(places))
            for id_, of, image, places in zip(ids, said, images, found.maps, strict=True)
        ]
