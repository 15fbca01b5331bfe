"""How alike two networks' features of the same rows are.

Legend: N rows, D and E features.
"""

import math

import numpy as np

from raytl.scoring.weighing import Floats


def gram(features_ND: Floats) -> Floats:
    """Return the centred Gram matrix of features, (N, N): all that CKA needs of them."""
    centred_ND = np.asarray(features_ND, np.float64) - features_ND.mean(axis=0, dtype=np.float64)
    return np.asarray(centred_ND @ centred_ND.T)


def linear_cka(ours_NN: Floats, theirs_NN: Floats) -> float:
    """Return the linear centred kernel alignment of two `gram` matrices of the same rows, in
    [0, 1]: |XᵀY|² / (|XᵀX|·|YᵀY|) in Frobenius norms (Kornblith et al. 2019, "Similarity of Neural
    Network Representations Revisited", section 3), which neither a rotation nor a common scale
    changes. NaN where features are the same in all rows."""
    size = math.sqrt(float((ours_NN**2).sum()) * float((theirs_NN**2).sum()))
    if not size > 0:
        return math.nan
    return min(1.0, max(0.0, float((ours_NN * theirs_NN).sum()) / size))
