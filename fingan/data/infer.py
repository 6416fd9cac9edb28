"""Inferring a schema: the type gives the kind, and identifiers are recognised by their values."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from fingan.data.clean import column_names
from fingan.data.kinds import ORDERED_KINDS, ColumnKind, bound_text, kinds_for
from fingan.data.schema import ColumnSpec, TableSchema
from fingan.errors import ConfigError, DataError, nearest

DISTINCT_AT_LEAST = 20
NEARLY_DISTINCT_SHARE = 0.98
NEARLY_DISTINCT_AT_LEAST = 1000
# The first name something that exists; the others may also count or measure it.
_REFERENCE_WORDS = frozenset({"id", "uuid", "guid", "key"})
_ID_WORDS = _REFERENCE_WORDS | {"no", "number", "index", "row"}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def infer_schema(table: pa.Table, target: str | None = None) -> TableSchema:
    """Return the schema of a table as `read_table` gives it.

    Identifiers are text columns whose values are all distinct (from 20 values on; from 1,000 on,
    98 % distinct), and integer columns whose values are all distinct and which either have the
    name of an identifier or are a run of 20 or more consecutive numbers. Nulls do not count as
    values; where there are some, 20 values are needed in any case. Integers named as a reference
    (`CUSTOMER_ID`) that come again and again are categories.

    Args:
        table: rows to look at; one is enough.
        target: the label column, which is never taken for an identifier.

    Raises:
        ConfigError: the target is not a column; names the nearest one.
        DataError: a column name or type that cannot be used.
    """
    names = column_names(table)
    if target is not None and target not in names:
        raise ConfigError(f"unknown target column {target!r}.{nearest(target, names)}")
    if not names:
        raise DataError("the table has no columns")
    return TableSchema(columns=tuple(_spec(n, table.column(i), n == target) for i, n in enumerate(names)))


def _spec(name: str, column: pa.ChunkedArray, is_target: bool) -> ColumnSpec:
    try:
        kind: ColumnKind = kinds_for(column.type)[0]
    except DataError as error:
        raise DataError(f"column {name!r}: {error}") from error
    if not is_target and is_identifier(name, column):
        kind = "identifier"
    elif kind == "integer" and not is_target and len(column) > 1 and _last_word(name) in _REFERENCE_WORDS:
        kind = "category"
    low, high = _range(column) if kind in ORDERED_KINDS else (None, None)
    return ColumnSpec(
        name=name, kind=kind, type=str(column.type), nullable=column.null_count > 0, minimum=low, maximum=high
    )


def _range(column: pa.ChunkedArray) -> tuple[str | None, str | None]:
    extremes = pc.min_max(column)
    return bound_text(extremes["min"]), bound_text(extremes["max"])


def is_identifier(name: str, column: pa.ChunkedArray) -> bool:
    """Return whether a column only tells rows apart.

    Args:
        name: column name.
        column: its values; see `infer_schema` for the rule.
    """
    present = column.drop_null()
    rows = len(present)
    if rows < (DISTINCT_AT_LEAST if column.null_count else 2):
        return False
    if pt.is_string(column.type):
        return _tells_apart(present, rows)
    if not pt.is_integer(column.type):
        return False
    run = rows >= DISTINCT_AT_LEAST and _span(present) == rows - 1
    return (run or has_id_name(name)) and pc.count_distinct(present).as_py() == rows


def _tells_apart(column: pa.ChunkedArray, rows: int) -> bool:
    if rows < DISTINCT_AT_LEAST:
        return False
    distinct: int = pc.count_distinct(column).as_py()
    nearly = rows >= NEARLY_DISTINCT_AT_LEAST and distinct >= NEARLY_DISTINCT_SHARE * rows
    return distinct == rows or nearly


def _span(column: pa.ChunkedArray) -> int:
    extremes = pc.min_max(column)
    return int(extremes["max"].as_py()) - int(extremes["min"].as_py())


def has_id_name(name: str) -> bool:
    """Return whether a name ends in a word such as id, key or number (`TX_ID`, `accountId`, `row`)."""
    return _last_word(name) in _ID_WORDS


def _last_word(name: str) -> str:
    words = _WORDS.findall(name)
    return words[-1].lower() if words else ""
