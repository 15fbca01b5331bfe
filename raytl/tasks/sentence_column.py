"""Sentences that are to be said of a row: its translation, say. No torch here.

Legend: N rows.
"""

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from raytl.config import TaskName
from raytl.modalities.column import Values
from raytl.modalities.text.column import StringColumn


class SentenceColumn(StringColumn):
    """A target of Unicode strings: in memory an array of objects (N,), each a `str`. With `nulls`
    some rows may have none: None."""

    is_target: ClassVar[bool] = True
    task: ClassVar[TaskName] = "translation"
    kind: Literal["sentence"] = "sentence"
    nulls: bool = False

    @property
    def may_lack(self) -> bool:
        return self.nulls

    def check(self, values: Values) -> None:
        super().check(np.where(self.there(values), values, "") if self.nulls else values)

    def verify(self, array: pa.Array) -> None:
        super().verify(array.fill_null("") if self.nulls else array)

    def there(self, values: Values) -> np.ndarray:
        return np.array([value is not None for value in values], dtype=bool)
