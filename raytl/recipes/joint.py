"""Joint training of the source task and the target task."""

from torch import nn

from raytl.data.batch import TrainBatch
from raytl.models.transfer_model import TransferModel
from raytl.recipes.base import (
    Context,
    Losses,
    Recipe,
    Stream,
    both_labelled_streams,
    run_streams,
    task_losses,
)


class Joint(Recipe):
    """min over θ, φ of L_M(θ) + L_D(φ θ): the source task on the backbone θ through a linear head
    of its own, the target task through mapper and head φ on the same θ (multi-task learning,
    Caruana 1997). The two tasks may have different classes."""

    name = "joint"
    needs = frozenset({"numbers"})
    vectorises = True
    shares_classes = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        assert context.source_task is not None
        self.source_head = nn.Linear(context.model.feature_dim, context.source_task.out_dim)

    @classmethod
    def streams(cls, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
        return both_labelled_streams(cls.name, labelled, has_source)

    def losses(self, model: TransferModel, batch: TrainBatch, progress: float) -> Losses:
        outputs = run_streams(model, batch)
        source = batch.source
        assert source is not None and self.source_task is not None
        of_source = task_losses(
            self.source_task, self.trial, self.source_head(outputs["source"].features),
            source, self.source_head,
        )  # fmt: skip
        of_target = self.row_losses("labelled", outputs, batch)
        return {"source_task": of_source.mean(), "task": of_target.mean()}
