"""Linear probing, then fine-tuning."""

from raytl.config import TrialConfig
from raytl.models.transfer_model import Block, TransferModel
from raytl.recipes.finetune import Finetune


class LpFt(Finetune):
    """Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform
    Out-of-Distribution", ICLR: mapper and head alone until `probe_fraction` of the steps, then
    everything that is not frozen. Deviation: one learning-rate schedule over both stages."""

    name = "lp_ft"
    reads = Finetune.reads | {"probe_fraction"}

    @classmethod
    def judged_after(cls, trial: TrialConfig) -> float:
        return trial.probe_fraction

    def held_blocks(self, model: TransferModel, progress: float) -> frozenset[Block]:
        probing = progress < self.trial.probe_fraction
        return frozenset(model.trainable_blocks()) if probing else frozenset()
