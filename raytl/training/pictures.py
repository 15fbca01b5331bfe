"""Some test rows for a person to look at: what they are, and what a model says of them."""

import numpy as np
import torch

from raytl.data.domain import Domain
from raytl.models.transfer_model import TransferModel
from raytl.tasks.base import Task
from raytl.training.readers import Readers

SHOWN = 8  # rows of a split, spread evenly over it


@torch.inference_mode()
def pictures(
    model: TransferModel,
    task: Task,
    readers: Readers,
    domain: Domain,
    split: str,
    device: torch.device,
) -> np.ndarray | None:
    """Return PNG bytes of SHOWN rows of a split and None of the others, (N,); None where the task
    draws none. The model's mode is put back afterwards."""
    if not task.draws:
        return None
    part = domain.split(split)
    rows = np.unique(np.linspace(0, part.rows - 1, SHOWN).round().astype(np.int64))
    feed = readers.feed(
        domain, split, indices=rows, labelled=False, batch_size=len(rows), seed=0, kind="resident"
    )
    was_training = model.training
    model.eval()
    answers: list[np.ndarray] = []
    for batch in feed.eval_batches(1):
        output = model(batch.to(device).inputs)
        said = task.predict(output.out, output.head)
        answers += list(said.answer.cpu().numpy())
    model.train(was_training)
    reader = readers.by_branch[next(iter(model.named_branches))]  # tasks that draw read one column
    column = readers.domains.column_in(domain, reader.column)
    assert column is not None, "the feed has read it"
    images = part.read(column, rows)
    targets = part.read(domain.target, rows)
    found = np.full(part.rows, None, dtype=object)
    for row, *of_row in zip(rows, images, targets, answers, strict=True):
        found[row] = task.picture(*of_row)
    return found
