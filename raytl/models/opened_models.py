"""A study's source models, opened once each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from raytl.config import SourceModelConfig
from raytl.modalities.base import Transform
from raytl.modalities.column import Column
from raytl.models.grafting import build_network
from raytl.models.seeding import seeded
from raytl.models.source_model import Samples, SourceModel, in_parts, load_source_model


@dataclass
class SourceModels:
    """A study's source models, each opened once. `clone` what is trained."""

    configs: Mapping[str, SourceModelConfig]
    columns: Mapping[str, Column]
    samples: Samples
    _opened: dict[tuple[str | int, ...], SourceModel] = field(default_factory=dict)
    _fitted: dict[str, dict[str, Transform]] = field(default_factory=dict)

    def open(self, name: str, seed: int) -> SourceModel:
        """Return a source model; fresh weights come from `seed`. Raises as `load_source_model`."""
        config, columns = self.configs[name], self.columns
        if config.parts is None:
            return self._once((name,), seed, lambda: self._loaded(name, config, columns, seed))

        def part(column: str, of: SourceModelConfig, its: int) -> SourceModel:
            one = {column: columns[column]}
            return self._once((name, column), its, lambda: self._loaded(name, of, one, its))

        parts = config.parts
        return self._once((name,), seed, lambda: in_parts(name, parts, columns, part, seed))

    def open_fresh(self, name: str, seed: int) -> SourceModel:
        """Return the same networks with random weights, from `seed`, and the same transforms."""
        model = self.open(name, seed)
        if not model.transferred:
            return model
        return self._once((name, "", "fresh"), seed, lambda: _fresh(model, seed))

    def _loaded(
        self, name: str, config: SourceModelConfig, columns: Mapping[str, Column], seed: int
    ) -> SourceModel:
        fitted = self._fitted.setdefault(name, {})
        return load_source_model(name, config, columns, self.samples, seed, fitted)

    def _once(
        self, key: tuple[str, ...], seed: int, load: Callable[[], SourceModel]
    ) -> SourceModel:
        """Return what was opened before: for any seed where none was needed, else for this one."""
        for_any: tuple[str | int, ...] = key
        for_seed: tuple[str | int, ...] = (*key, seed)
        for known in (for_any, for_seed):
            if known in self._opened:
                return self._opened[known]
        model = load()
        return self._opened.setdefault(for_seed if model.draws else for_any, model)


def _fresh(model: SourceModel, seed: int) -> SourceModel:
    parts = {}
    with seeded(seed):
        for name, part in model.parts.items():
            backbone = build_network(part.modality, part.backbone.name, part.transform, part.args)
            every = frozenset(range(len(backbone.blocks)))
            parts[name] = replace(part, backbone=backbone, fresh=every, draws=True)
    spec = model.spec.model_copy(update={"trained_on": None, "weights_sha256": None})
    return SourceModel(f"{model.name} (fresh)", parts, spec)
