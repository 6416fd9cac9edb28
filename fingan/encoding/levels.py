"""A column of few distinct numbers as one category field: a code for each value.

Also the form of a constant column (one code) and of a column without any value (one
code, which means null).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np

from fingan.encoding.base import Arrays, FieldSpec, Values
from fingan.errors import DataError
from fingan.types import Bool, Int32, Int64, Json

CODES_AT_MOST = 20


class NumericLevels:
    """Ascending values with their training counts; null, where seen, is the last code.

    Args:
        values: [L] ascending int64 or float64; may be empty.
        counts: [L] training rows of each value.
        missing: training rows that are null.
    """

    def __init__(self, values: Values, counts: Int64, missing: int) -> None:
        self.values, self.counts, self.missing = values, counts, missing
        self._null = len(values)
        # One slot for null, so that a gather needs no branch; zero where nothing else was seen.
        self._lookup = np.append(values, values[:1] if len(values) else np.zeros(1, values.dtype))

    def spec(self, name: str) -> FieldSpec:
        """Return the category field of these levels."""
        return FieldSpec.category(name, np.append(self.counts, [self.missing] * (self.missing > 0)))

    def codes(self, values: Values, missing: Bool) -> Int32:
        """Return [N] the code of each value, the nearest level's where it is not a level.

        Raises:
            DataError: a missing value where the training rows had none, or the reverse in a
                column that had nothing but missing values.
        """
        if missing.any() and not self.missing:
            raise DataError("a missing value, but the training rows have none; fill it or train with nulls")
        if not self._null and not missing.all():
            bad = values[~missing][0].item()
            raise DataError(f"{bad!r} in a column that was all null in training; train with such rows")
        if not self._null:
            return np.zeros(len(values), dtype=np.int32)
        above = np.searchsorted(self.values, values).clip(max=self._null - 1)
        below = np.maximum(above - 1, 0)
        # Halves, since a difference of two extremes would overflow.
        nearer_below = values / 2 - self.values[below] / 2 < self.values[above] / 2 - values / 2
        exact = self.values[above] == values
        codes = np.where(nearer_below & ~exact, below, above)
        return np.where(missing, self._null, codes).astype(np.int32)

    def decode(self, codes: np.ndarray) -> tuple[Values, Bool]:
        """Return [B] values and [B] missing flags of codes [B]."""
        return self._lookup[codes], codes == self._null

    def state(self) -> tuple[Json, Arrays]:
        """Return the JSON object and arrays that `from_state` takes."""
        return {"missing": self.missing}, {"levels": self.values, "counts": self.counts}

    @classmethod
    def from_state(cls, document: Json, arrays: Mapping[str, np.ndarray]) -> Self:
        """Rebuild from `state`."""
        return cls(arrays["levels"], arrays["counts"], int(document["missing"]))
