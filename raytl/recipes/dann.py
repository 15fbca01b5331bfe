"""Domain-adversarial training (DANN)."""

from raytl.data.batch import TrainBatch
from raytl.models.adversary import DomainDiscriminator
from raytl.recipes.adversarial import AdversarialRecipe, domain_loss
from raytl.recipes.base import Context, Losses, Outputs


class Dann(AdversarialRecipe):
    """Ganin et al. 2016, "Domain-Adversarial Training of Neural Networks", JMLR 17.

    The discriminator learns to tell source (0) from target (1) by the mapped features; the
    gradient that it sends back is reversed and scaled by λ, so that the features minimise
    L = L_task - λ·L_domain while the discriminator minimises L_domain (eq. 9 to 11). Deviations:
    the discriminator reads the mapper's output; where the target has labels, L_task is the mean
    over source and labelled target rows.
    """

    name = "dann"
    vectorises = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.discriminator = DomainDiscriminator(
            self.mapped_dim, context.trial.discriminator_hidden
        )

    def domain_losses(self, outputs: Outputs, batch: TrainBatch, progress: float) -> Losses:
        lambda_ = self.adversarial_lambda(progress)
        source, target = outputs["source"].mapped, outputs["target"].mapped
        return {"domain": domain_loss(self.discriminator, source, target, lambda_)}
