"""Knowledge distillation.

Legend: B target rows, K classes.
"""

from torch import Tensor
from torch.nn import functional as F

from raytl.data.batch import TrainBatch
from raytl.errors import ConfigError
from raytl.modalities.column import Column
from raytl.models.transfer_model import TransferModel
from raytl.recipes.base import Context, Losses, run_streams
from raytl.recipes.teaching import TaughtRecipe
from raytl.tasks.base import Task


def distillation_loss(student_BK: Tensor, teacher_BK: Tensor, temperature: float) -> Tensor:
    """T²·KL(softmax(teacher / T) ‖ softmax(student / T)), mean over rows."""
    return temperature**2 * F.kl_div(
        F.log_softmax(student_BK / temperature, dim=1), F.log_softmax(teacher_BK / temperature, 1),
        reduction="batchmean", log_target=True,
    )  # fmt: skip


class Distillation(TaughtRecipe):
    """Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", section 2: the student
    learns the teacher's tempered predictions on the target's images, and the labels where there
    are any. L = L_task + w·L_distillation, w the `distillation_weight`; as in the paper, the soft
    part is multiplied by T². The teacher needs a head for the target's classes.

    Of values, which have no temperature, L_distillation is the task's own squared error to the
    teacher's values (as Chen et al. 2017, "Learning Efficient Object Detection Models with
    Knowledge Distillation", section 3.3, without their bound)."""

    name = "distillation"
    reads = TaughtRecipe.reads | {"distillation_temperature", "distillation_weight"}
    needs = frozenset({"numbers"})
    asks_teacher = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        wrong = self.not_taught(self.teacher.task, context.task.column)
        if wrong is not None:
            raise ConfigError(
                "recipe distillation needs a teacher that predicts what the target column asks "
                f"for, but of {context.trial.source_model}: {wrong}; use relational_distillation"
            )

    @classmethod
    def not_taught(cls, task: Task | None, column: Column) -> str | None:
        return "it has no head" if task is None else task.mismatch(column)

    def losses(self, model: TransferModel, batch: TrainBatch, progress: float) -> Losses:
        outputs = run_streams(model, batch)
        assert batch.target is not None
        taught = self.teacher(batch.target).out
        losses = {"distillation": self._distillation(outputs["target"].out, taught)}
        return losses | ({"task": self.task_loss(outputs, batch)} if batch.labelled else {})

    def _distillation(self, student_BK: Tensor, teacher_BK: Tensor) -> Tensor:
        if "values" in self.task.gives:
            assert self.teacher.task is not None
            value_B = self.teacher.task.predict(teacher_BK).answer
            return self.task.loss(student_BK, value_B).mean()
        return distillation_loss(student_BK, teacher_BK, self.trial.distillation_temperature)

    def total(self, losses: Losses, progress: float) -> Tensor:
        soft = self.trial.distillation_weight * losses["distillation"]
        return soft + losses["task"] if "task" in losses else soft
