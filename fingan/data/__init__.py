"""Tables: reading, schemas, drift, splits and streaming output."""

from fingan.data.clean import require_rows
from fingan.data.demo import GERMAN_CREDIT, LENDING, DemoTable, demo_table_path
from fingan.data.drift import check_table, conform, range_notes
from fingan.data.infer import infer_schema
from fingan.data.kinds import ColumnKind
from fingan.data.schema import ColumnSpec, TableSchema
from fingan.data.sink import Sink, open_sink
from fingan.data.source import data_name, read_conformed, read_table
from fingan.data.split import split_rows

__all__ = [
    "GERMAN_CREDIT",
    "LENDING",
    "ColumnKind",
    "ColumnSpec",
    "DemoTable",
    "Sink",
    "TableSchema",
    "check_table",
    "conform",
    "data_name",
    "demo_table_path",
    "infer_schema",
    "open_sink",
    "range_notes",
    "read_conformed",
    "read_table",
    "require_rows",
    "split_rows",
]
