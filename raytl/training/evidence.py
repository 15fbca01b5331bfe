"""What validators see of a model: predictions and features, and of the target no label.

Legend: B batch, N rows, D features, K classes.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from raytl.data.feed import Feed
from raytl.models.transfer_model import TransferModel
from raytl.scoring.validators import Evidence, mixed_consistency

MOST_ROWS = 1000  # of each domain: similarities and nuclear norms grow faster than the rows
MIX = 0.55  # share of the dominating image (Hu et al. 2023)

Transform = Callable[[Tensor], Tensor]


@torch.inference_mode()
def gather(
    model: TransferModel,
    target: Feed,
    source: Feed | None,
    transform: Transform,
    device: torch.device,
) -> Evidence:
    """Run up to MOST_ROWS validation rows of each domain through the model in eval mode.

    MixVal mixes what the model reads: images, or prefix features where those are reused.
    """
    was_training = model.training
    model.eval()
    x, _ = _first_rows(target, transform, device)
    target_p, target_features = _outputs(model, x, of_source=False)
    partner = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    predicted = target_p.argmax(1)
    mixed_p, _ = _outputs(model, MIX * x + (1 - MIX) * x[partner], of_source=False)
    evidence: dict[str, np.ndarray] = {}
    if source is not None:
        source_x, y = _first_rows(source, transform, device)
        p, features = _outputs(model, source_x, of_source=True)
        evidence = {"source_p_SK": p, "source_features_SD": features, "source_y_S": y.numpy()}
    model.train(was_training)
    return Evidence(
        target_p_NK=target_p,
        target_features_ND=target_features,
        mixed_agreement=mixed_consistency(mixed_p, predicted, predicted[partner.numpy()]),
        **evidence,
    )


def _first_rows(feed: Feed, transform: Transform, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the first MOST_ROWS rows as the model reads them, and their labels."""
    x: list[Tensor] = []
    y: list[Tensor] = []
    for batch in feed.eval_batches():
        assert batch.y is not None
        x.append(transform(batch.x.to(device)))
        y.append(batch.y)
        if sum(map(len, y)) >= MOST_ROWS:
            break
    return torch.cat(x)[:MOST_ROWS], torch.cat(y)[:MOST_ROWS]


def _outputs(
    model: TransferModel, x: Tensor, *, of_source: bool, batch_size: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    outputs = [
        model(part, num_source=len(part) if of_source else 0) for part in x.split(batch_size)
    ]
    p = torch.cat([output.logits.softmax(1) for output in outputs])
    features = torch.cat([output.mapped for output in outputs])
    return p.double().cpu().numpy(), features.double().cpu().numpy()
