"""Control: trained on the source domain alone, with no look at the target."""

from raytl.data.domains import TrainBatch
from raytl.errors import ConfigError
from raytl.models.transfer_model import TransferModel
from raytl.recipes.base import Losses, Recipe, Stream


class SourceOnly(Recipe):
    """What can be had without any adaptation: the source task's cross-entropy only."""

    name = "source_only"

    @classmethod
    def streams(cls, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
        if not has_source:
            raise ConfigError("recipe source_only needs a source_domain")
        return ("source",)

    def losses(self, model: TransferModel, batch: TrainBatch, progress: float) -> Losses:
        assert batch.source is not None and batch.source.y is not None
        return {"task": self.cross_entropy(model(batch.source.x).logits, batch.source.y)}
