"""What the trials of a study share: its domains and source models, opened once a process."""

from dataclasses import dataclass

import numpy as np

from raytl.config import Study
from raytl.data.domain import Domain, Domains
from raytl.modalities.column import Values
from raytl.modalities.registry import modality_of
from raytl.models.opened_models import SourceModels
from raytl.seeds import seed_for
from raytl.training.published import NOTHING_SHARED, Shared
from raytl.training.splits import source_rows, target_rows


@dataclass(frozen=True)
class Material:
    """A study with its data open. `shared`: what its trials share of prefix features."""

    study: Study
    domains: Domains
    source_models: SourceModels
    shared: Shared = NOTHING_SHARED

    @classmethod
    def of(
        cls, study: Study, domains: Domains | None = None, shared: Shared = NOTHING_SHARED
    ) -> "Material":
        """Open what the study names, unless `domains` are open; raises what `Domain.open`
        raises."""
        domains = domains or open_domains(study)
        samples = Samples(domains, study.search.seed)
        models = SourceModels(study.source_models, domains.columns, samples)
        return cls(study, domains, models, shared)


def open_domains(study: Study) -> Domains:
    """Open both domains."""
    source = None if study.source_domain is None else Domain.open(study.source_domain)
    return Domains(Domain.open(study.target_domain), source)


@dataclass(frozen=True)
class Samples:
    """Values of training rows: those of the source domain, and of the target all that are not held
    out by the study's own draw. No label is read for it that the study may not use."""

    domains: Domains
    seed: int

    def __call__(self, column: str) -> Values:
        """Return the rows of both domains as the target's column holds them."""
        wanted = self.domains.columns[column]
        most = modality_of(wanted).most_fitted
        parts = []
        for domain, rows in self._rows():
            name = self.domains.column_in(domain, column)
            if name is not None:
                split = domain.split(domain.config.splits.train)
                values = split.read(name, self._drawn(rows, most))
                parts.append(wanted.converted(values, domain.columns[name]))
        return np.concatenate(parts)

    def _rows(self) -> list[tuple[Domain, np.ndarray]]:
        target, source = self.domains.target, self.domains.source
        found = [(target, target_rows(target, self.seed).unlabelled)]
        if source is not None:
            found.append((source, source_rows(source, self.seed).train))
        return found

    def _drawn(self, rows: np.ndarray, most: int) -> np.ndarray:
        generator = np.random.default_rng(seed_for(self.seed, "fitted rows"))
        return rows[np.sort(generator.permutation(len(rows))[:most])]
