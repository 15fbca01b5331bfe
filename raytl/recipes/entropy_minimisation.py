"""Entropy minimisation: the decision boundary keeps away from target rows."""

from raytl.data.batch import TrainBatch
from raytl.ranks import all_rows
from raytl.recipes.base import AlignmentRecipe, Losses, Outputs


class EntropyMinimisation(AlignmentRecipe):
    """Grandvalet & Bengio 2004, "Semi-supervised Learning by Entropy Minimization", eq. 6; of masks
    the mean over pixels (Vu et al. 2019, "ADVENT: Adversarial Entropy Minimization for Domain
    Adaptation in Semantic Segmentation", eq. 2 and 3, whose MinEnt this is). As in the latter,
    entropies are divided by log K, so that they lie in [0, 1] whatever the number of classes. The
    weight μ is the trial's `alignment_lambda`; Vu et al. take 0.001.
    """

    name = "entropy_minimisation"
    needs = frozenset({"entropy"})
    vectorises = True

    def domain_losses(self, outputs: Outputs, batch: TrainBatch, progress: float) -> Losses:
        assert batch.target is not None
        entropy_B = self.task.entropy(outputs["target"].out)
        if self.task.reads != "features":  # each worker has what its own rows gave
            entropy_B = all_rows(entropy_B, len(batch.target.id))
        return {"alignment": entropy_B.mean()}
