"""Where in a row a network looked.

Legend: B rows, C channels, H height, W width, S positions, D numbers of a position.
"""

import numpy as np

from raytl.scoring.weighing import Floats


def grad_cam(maps_BCHW: Floats, gradients_BCHW: Floats) -> Floats:
    """Return where maps speak for a score, (B, H, W) in [0, 1], 1 at each row's strongest place:
    ReLU(Σ_c α_c·A_c) with α_c the mean over places of the score's gradient (Selvaraju et al. 2017,
    "Grad-CAM", eq. 1 and 2). All zero where nothing speaks for it."""
    weights_BC11 = gradients_BCHW.mean(axis=(2, 3), keepdims=True)
    return _shares(np.maximum((weights_BC11 * maps_BCHW).sum(axis=1), 0))


def token_saliency(embedded_BSD: Floats, gradients_BSD: Floats) -> Floats:
    """Return how much each position speaks for a score (above 0) or against it (below), (B, S) in
    [-1, 1], 1 or -1 at each row's strongest: the gradient times the input, summed over D."""
    return _shares((embedded_BSD * gradients_BSD).sum(axis=2))


def _shares(values: Floats) -> Floats:
    rest = tuple(range(1, values.ndim))
    largest = np.abs(values).max(axis=rest, keepdims=True)
    return np.asarray(np.divide(values, largest, out=np.zeros_like(values), where=largest > 0))
