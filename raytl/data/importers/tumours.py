"""scikit-learn's breast tumours (Wolberg et al. 1993): 569 with 30 measurements each, malignant or
benign. SOURCE is `small` or `large`: the half of the tumours below the median radius, or above."""

import numpy as np

from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.on_the_spot import domain_of, in_memory
from raytl.modalities.table.column import Field, TableColumn
from raytl.seeds import seed_for
from raytl.tasks.columns import LabelColumn

DOMAINS = ("small", "large")
TEST_SHARE = 0.5


def read_tumours(source: str | None, options: ShardOptions) -> Imported:
    """Split a half into training and test rows, stratified and seeded."""
    domain = domain_of("tumours", source, DOMAINS)
    # Imported here: it takes a second, which few kinds need.
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    data = load_breast_cancer()
    names = [str(name) for name in data.feature_names]
    radii = data.data[:, names.index("mean radius")]
    rows = np.flatnonzero((radii >= np.median(radii)) == (domain == "large"))
    train, test = train_test_split(
        rows, test_size=TEST_SHARE, stratify=data.target[rows],
        random_state=seed_for(options.seed, "tumours", domain),
    )  # fmt: skip
    columns = {
        "table": TableColumn(fields=tuple(Field(name=name, kind="number") for name in names)),
        "label": LabelColumn(classes=tuple(str(name) for name in data.target_names)),
    }
    values = np.asarray(data.data, np.float64)
    splits = {
        name: {"table": values[of_split], "label": data.target[of_split]}
        for name, of_split in [("train", train), ("test", test)]
    }
    return in_memory(columns, splits)
