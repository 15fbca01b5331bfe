"""scikit-learn's handwritten digits: 1,797 images of 8 × 8 pixels (Alpaydin & Kaynak 1998)."""

import numpy as np

from raytl.data.importers.arranging import imported
from raytl.data.importers.base import Imported, ShardOptions
from raytl.seeds import seed_for

TEST_ROWS = 797


def read_digits(source: str | None, options: ShardOptions) -> Imported:
    """Split into 1,000 training and 797 test rows, stratified and seeded; 0..16 becomes 0..255."""
    # Imported here: it takes a second, which no other kind needs.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    pixels = (images.reshape(-1, 8, 8, 1) * (255 / 16)).round().astype(np.uint8)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_ROWS, stratify=labels,
        random_state=seed_for(options.seed, "digits"),
    )  # fmt: skip
    splits = {
        name: (pixels[rows], labels[rows]) for name, rows in [("train", train), ("test", test)]
    }
    return imported(splits, tuple(str(k) for k in range(10)), options)
