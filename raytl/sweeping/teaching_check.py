"""Whether recipes with a teacher find a student, and a teacher that can teach."""

from raytl.config import Study
from raytl.errors import ConfigError
from raytl.modalities.column import Column
from raytl.models.source_spec import SourceSpec
from raytl.recipes import RECIPES
from raytl.recipes.teaching import TaughtRecipe
from raytl.search_space import SearchSpace
from raytl.tasks.base import Task
from raytl.tasks.registry import stored_task


def check_teachers(
    study: Study, space: SearchSpace, specs: dict[str, SourceSpec], target: Column
) -> None:
    """Raise ConfigError for the first trial whose recipe needs a student and has none, or a teacher
    that does not teach what the column `target` asks for. `specs`: of the source models, by
    name."""
    for name, teacher, student in space.combinations("recipe", "source_model", "student"):
        recipe = RECIPES[name]
        if not issubclass(recipe, TaughtRecipe):
            continue
        place = f"{'space' if 'recipe' in space.distributions else 'defaults'}.recipe"
        if student is None:
            raise ConfigError(
                f"{place}: recipe {name} needs student, the source model whose architecture "
                "learns, but trials with it have none; put one into defaults.student or "
                f"space.student, or leave {name} out"
            )
        wrong = recipe.not_taught(_task_of(study, teacher, specs[teacher]), target)
        if wrong is not None:
            raise ConfigError(
                f"{place}: recipe {name} needs a teacher that predicts what the target column asks "
                f"for, but of {teacher}: {wrong}; take another source model, or "
                "relational_distillation, or name in `when` what goes together"
            )


def _task_of(study: Study, name: str, spec: SourceSpec) -> Task | None:
    """Return what a teacher's head was trained for; None where it has none."""
    whole = study.source_models[name].path is not None and spec.complete
    return stored_task(spec.task) if whole and spec.task is not None else None
