"""scikit-learn's diabetes patients: ten numbers each, and how far the disease went in a year (Efron
et al. 2004)."""

import numpy as np

from raytl.data.importers.arranging import arranged
from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.inputs import array_input
from raytl.data.importers.split_rows import rows_of
from raytl.data.subsets import holdout
from raytl.modalities.table.column import Field, TableColumn
from raytl.seeds import seed_for
from raytl.tasks.columns import ValueColumn

TEST_SHARE = 100 / 442


def read_diabetes(source: str | None, options: ShardOptions) -> Imported:
    """Split into 342 training and 100 test rows, by bins of the value and seeded. The numbers are
    age (years), sex (1 or 2), body mass index, blood pressure (mm Hg) and six of blood serum, as
    they were measured."""
    # Imported here: it takes a second, which no other kind needs.
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    train, test = holdout(data.target, TEST_SHARE, seed_for(options.seed, "diabetes"))
    fields = tuple(Field(name=name, kind="number") for name in data.feature_names)
    columns = {"table": TableColumn(fields=fields), "progression": ValueColumn()}
    table = array_input(columns["table"], np.asarray(data.data, np.float64))
    splits = {
        name: rows_of({"table": table}, rows, {"progression": data.target}, None, options)
        for name, rows in [("train", train), ("test", test)]
    }
    return arranged(columns, splits, options)
