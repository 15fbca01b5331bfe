"""scikit-learn's diabetes patients (Efron et al. 2004): 442 with ten measurements each, and how far
the disease went in a year. SOURCE is `younger` or `older`: below the median age, or not."""

import numpy as np

from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.on_the_spot import domain_of, in_memory
from raytl.modalities.table.column import Field, TableColumn
from raytl.seeds import seed_for
from raytl.tasks.columns import ValueColumn

DOMAINS = ("younger", "older")
TEST_SHARE = 0.5


def read_diabetes_ages(source: str | None, options: ShardOptions) -> Imported:
    """Split a half into training and test rows by seed. Numbers are as they were measured, sex is
    coded 1 and 2."""
    domain = domain_of("diabetes-ages", source, DOMAINS)
    # Imported here: it takes a second, which few kinds need.
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    names = [str(name) for name in data.feature_names]
    ages = data.data[:, names.index("age")]
    rows = np.flatnonzero((ages >= np.median(ages)) == (domain == "older"))
    generator = np.random.default_rng(seed_for(options.seed, "diabetes ages", domain))
    rows, held = generator.permutation(rows), round(len(rows) * TEST_SHARE)
    columns = {
        "table": TableColumn(fields=tuple(Field(name=name, kind="number") for name in names)),
        "progression": ValueColumn(),
    }
    values = np.asarray(data.data, np.float64)
    splits = {
        name: {"table": values[of_split], "progression": data.target[of_split]}
        for name, of_split in [("train", rows[held:]), ("test", rows[:held])]
    }
    return in_memory(columns, splits)
