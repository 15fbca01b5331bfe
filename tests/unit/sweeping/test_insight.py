"""What was transferred in a trained trial, and test rows that tell: known answers."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from several_columns import COLUMNS
from several_columns import values_of as several_values

from raytl.config import Study, TrialConfig
from raytl.data.domain import Domain
from raytl.data.writer import Chunk, write_dataset
from raytl.errors import CorruptError, ModelError
from raytl.predictions import Predictions
from raytl.scoring.domain_distance import LEAST_ROWS
from raytl.sweeping.insight import previews
from raytl.sweeping.insight.facts import (
    FILE,
    Transferred,
    load_transferred,
    save_transferred,
)
from raytl.sweeping.insight.finding import confirmed, find_transferred
from raytl.sweeping.insight.looker import Looker
from raytl.sweeping.insight.small import MOST_PLACES, grid
from raytl.sweeping.insight.telling_rows import telling_rows
from raytl.sweeping.insight.validation_rows import validation_rows
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.verdict.confirmed import Candidate, Confirmation, Run, Verdict
from raytl.training.building import build_trial
from raytl.training.looked_at import look
from raytl.training.material import Material
from raytl.training.splits import target_rows
from raytl.training.trial import run_trial

MakeStudy = Callable[..., Study]


def looker_of(study: Study, **flat: Any) -> Looker:
    material = Material.of(study)
    trial = TrialConfig.from_flat({"source_model": "net", "recipe": "finetune"} | flat)
    after = run_trial(material, trial, seed=5, report=lambda metrics, save: None)
    return Looker(material, build_trial(material, trial, 5), after, validation_rows(material, None))


def test_frozen_blocks_are_unchanged_and_trained_ones_are_not(tiny_study: MakeStudy) -> None:
    blocks, rows = looker_of(tiny_study(), frozen_depth=2).blocks()
    assert [block.frozen for block in blocks] == [i < 2 for i in range(len(blocks))]
    assert [block.cka for block in blocks[:2]] == [pytest.approx(1.0)] * 2
    assert all(block.cka is not None and 0 <= block.cka < 0.9999 for block in blocks[2:])
    assert rows == len(validation_rows(Material.of(tiny_study()), None)["target"].numbers)


def test_no_row_is_looked_at_whose_label_was_learnt_from(tiny_study: MakeStudy) -> None:
    for labels in ("none", 10, "all"):
        dataset = tiny_study().target_domain.dataset
        material = Material.of(tiny_study(target_domain={"dataset": dataset, "labels": labels}))
        seen = validation_rows(material, None)["target"].numbers
        of_study = target_rows(material.domains.target, 0)
        assert len(seen) >= len(of_study.validation)
        assert not set(seen.tolist()) & set(of_study.labelled.tolist())


def test_both_domains_are_told_apart_before_and_after(tiny_study: MakeStudy) -> None:
    gaps = looker_of(tiny_study(target_domain=_all_labels(tiny_study)), mapper="linear").gaps()
    assert [gap.stage for gap in gaps] == ["before", "after", "mapped"]
    assert all(0 <= gap.distance <= 2 for gap in gaps)
    assert all(len(gap.target) >= LEAST_ROWS for gap in gaps)


def _all_labels(tiny_study: MakeStudy) -> dict[str, Any]:
    return {"dataset": tiny_study().target_domain.dataset, "labels": "none",
            "validation_fraction": 0.5}  # fmt: skip


def test_where_it_looked_is_a_map_of_each_image(tiny_study: MakeStudy) -> None:
    looked = looker_of(tiny_study(), frozen_depth="100%").looked()  # even where nothing is trained
    assert looked and all(one.image and one.said in ("rows", "columns") for one in looked)
    for one in looked:
        assert one.map is not None
        assert all(0 <= share <= 1 for line in one.map for share in line)


def test_looking_leaves_the_model_as_it_was(tiny_study: MakeStudy) -> None:
    looker = looker_of(tiny_study(), frozen_depth=1)
    model = looker.after.model
    model.train()
    model.zero_grad()
    modes = {name: module.training for name, module in model.named_modules()}
    needs = {name: p.requires_grad for name, p in model.named_parameters()}
    (inputs,) = list(looker.batches(looker.rows["target"], looker.after, 512))
    look(model, "image", inputs)
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert {name: p.requires_grad for name, p in model.named_parameters()} == needs
    assert all(p.grad is None for p in model.parameters())


def test_texts_are_shown_token_by_token(tmp_path: Path, tiny_study: MakeStudy) -> None:
    texts = several("text", tmp_path / "texts")
    study = tiny_study(
        source_domain=None, target_domain={"dataset": texts, "labels": "all"},
        source_models={"net": {"backbone": "bag_of_embeddings"}},
    )  # fmt: skip
    looked = looker_of(study).looked()
    domain = Domain.open(study.target_domain)
    rows = dict(zip(domain.split("train").ids().tolist(), domain.split("train").all("text"),
                    strict=True))  # fmt: skip
    for one in looked:
        assert one.tokens is not None
        known = [word for word, _ in one.tokens if word != "[UNK]"]
        assert set(known) <= set(rows[one.id].lower().split())
        assert max(abs(share) for _, share in one.tokens) == 1.0


def several(kind: str, out: Path, rows: int = 60) -> Path:
    labels = np.arange(rows) % 2
    columns = {name: COLUMNS[name] for name in (kind, "label")}
    chunks = {
        split: [Chunk({kind: several_values(kind, labels, seed), "label": labels}, np.arange(rows))]
        for seed, split in enumerate(("train", "test"))
    }
    write_dataset(out, columns, chunks, {})
    return out


def test_an_answer_that_does_not_hang_on_a_column_is_said(tiny_study: MakeStudy) -> None:
    looker = looker_of(tiny_study(), recipe="constant", head="constant")
    (inputs,) = list(looker.batches(looker.rows["target"], looker.after, 512))
    with pytest.raises((ModelError, RuntimeError)):
        look(looker.after.model, "image", inputs)


def test_what_cannot_be_computed_is_a_note(tmp_path: Path, tiny_study: MakeStudy) -> None:
    candidate = candidate_of(tmp_path, "trial 0", None, [[0, 1]])
    retrained = confirmed(candidate)
    assert retrained is not None and retrained.folder == "confirm-0"
    found = find_transferred(tiny_study(), RunStorage(tmp_path), retrained)
    assert found.blocks == [] and len(found.notes) == 1
    assert "checkpoint is missing" in found.notes[0]


def test_transfer_json_is_read_back_and_refused_where_it_is_broken(tmp_path: Path) -> None:
    assert load_transferred(tmp_path) is None
    found = Transferred(candidate="trial 0", source_model="net", notes=["so"])
    save_transferred(found, tmp_path)
    assert load_transferred(tmp_path) == found
    for text in ("{", "[]", '{"candidate": 1}', '{"version": 2}'):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(CorruptError, match="delete it"):
            load_transferred(tmp_path)


def candidate_of(
    run: Path, name: str, control: str | None, said: list[list[int]], mean: float = 0.5
) -> Candidate:
    """A candidate with these answers, a seed each, to rows whose class is 0."""
    (run / "predictions").mkdir(exist_ok=True)
    runs = []
    for seed, answers in enumerate(said):
        file = f"predictions/{name}-{seed}.arrow".replace(" ", "-")
        predicted = np.array(answers, np.int64)
        share = np.full((len(answers), 2), 0.5, np.float32)
        Predictions(
            np.arange(10, 10 + len(answers)), np.zeros(len(answers), np.int64), predicted, share
        ).write(run / file)
        runs.append(
            Run(seed=seed, score=0.5, metrics={}, objective=0.5, seconds=1.0,
                folder=f"confirm-{seed}", predictions=file, error=None)
        )  # fmt: skip
    return Candidate(
        name=name, trial="0", control=control, selected=control is None,
        config={"source_model": "net", "recipe": "finetune"}, runs=runs, n=len(said), mean=mean,
        standard_error=0.1, metrics={}, objective=0.5, trainable_parameters=1, confusion=None,
        recall=None,
    )  # fmt: skip


def test_rows_that_are_missed_mended_and_broken_by_hand(tmp_path: Path) -> None:
    #                                       ids: 10 11 12 13
    ours = candidate_of(tmp_path, "trial 0", None, [[0, 1, 1, 0], [0, 1, 1, 0]])
    best = candidate_of(tmp_path, "scratch control", "scratch", [[1, 0, 1, 0], [0, 0, 1, 0]], 0.6)
    worse = candidate_of(tmp_path, "constant control", "constant", [[1, 1, 1, 1]] * 2, 0.1)
    confirmation = Confirmation(
        metric="accuracy", split="test", test_rows=4, classes=["good", "<script>"], seeds=[0, 1],
        level=0.95, margin=1.0, labels_read=0, candidates=[ours, worse, best], comparisons=[],
        verdict=Verdict(kind="undecided", sentence="so"), recommended=None,
    )  # fmt: skip
    found = telling_rows(confirmation, partial(confirmation.predictions_of, run=tmp_path))
    assert found is not None and found.control == "scratch control"
    assert [(r.kind, r.id, r.ours, r.theirs) for r in found.rows] == [
        ("missed", 12, 0.0, 0.0), ("mended", 10, 1.0, 0.5), ("broken", 11, 0.0, 1.0)
    ]  # fmt: skip
    assert (found.rows[0].target, found.rows[0].said) == ("good", "<script>")
    assert found.counts == {"missed": 1, "mended": 1, "broken": 1}


def test_large_values_are_told_apart(tmp_path: Path) -> None:
    ours, theirs = (
        candidate_of(tmp_path, name, control, [[0]])
        for name, control in (("trial 0", None), ("scratch control", "scratch"))
    )
    confirmation = Confirmation(
        metric="rmse", split="test", test_rows=1, classes=[], seeds=[0], level=0.95, margin=1.0,
        labels_read=0, candidates=[ours, theirs], comparisons=[],
        verdict=Verdict(kind="undecided", sentence="so"), recommended=None,
    )  # fmt: skip
    said = Predictions(np.array([7]), np.array([123456.0]), np.array([123501.0]))
    found = telling_rows(confirmation, lambda _: [said])
    assert found is not None
    assert (found.rows[0].target, found.rows[0].said) == ("123456", "123501")


def test_rows_of_each_modality_have_a_preview_that_is_read_back(tmp_path: Path) -> None:
    kinds = {"image": "picture", "text": "text", "series": "lines", "table": "fields"}
    for kind, shown in kinds.items():
        from raytl.config import DomainConfig

        dataset = several(kind, tmp_path / kind, rows=6)
        domain = Domain.open(DomainConfig(dataset=dataset))
        known = domain.split("test").ids().tolist()
        made = previews.previews_of(domain, "test", [known[3], known[0], 10**6])
        assert set(made) == {known[3], known[0]}
        assert {one.kind for row in made.values() for one in row.values()} == {shown}
        previews.save_previews(made, tmp_path)
        assert previews.load_previews(tmp_path) == made
    (tmp_path / previews.FILE).write_text("[1")
    with pytest.raises(CorruptError, match="delete it"):
        previews.load_previews(tmp_path)


def test_a_large_map_is_made_small_by_means() -> None:
    small = grid(np.repeat(np.repeat(np.eye(2), 14, axis=0), 14, axis=1))
    assert len(small) == len(small[0]) == MOST_PLACES
    assert small[0][0] == 1.0 and small[0][-1] == 0.0
