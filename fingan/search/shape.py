"""The shape of a table, by which settings that worked for one are offered to another."""

from __future__ import annotations

from fingan.data.kinds import ORDERED_KINDS
from fingan.data.schema import TableSchema
from fingan.types import Json


def shape_of(schema: TableSchema, rows: int) -> Json:
    """Return `rows`, `columns`, and `categories`: the share of columns that are no numbers or dates."""
    kinds = [spec.kind for spec in schema.columns]
    ordered = sum(kind in ORDERED_KINDS for kind in kinds)
    return {"rows": rows, "columns": len(kinds), "categories": round(1.0 - ordered / len(kinds), 3)}
