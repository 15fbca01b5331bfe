"""The target domain with nothing held out, for a last training when all is decided.

Legend: N rows, K of them known.
"""

from dataclasses import replace

import numpy as np

from raytl.config import TargetDomainConfig
from raytl.data.dataset import Dataset
from raytl.data.domain import Domain
from raytl.data.schema import SplitInfo, fingerprint_of
from raytl.data.subsets import labelled
from raytl.errors import ConfigError
from raytl.training.splits import regime, target_rows


class _NothingHeldOut(TargetDomainConfig):
    """A target domain of one split."""

    def read_splits(self) -> list[str]:
        return [self.splits.train]


def whole_target(domain: Domain, seed: int) -> Domain:
    """Return the target domain whose training split are the rows of all the splits that the study
    names. Learnt from is each whose label the study may know: with `labels: all` the test split's
    too, with N those that `seed` draws, the held-out ones included.

    Raises ConfigError with `labels: none`, DataError as `target_rows`.
    """
    config = regime(domain)
    if config.labels == "none":
        raise ConfigError(
            "target_domain.labels: none leaves no label that was held out, so that there is "
            "nothing more to learn from; best/ has learnt from all there is"
        )
    names = config.read_splits()
    infos = [domain.split(name).info for name in names]
    joined = SplitInfo(
        rows=sum(info.rows for info in infos),
        shards=tuple(shard for info in infos for shard in info.shards),
    )
    splits, columns = {config.splits.train: joined}, domain.dataset.info.columns
    info = domain.dataset.info.model_copy(
        update={"splits": splits, "fingerprint": fingerprint_of(columns, splits)}
    )
    whole = _NothingHeldOut(**dict(config))
    known = {name: _known(domain, name, seed) for name in names}
    starts_S = np.cumsum([0, *(info.rows for info in infos[:-1])])
    learnt_K = np.concatenate([start + known[n] for start, n in zip(starts_S, names, strict=True)])
    return replace(Domain.of(whole, Dataset(domain.dataset.path, info)), learnt_K=np.sort(learnt_K))


def _known(domain: Domain, split: str, seed: int) -> np.ndarray:
    """Return the rows of a split whose labels the study may know."""
    config = regime(domain)
    if config.labels == "all":
        return labelled(domain.targets(split))
    drawn = target_rows(domain, seed)
    parts = ((config.splits.train, drawn.labelled), (drawn.validation_split, drawn.validation))
    return np.concatenate([np.arange(0), *(rows for name, rows in parts if name == split)])
