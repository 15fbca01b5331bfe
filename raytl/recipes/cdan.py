"""Conditional domain-adversarial training (CDAN, CDAN+E).

Legend: B rows of both domains, D mapped features, K classes, R width of the random projection.
"""

import math

import torch
from torch import Tensor, nn

from raytl.data.batch import TrainBatch
from raytl.models.adversary import DomainDiscriminator, grad_reverse
from raytl.recipes.adversarial import AdversarialRecipe, domain_loss
from raytl.recipes.base import Context, Losses, Outputs

RANDOMISED_FROM = 4096  # D·K; above it the outer product is projected (section 3.2)
RANDOM_DIM = 1024


class MultilinearMap(nn.Module):
    """(f_BD, g_BK) → f ⊗ g, flattened (eq. 4); or its random projection
    (R_f f ⊙ R_g g) / √R where D·K is large (eq. 6), with fixed normal matrices."""

    of_f: Tensor
    of_g: Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.randomised = features * classes > RANDOMISED_FROM
        self.out_dim = RANDOM_DIM if self.randomised else features * classes
        if self.randomised:
            self.register_buffer("of_f", torch.randn(features, RANDOM_DIM))
            self.register_buffer("of_g", torch.randn(classes, RANDOM_DIM))

    def forward(self, f_BD: Tensor, g_BK: Tensor) -> Tensor:
        if self.randomised:
            return (f_BD @ self.of_f) * (g_BK @ self.of_g) / math.sqrt(RANDOM_DIM)
        return (g_BK.unsqueeze(2) * f_BD.unsqueeze(1)).flatten(1)


def certainty_weights(g_BK: Tensor) -> Tensor:
    """1 + exp(-H(g)), (B,) (Long et al. 2018, section 3.3)."""
    return 1.0 + torch.exp(-torch.special.entr(g_BK).sum(1))


class Cdan(AdversarialRecipe):
    """Long et al. 2018, "Conditional Adversarial Domain Adaptation", NeurIPS, eq. 7 and, with
    `entropy_conditioning`, eq. 9 (CDAN+E).

    The discriminator reads the multilinear map of mapped features and class probabilities. Followed
    is Transfer-Learning-Library (Jiang et al. 2022), whose table docs/benchmarks.md quotes:
    probabilities carry no gradient, neither in the map nor in the weights of CDAN+E, and the
    weights are divided by their sum over both domains. The authors' earlier code differs in the
    weights: they carry the reversed gradient to the classifier, and add up to the same in each
    domain.
    """

    name = "cdan"
    reads = AdversarialRecipe.reads | {"entropy_conditioning"}
    needs = frozenset({"classes"})
    vectorises = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.joined = MultilinearMap(self.mapped_dim, context.task.out_dim)
        self.discriminator = DomainDiscriminator(
            self.joined.out_dim, context.trial.discriminator_hidden
        )

    def domain_losses(self, outputs: Outputs, batch: TrainBatch, progress: float) -> Losses:
        lambda_ = self.adversarial_lambda(progress)
        g = {name: outputs[name].out.detach().softmax(1) for name in ("source", "target")}
        source, target = (
            self.joined(grad_reverse(outputs[name].mapped, lambda_), g[name]) for name in g
        )
        weights = None
        if self.trial.entropy_conditioning:
            weights = certainty_weights(torch.cat([g["source"], g["target"]]))
        # Reversed above, in front of the product.
        return {"domain": domain_loss(self.discriminator, source, target, -1.0, weights)}
