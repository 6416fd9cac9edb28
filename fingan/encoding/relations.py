"""Relations between columns that hold in the training rows: found here, kept by the encoder.

- *Functional dependency*: every level of one column comes with one value of another
  (education → education-num). Both become one categorical unit.
- *Equal columns*: a column repeats another one, in every row (an alias) or in a share of
  them (a payment that settles the bill). The share becomes a category of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.encoding.base import AnyArray, one_chunk
from fingan.rng import numpy_generator
from fingan.types import Bool, Float64, Int32, Int64

MIN_EQUAL_SHARE = 0.02
MIN_EQUAL_ROWS = 30
# How much more often than by chance, and than nearly, columns must be equal.
MIN_EQUAL_EXCESS = 5
MAX_SOURCES = 3
HEAVY_SHARE = 0.02
MIN_CONFLICTS = 100.0
MIN_MISMATCHES = 30.0
PROBE_ROWS = 5_000


@dataclass(frozen=True, eq=False)
class Coded:
    """A column as codes of its distinct values; null is a value.

    Attributes:
        codes: code of each row [N].
        count: number of distinct values.
        null: code of null; -1 where there is none.
    """

    codes: Int32
    count: int
    null: int = -1

    @cached_property
    def sizes(self) -> Int64:
        """Rows of each value [count]."""
        return np.bincount(self.codes, minlength=self.count)


@dataclass(frozen=True)
class EqualColumns:
    """`target` repeats one of `sources` in a share of the rows."""

    target: str
    sources: tuple[str, ...]


def code_column(array: AnyArray) -> Coded:
    """Number the distinct values of a column."""
    whole = one_chunk(array)
    encoded = whole.dictionary_encode(null_encoding="encode")
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    null = pc.index(encoded.dictionary.is_null(), True).as_py()
    return Coded(codes.astype(np.int32, copy=False), len(encoded.dictionary), null)


def _determines(a: Int32, b: Int32) -> bool:
    """Whether each code of `a` comes with one code of `b`."""
    first = np.zeros(int(a.max()) + 1, dtype=np.int32)
    first[a] = b
    return bool((first[a] == b).all())


def _expected_conflicts(a: Coded, b: Coded) -> float:
    """Return how many pairs of rows would break a → b if the columns were independent."""
    sizes, shares = a.sizes.astype(np.float64), b.sizes / b.codes.size
    return float((sizes * (sizes - 1) / 2).sum() * (1.0 - (shares**2).sum()))


def functional_dependencies(
    coded: Mapping[str, Coded], determinants: Iterable[str], candidates: Sequence[str]
) -> list[tuple[str, ...]]:
    """Find groups (a, b, …) in which column a determines every other column.

    A dependency counts when it holds in every row and would have been broken at least
    `MIN_CONFLICTS` times had the columns been independent, so that thin data prove nothing.

    Args:
        coded: the columns' codes.
        determinants: columns that may determine others (categorical ones); one with fewer
            than two rows per value determines nothing.
        candidates: columns that may be determined.

    Returns:
        Disjoint groups, the determining column first.
    """
    taken: set[str] = set()
    groups = []
    for name in sorted(determinants, key=lambda name: -coded[name].count):
        a = coded[name]
        if name in taken or a.count < 2 or a.count * 2 > a.codes.size:
            continue
        group = [name]
        for other in candidates:
            b = coded[other]
            if other == name or other in taken or not 2 <= b.count <= a.count:
                continue
            if not _determines(a.codes[:PROBE_ROWS], b.codes[:PROBE_ROWS]):
                continue
            if _expected_conflicts(a, b) >= MIN_CONFLICTS and _determines(a.codes, b.codes):
                group.append(other)
        if len(group) > 1:
            taken.update(group)
            groups.append(tuple(group))
    return groups


def heavy_values(column: AnyArray) -> pa.Array:
    """Return the values that hold at least `HEAVY_SHARE` of the rows: equality there proves nothing."""
    counted = pc.value_counts(one_chunk(column).drop_null())
    heavy = pc.greater_equal(counted.field("counts"), HEAVY_SHARE * len(column))
    return counted.field("values").filter(heavy)


def _repeats(target: Float64, source: Float64, shuffled: Int64, light: Bool) -> Bool | None:
    """Return the light rows in which the columns are equal [N]; None where that may be chance.

    Chance is what shuffled rows give. Two columns that merely run close together are nearly
    equal about as often as equal; one that repeats the other is not.
    """
    same: Bool = (target == source) & light
    equal = int(np.count_nonzero(same))
    if equal < _fewest(target.size):
        return None
    if equal < MIN_EQUAL_EXCESS * np.count_nonzero((target == source[shuffled]) & light):
        return None
    gaps = np.abs(target - source)[light & ~same]
    gaps = gaps[~np.isnan(gaps)]
    near = np.count_nonzero(gaps == gaps.min()) / 2 if gaps.size else 0
    return same if equal >= MIN_EQUAL_EXCESS * near else None


def _fewest(rows: int) -> float:
    """Return the number of equal rows that are worth a code of their own."""
    return max(MIN_EQUAL_ROWS, MIN_EQUAL_SHARE * rows)


def _sources(same: dict[str, Bool]) -> tuple[str, ...]:
    """Return the sources that explain most rows, each by rows that those before it do not explain."""
    chosen: list[str] = []
    while same and len(chosen) < MAX_SOURCES:
        best = max(same, key=lambda name: np.count_nonzero(same[name]))
        rows = same.pop(best)
        if np.count_nonzero(rows) < _fewest(rows.size):
            break
        chosen.append(best)
        same = {name: own & ~rows for name, own in same.items()}
    return tuple(chosen)


def equal_columns(table: pa.Table, coded: Mapping[str, Coded], names: Sequence[str]) -> list[EqualColumns]:
    """Find columns that repeat another one in a share of the rows.

    The column with more distinct values is the source: it is the better modelled one, and
    the order rules out cycles.

    Args:
        table: training rows.
        coded: the columns' codes.
        names: numeric columns.

    Returns:
        Targets after all their sources.
    """
    # NaN never equals anything, so missing values never count as a repeat.
    values: dict[str, Float64] = {
        name: one_chunk(table[name]).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        for name in names
    }
    shuffled = numpy_generator(0, "equal columns").permutation(table.num_rows)
    order = sorted(names, key=lambda name: -coded[name].count)
    found = []
    for position, target in enumerate(order):
        light = (coded[target].sizes < HEAVY_SHARE * table.num_rows)[coded[target].codes]
        same: dict[str, Bool] = {}
        for source in order[:position]:
            if table[source].type == table[target].type:
                rows = _repeats(values[target], values[source], shuffled, light)
                same |= {} if rows is None else {source: rows}
        if sources := _sources(same):
            found.append(EqualColumns(target, sources))
    return found


def aliases(table: pa.Table, coded: Mapping[str, Coded], names: Sequence[str]) -> dict[str, str]:
    """Return columns that equal an earlier column of their type in every row, with that column.

    A pair counts when independent columns of these values would have differed in at least
    `MIN_MISMATCHES` rows.
    """
    found: dict[str, str] = {}
    for position, name in enumerate(names):
        shares = coded[name].sizes / table.num_rows
        if table.num_rows * (1.0 - (shares**2).sum()) < MIN_MISMATCHES:
            continue
        for earlier in names[:position]:
            if earlier in found or coded[earlier].count != coded[name].count:
                continue
            if table[earlier].type == table[name].type and table[earlier].equals(table[name]):
                found[name] = earlier
                break
    return found
