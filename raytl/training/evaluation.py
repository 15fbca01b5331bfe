"""Evaluation of a model on one pass over a feed.

Legend: B batch, C channels, H height, W width, K classes, M confidence bins.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from raytl.data.feed import Feed
from raytl.data.predictions import Predictions
from raytl.models.transfer_model import TransferModel
from raytl.ranks import all_rows, own_share, sum_over_ranks
from raytl.scoring.classification import macro_f1

Transform = Callable[[torch.Tensor], torch.Tensor]
CONFIDENCE_BINS = 15


@dataclass(frozen=True)
class Evaluation:
    """What one pass gives. `confusion` is K × K counts, true rows by predicted columns.

    `calibration_error` is the expected calibration error, in [0, 1] (Guo et al. 2017, eq. 5): the
    mean over rows of |accuracy - confidence| of the row's bin, in 15 bins of equal width.
    """

    rows: int
    loss: float  # mean cross-entropy, nats
    entropy: float  # mean prediction entropy, nats; uses no label
    confusion: list[list[int]]
    calibration_error: float
    predictions: Predictions | None  # of all rows, in the feed's order, where they were asked for

    @property
    def accuracy(self) -> float:
        """Fraction of correct rows, in [0, 1]."""
        return sum(row[k] for k, row in enumerate(self.confusion)) / self.rows

    @property
    def macro_f1(self) -> float:
        """Mean of the classes' F1, in [0, 1]."""
        return macro_f1(self.confusion)


@torch.inference_mode()
def evaluate(
    model: TransferModel,
    feed: Feed,
    transform: Transform,
    device: torch.device,
    *,
    of_source: bool = False,
    keep_predictions: bool = False,
) -> Evaluation:
    """Evaluate in eval mode; the model's mode is put back afterwards. Several workers evaluate
    their shares and all get the sum. `of_source`: the rows are the source domain's."""
    was_training = model.training
    model.eval()
    loss, entropy = torch.zeros((), device=device), torch.zeros((), device=device)
    pairs = torch.zeros(0, dtype=torch.long, device=device)
    surplus_M = torch.zeros(CONFIDENCE_BINS, device=device)
    num_classes = 0
    seen: list[tuple[torch.Tensor, ...]] = []  # id, target, predicted and confidence of a batch
    for batch in feed.eval_batches(share=own_share()):
        assert batch.y is not None
        num_source = len(batch.x) if of_source else 0
        logits_BK = model(transform(batch.x.to(device)), num_source=num_source).logits
        y_B = batch.y.to(device)
        num_classes = logits_BK.shape[1]
        log_p_BK = F.log_softmax(logits_BK, dim=1)
        loss += F.nll_loss(log_p_BK, y_B, reduction="sum")
        entropy -= (log_p_BK.exp() * log_p_BK).sum()
        top_B, predicted_B = log_p_BK.max(1)
        bin_B = (top_B.exp() * CONFIDENCE_BINS).ceil().long().clamp(1, CONFIDENCE_BINS) - 1
        surplus_M.index_add_(0, bin_B, (predicted_B == y_B).float() - top_B.exp())
        if keep_predictions:
            seen.append((batch.id.to(device), y_B, predicted_B, top_B.exp()))
        counts = torch.bincount(y_B * num_classes + predicted_B, minlength=num_classes**2)
        pairs = counts if not len(pairs) else pairs + counts
    model.train(was_training)
    loss, entropy, pairs, surplus_M = map(sum_over_ranks, (loss, entropy, pairs, surplus_M))
    confusion = pairs.view(num_classes, num_classes).tolist()
    rows = feed.rows
    calibration_error = float(surplus_M.abs().sum()) / rows
    columns = [all_rows(torch.cat(parts), rows).cpu() for parts in zip(*seen, strict=True)]
    predictions = Predictions(*(column.numpy() for column in columns)) if columns else None
    return Evaluation(
        rows, float(loss) / rows, float(entropy) / rows, confusion, calibration_error, predictions
    )
