"""Tables as fields of a dense row, and back.

Every column becomes numeric fields (a position in the column's own distribution) and
categorical fields (a code). `fit_encoder` learns how, and finds the relations that tie
columns; `TableEncoder` encodes, decodes and keeps relations and constraints in every row,
whatever the fields hold; `Where` and `from_gaps` say what is given of rows to generate.
"""

from fingan.encoding.base import ColumnEncoder, FieldSpec
from fingan.encoding.conditions import Where, from_gaps
from fingan.encoding.copies import CopyUnit
from fingan.encoding.fit import fit_encoder
from fingan.encoding.layout import Layout
from fingan.encoding.table import EncodedTable, Given, TableEncoder
from fingan.encoding.units import ColumnUnit, CompositeUnit, Unit, load_unit

__all__ = [
    "ColumnEncoder",
    "ColumnUnit",
    "CompositeUnit",
    "CopyUnit",
    "EncodedTable",
    "FieldSpec",
    "Given",
    "Layout",
    "TableEncoder",
    "Unit",
    "Where",
    "fit_encoder",
    "from_gaps",
    "load_unit",
]
