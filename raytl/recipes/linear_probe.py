"""Linear probe: the whole backbone is frozen; only mapper and head are trained."""

from raytl.recipes.base import SupervisedRecipe


class LinearProbe(SupervisedRecipe):
    """Train mapper and head on frozen features, whatever `frozen_depth` says.

    With the identity mapper and the linear head this is the linear classifier probe of
    Alain & Bengio 2016, "Understanding intermediate layers using linear classifier probes", put on
    the last block.
    """

    name = "linear_probe"
    vectorises = True
    freezes = "all"
