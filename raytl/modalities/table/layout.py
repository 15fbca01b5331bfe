"""Where each field stands in prepared rows.

Legend: B rows, N numbers, C categories.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Prepared rows are (B, 2·N + C), float32: the scaled numbers, whether each was missing (1 or
    0), the codes of the categories. Names are in the order of their columns."""

    numbers: tuple[str, ...]
    categories: tuple[tuple[str, tuple[str, ...]], ...]  # name, known categories: codes 2, 3, …

    @property
    def width(self) -> int:
        """2·N + C."""
        return 2 * len(self.numbers) + len(self.categories)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return x_BN, missing_BN and codes_BC, the last as whole numbers."""
        n = len(self.numbers)
        return x[:, :n], x[:, n : 2 * n], x[:, 2 * n :].long()
