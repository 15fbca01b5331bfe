"""What follows from how often each class was fitted to: rows of it, pixels, or tokens.

Legend: K classes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from raytl.rows import moved
from raytl.scoring.classification import class_weights

LEAST_COUNT = 0.5  # of a class that none has, where its share's logarithm is taken


def log_shares(counts: Sequence[int]) -> Tensor:
    """Return the logarithms of the classes' shares, (K,); LEAST_COUNT for a class without any."""
    count_K = np.asarray(counts, dtype=np.float64).clip(min=LEAST_COUNT)
    return torch.from_numpy(np.log(count_K / count_K.sum())).float()


def balancing_weights(counts: Sequence[int], loss: Tensor) -> Tensor:
    """Return the weights (K,) that balance a cross-entropy (`class_weights`), in the type and on
    the device of `loss`."""
    return moved(torch.as_tensor(class_weights(counts), dtype=loss.dtype), loss.device)
