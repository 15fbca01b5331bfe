"""Joint training of the source task and the target task."""

from torch import nn

from raytl.data.domains import TrainBatch
from raytl.models.transfer_model import TransferModel
from raytl.recipes.base import Context, Losses, Recipe, Stream, both_labelled_streams, run_streams


class Joint(Recipe):
    """min over θ, φ of L_M(θ) + L_D(φ θ): the source task on the backbone θ through a linear head
    of its own, the target task through mapper and head φ on the same θ (multi-task learning,
    Caruana 1997). The two tasks may have different classes."""

    name = "joint"
    vectorises = True
    shares_classes = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        assert context.num_source_classes is not None
        dim = context.model.backbone.feature_dim
        self.source_head = nn.Linear(dim, context.num_source_classes)

    @classmethod
    def streams(cls, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
        return both_labelled_streams(cls.name, labelled, has_source)

    def losses(self, model: TransferModel, batch: TrainBatch, progress: float) -> Losses:
        outputs = run_streams(model, batch)
        source, target = batch.source, batch.labelled
        assert source is not None and source.y is not None
        assert target is not None and target.y is not None
        return {
            "source_task": self.cross_entropy(
                self.source_head(outputs["source"].features), source.y
            ),
            "task": self.cross_entropy(outputs["labelled"].logits, target.y),
        }
