"""Training images for TensorBoard."""

from typing import Any

from raytl.config import Study
from raytl.data.domain import Domain
from raytl.modalities.image.column import ImageColumn

SHOWN = 16  # of each domain


def sample_images(study: Study) -> dict[str, Any]:
    """Return the first training images of each domain, as the shards hold them."""
    domains = {"source domain": study.source_domain, "target domain": study.target_domain}
    images = {}
    for name, domain in domains.items():
        if domain is not None:
            opened = Domain.open(domain)
            split = opened.split(domain.splits.train)
            for column, of in opened.columns.items():
                if isinstance(of, ImageColumn):
                    images[f"{name} {column}"] = split.read(column, range(min(SHOWN, split.rows)))
    return images
