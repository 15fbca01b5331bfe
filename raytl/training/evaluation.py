"""Evaluation of a model on one pass over a feed.

Legend: B batch, C channels, H height, W width, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from raytl.data.feed import Feed
from raytl.models.transfer_model import TransferModel

Transform = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Evaluation:
    """What one pass gives. `confusion` is K × K counts, true rows by predicted columns."""

    rows: int
    loss: float  # mean cross-entropy, nats
    entropy: float  # mean prediction entropy, nats; uses no label
    confusion: list[list[int]]

    @property
    def accuracy(self) -> float:
        """Fraction of correct rows, in [0, 1]."""
        return sum(row[k] for k, row in enumerate(self.confusion)) / self.rows


@torch.inference_mode()
def evaluate(
    model: TransferModel,
    feed: Feed,
    transform: Transform,
    device: torch.device,
    *,
    of_source: bool = False,
) -> Evaluation:
    """Evaluate in eval mode; the model's mode is put back afterwards. `of_source`: the rows are
    the source domain's."""
    was_training = model.training
    model.eval()
    rows, loss, entropy = 0, torch.zeros((), device=device), torch.zeros((), device=device)
    pairs = torch.zeros(0, dtype=torch.long, device=device)
    num_classes = 0
    for batch in feed.eval_batches():
        assert batch.y is not None
        num_source = len(batch.x) if of_source else 0
        logits_BK = model(transform(batch.x.to(device)), num_source=num_source).logits
        y_B = batch.y.to(device)
        num_classes = logits_BK.shape[1]
        log_p_BK = F.log_softmax(logits_BK, dim=1)
        rows += len(y_B)
        loss += F.nll_loss(log_p_BK, y_B, reduction="sum")
        entropy -= (log_p_BK.exp() * log_p_BK).sum()
        counts = torch.bincount(y_B * num_classes + log_p_BK.argmax(1), minlength=num_classes**2)
        pairs = counts if not len(pairs) else pairs + counts
    model.train(was_training)
    confusion = pairs.view(num_classes, num_classes).tolist()
    return Evaluation(rows, float(loss) / rows, float(entropy) / rows, confusion)
