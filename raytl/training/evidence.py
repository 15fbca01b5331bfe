"""What validators see of a model: predictions and features, and of the target no label.

Legend: B batch, N rows, D features, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from raytl.data.domain import Domain
from raytl.data.feed import Feed
from raytl.data.views import MixedView, View
from raytl.models.transfer_model import TransferModel
from raytl.scoring.validators import Evidence, mixed_consistency
from raytl.seeds import seed_for
from raytl.tasks.base import Task
from raytl.training.evaluation import rows_at_a_time
from raytl.training.material import Material
from raytl.training.readers import Readers
from raytl.training.splits import source_rows, target_rows

MOST_ROWS = 1000  # of each domain: similarities and nuclear norms grow faster than the rows
MIX = 0.55  # share of the dominating image (Hu et al. 2023)


@dataclass(frozen=True)
class EvidenceFeeds:
    """The validation rows that validators judge by, at most MOST_ROWS of each domain.

    `mixed` gives the target's, each mixed with another of them; made when it is asked for, as a
    frozen prefix may have to be run for it. None where rows cannot be mixed, as texts cannot.
    """

    target: Feed
    partners: np.ndarray  # (N,), positions among the target's rows: whom each is mixed with
    mixed: Callable[[], Feed] | None
    source: Feed | None


def evidence_feeds(
    material: Material, readers: Readers, rows_seed: int, *, with_source: bool
) -> EvidenceFeeds:
    """Return feeds of rows drawn by seed: the same for all trials that hold out the same rows.
    `rows_seed` drew the target's rows."""
    study, target, source = material.study, material.domains.target, material.domains.source
    held_out = target_rows(target, rows_seed)
    rows = drawn_rows(held_out.validation, seed_for(rows_seed, "target evidence"))
    mix = MixedView.drawn(rows, MIX, seed_for(rows_seed, "mixed evidence"))

    def feed(domain: Domain, split: str, rows: np.ndarray | None = None,
             view: View | None = None, labelled: bool = False) -> Feed:  # fmt: skip
        return readers.feed(
            domain, split, indices=rows, labelled=labelled, batch_size=study.train.batch_size,
            seed=0, kind=study.train.feed, view=view,
        )  # fmt: skip

    def mixed() -> Feed:
        return feed(target, held_out.validation_split, view=mix)

    of_source = None
    if with_source:
        assert source is not None
        seed = study.search.seed
        known = source_rows(source, seed)
        drawn = drawn_rows(known.validation, seed_for(seed, "source evidence"))
        of_source = feed(source, known.validation_split, drawn, labelled=True)
    return EvidenceFeeds(
        target=feed(target, held_out.validation_split, rows),
        partners=mix.partners,
        mixed=mixed if readers.mixes else None,
        source=of_source,
    )


def drawn_rows(rows: np.ndarray, seed: int) -> np.ndarray:
    """Return at most MOST_ROWS of `rows`, drawn with `seed`, in their order."""
    drawn = np.random.default_rng(seed).permutation(len(rows))[:MOST_ROWS]
    return rows[np.sort(drawn)]


@torch.inference_mode()
def gather(
    model: TransferModel,
    task: Task,
    feeds: EvidenceFeeds,
    device: torch.device,
    *,
    mixed: bool = True,
    of_source: bool = True,
) -> Evidence:
    """Run the rows through the model in eval mode; the model's mode is put back afterwards.

    `mixed`: whether MixVal is asked for; `of_source`: whether a validator that reads source rows
    is. Stored rows are mixed, whatever the model reads; Hu et al. mix normalised images, which is
    the same, as resizing and normalising are affine.
    """
    was_training = model.training
    model.eval()
    target = _outputs(model, task, feeds.target, device)
    evidence = Evidence(target.p_NK, target.features_ND)
    if mixed and feeds.mixed is not None and target.p_NK is not None:
        p_NK = _outputs(model, task, feeds.mixed(), device).p_NK
        assert p_NK is not None
        said_N = target.p_NK.argmax(1)
        agreement = mixed_consistency(p_NK, said_N, said_N[feeds.partners])
        evidence = replace(evidence, mixed_agreement=agreement)
    if of_source and feeds.source is not None:
        of = _outputs(model, task, feeds.source, device, of_source=True)
        evidence = replace(
            evidence, source_p_SK=of.p_NK, source_features_SD=of.features_ND, source_y_S=of.y_N,
            source_loss_S=of.loss_N,
        )  # fmt: skip
    model.train(was_training)
    return evidence


@dataclass(frozen=True)
class _Outputs:
    """`loss_N`: of values, where the rows are labelled; wrong or right is enough for classes."""

    p_NK: np.ndarray | None
    features_ND: np.ndarray
    y_N: np.ndarray | None
    loss_N: np.ndarray | None


def _outputs(
    model: TransferModel,
    task: Task,
    feed: Feed,
    device: torch.device,
    *,
    of_source: bool = False,
) -> _Outputs:
    p, features, y, losses = [], [], [], []
    for batch in feed.eval_batches(rows_at_a_time(task, model.head)):
        num_source = len(batch.id) if of_source else 0
        on_device = batch.to(device)
        output = model(on_device.inputs, num_source=num_source)
        features.append(output.mapped)
        p_BK = task.predict(output.out, output.head).p_BK
        if p_BK is not None:
            p.append(p_BK)
        target = on_device.target
        if target is not None:
            if isinstance(target, torch.Tensor) and target.dim() == 1:
                y.append(target)
            if p_BK is None:
                losses.append(task.loss(output.out, target, head=output.head))
    of_features = _joined(features)
    assert of_features is not None
    return _Outputs(_joined(p), of_features, _joined(y), _joined(losses))


def _joined(parts: list[torch.Tensor]) -> np.ndarray | None:
    if not parts:
        return None
    whole = torch.cat(parts).cpu()
    return (whole.double() if whole.is_floating_point() else whole).numpy()
