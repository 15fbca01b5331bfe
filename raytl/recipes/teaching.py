"""What the recipes with a teacher share: the source model teaches a student of another
architecture (heterogeneous transfer)."""

from torch import nn

from raytl.errors import ConfigError
from raytl.modalities.column import Column
from raytl.recipes.base import Context, Recipe, Stream, Teacher
from raytl.tasks.base import Task


class TaughtRecipe(Recipe):
    """Reads the unlabelled target, and its labelled rows where there are any. The teacher is
    fixed and sees the target's images in its own size and normalisation."""

    uses_student = True
    reads = frozenset({"student"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        if context.teacher is None:
            raise ConfigError(
                f"recipe {self.name} needs student: the source model whose architecture learns"
            )
        # Not a submodule: the teacher is not trained, and every checkpoint would hold it.
        self._teachers: list[Teacher] = [context.teacher]

    @property
    def teacher(self) -> Teacher:
        return self._teachers[0]

    @classmethod
    def not_taught(cls, task: Task | None, column: Column) -> str | None:
        """Return why a teacher whose head was trained for `task` (None: it has no head) cannot
        teach what the target column asks for, a sentence; None where it can."""
        return None

    def _apply(self, fn, recurse: bool = True) -> "nn.Module":  # type: ignore[no-untyped-def]
        self.teacher.network._apply(fn, recurse)
        return super()._apply(fn, recurse)

    @classmethod
    def streams(cls, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
        return ("target", "labelled") if labelled else ("target",)
