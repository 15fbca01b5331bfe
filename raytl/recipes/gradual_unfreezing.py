"""Gradual unfreezing."""

import math

from raytl.config import TrialConfig
from raytl.models.transfer_model import Block, TransferModel
from raytl.recipes.finetune import Finetune


class GradualUnfreezing(Finetune):
    """Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification", ACL,
    section 3.3: first mapper, head and the last block are trained, then one block more at a time
    until all that are not frozen are, after `probe_fraction` of the steps. Deviation: evenly by
    progress, not one block an epoch."""

    name = "gradual_unfreezing"
    reads = Finetune.reads | {"probe_fraction"}

    @classmethod
    def judged_after(cls, trial: TrialConfig) -> float:
        return trial.probe_fraction

    def held_blocks(self, model: TransferModel, progress: float) -> frozenset[Block]:
        blocks = model.trainable_blocks()
        stage = math.floor(progress / self.trial.probe_fraction * len(blocks))
        return frozenset(blocks[: max(0, len(blocks) - 1 - stage)])
