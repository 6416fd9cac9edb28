"""Check the user's constraints against the schema and the training rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from fingan.config import Constraint, FixedCombinations, LessEqual, Range, Unique
from fingan.data.exact import outside_range
from fingan.data.schema import TableSchema
from fingan.encoding.base import one_chunk
from fingan.encoding.inequalities import broken, sort_keys
from fingan.encoding.relations import code_column
from fingan.errors import ConfigError, DataError
from fingan.types import Bool

NUMERIC_KINDS = ("number", "integer", "decimal")
TEMPORAL_KINDS = ("date", "timestamp")


def check_rules(table: pa.Table, schema: TableSchema, rules: Sequence[Constraint]) -> None:
    """Refuse rules that name unknown or unfit columns, or that the training rows break.

    Raises:
        ConfigError: an unknown column, or a kind of column that the rule does not apply to.
        DataError: rows that break the rule, with their number and the first of them.
    """
    for rule in rules:
        _check_kinds(schema, rule)
        wrong = _broken_rows(table, rule)
        if wrong.any():
            first = int(np.argmax(wrong))
            values = {name: table[name][first].as_py() for name in rule.columns}
            raise DataError(
                f"{int(wrong.sum())} of {len(wrong)} training rows break the constraint {rule}, the first is "
                f"row {first + 1} with {values!r}; correct or remove them, or drop the constraint"
            )


def _check_kinds(schema: TableSchema, rule: Constraint) -> None:
    specs = [schema.column(name) for name in rule.columns]
    if isinstance(rule, Unique) and specs[0].kind != "identifier":
        raise ConfigError(
            f"{rule}: unique is kept for identifier columns only, "
            f"{rule.column!r} is of kind {specs[0].kind!r}; "
            "set its kind to identifier in the schema if its values carry no information"
        )
    if isinstance(rule, LessEqual | Range):
        fitting = NUMERIC_KINDS + (TEMPORAL_KINDS if isinstance(rule, LessEqual) else ())
        for spec in specs:
            if spec.kind not in fitting:
                raise ConfigError(
                    f"{rule}: column {spec.name!r} is of kind {spec.kind!r}, the rule needs one of "
                    f"{', '.join(fitting)}; change the kind in the schema or drop the rule"
                )
    if isinstance(rule, LessEqual) and specs[0].type != specs[1].type:
        raise ConfigError(
            f"{rule}: the columns have the types {specs[0].type} and {specs[1].type}; "
            "give them one type in the schema"
        )
    if isinstance(rule, FixedCombinations):
        for spec in specs:
            if spec.kind == "identifier":
                raise ConfigError(f"{rule}: {spec.name!r} is an identifier, which is made anew; leave it out")


def _broken_rows(table: pa.Table, rule: Constraint) -> Bool:
    """Return which training rows break a rule [N]."""
    if isinstance(rule, LessEqual):
        return broken(rule, *(sort_keys(name, table[name]) for name in rule.columns))
    if isinstance(rule, Range):
        return outside_range(one_chunk(table[rule.column]), rule.minimum, rule.maximum)
    if isinstance(rule, Unique):
        coded = code_column(table[rule.column])
        repeated = (coded.sizes > 1)[coded.codes]
        present: Bool = one_chunk(table[rule.column]).is_valid().to_numpy(zero_copy_only=False)
        return repeated & present
    return np.zeros(table.num_rows, dtype=np.bool_)
