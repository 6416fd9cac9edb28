"""The schema of a table: one spec per column, kept as editable YAML."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from fingan.data.kinds import KINDS, ColumnKind, bound_text, kinds_for, parse_bound, parse_type
from fingan.errors import ConfigError, nearest
from fingan.types import Json

_HEADER = """\
# The columns of the table, in order. You may edit kind, nullable, minimum and maximum,
# and delete the line of a column that the model shall not have. Kinds:
#   number, integer, decimal   quantities; the type says how they are stored
#   boolean, category          one of the values seen in training
#   date, timestamp            moments; a zone is kept
#   identifier                 never learned: new unique values are made up
# nullable: true allows missing values. minimum and maximum are what the training data
# hold; with strict: true, data outside them are an error, otherwise only a note.
"""
_NULLS = ("", "~", "null")


class ColumnSpec(BaseModel):
    """One column: how it is stored and how it is understood."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="column name")
    kind: ColumnKind = Field(description="how the values are understood")
    type: str = Field(description="Arrow type in text form, such as int64 or timestamp[us, tz=UTC]")
    nullable: bool = Field(False, description="whether missing values are allowed")
    minimum: str | None = Field(None, description="smallest value in training, as text of the type")
    maximum: str | None = Field(None, description="largest value in training, as text of the type")

    @field_validator("type")
    @classmethod
    def _known_type(cls, text: str) -> str:
        return str(parse_type(text))

    @field_validator("minimum", "maximum")
    @classmethod
    def _one_spelling(cls, text: str | None, info: ValidationInfo) -> str | None:
        # 1.0e+22 and 1e22 are one bound: the fingerprint must not tell them apart.
        if text is None or "type" not in info.data:
            return text
        return bound_text(parse_bound(text, parse_type(info.data["type"])))

    @model_validator(mode="after")
    def _kind_fits(self) -> ColumnSpec:
        fitting = kinds_for(self.arrow_type)
        if self.kind not in fitting:
            raise ValueError(
                f"kind {self.kind!r} does not fit type {self.type}; choose one of {', '.join(fitting)}"
            )
        low, high = self.bounds()
        if low is not None and high is not None and pc.greater(low, high).as_py():
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        return self

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type itself."""
        return parse_type(self.type)

    def bounds(self) -> tuple[pa.Scalar | None, pa.Scalar | None]:
        """Return minimum and maximum as scalars of the column's type, None where not stated."""
        type_ = self.arrow_type
        low = None if self.minimum is None else parse_bound(self.minimum, type_)
        high = None if self.maximum is None else parse_bound(self.maximum, type_)
        return low, high


class TableSchema(BaseModel):
    """The columns of a table, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(1, ge=1, le=1, description="version of this format")
    strict: bool = Field(False, description="whether values outside minimum and maximum are an error")
    columns: tuple[ColumnSpec, ...] = Field(min_length=1, description="one spec per column, in order")

    @model_validator(mode="after")
    def _names_differ(self) -> TableSchema:
        repeated = sorted({n for n in self.names if self.names.count(n) > 1})
        if repeated:
            raise ValueError(f"column {repeated[0]!r} appears twice; column names must differ")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The column names, in order."""
        return tuple(spec.name for spec in self.columns)

    def column(self, name: str) -> ColumnSpec:
        """Return the spec of one column.

        Raises:
            ConfigError: no such column; names the nearest one.
        """
        for spec in self.columns:
            if spec.name == name:
                return spec
        raise ConfigError(f"unknown column {name!r}.{nearest(str(name), self.names)}")

    def select(self, names: Iterable[str]) -> TableSchema:
        """Return the schema of these columns, in the order given.

        Raises:
            ConfigError: an unknown column, none at all, or one named twice.
        """
        chosen = tuple(self.column(name) for name in names)
        try:
            return TableSchema(version=self.version, strict=self.strict, columns=chosen)
        except ValidationError as error:
            raise ConfigError(f"cannot select columns: {_reasons(error)}") from error

    def kept(self, names: Sequence[str]) -> list[str]:
        """Return the columns of a table that the schema has; all of them where the table lacks one."""
        own = set(self.names)
        return [name for name in names if name in own] if own <= set(names) else list(names)

    def arrow(self) -> pa.Schema:
        """Return the Arrow schema that `conform` gives and a generator writes."""
        return pa.schema([pa.field(c.name, c.arrow_type, nullable=c.nullable) for c in self.columns])

    def fingerprint(self) -> str:
        """Return the sha256 (hex) of everything the schema says."""
        text = json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def to_mapping(self) -> Json:
        """Return plain values for JSON or YAML; what is at its default is left out of a column."""
        columns = [spec.model_dump(mode="json", exclude_defaults=True) for spec in self.columns]
        return {"version": self.version, "strict": self.strict, "columns": columns}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> TableSchema:
        """Build a schema from plain values, strictly.

        Raises:
            ConfigError: an unknown key or kind (with the nearest known one), a kind that does
                not fit its type, a repeated name, or a value that cannot be read.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"a schema is a mapping with 'columns', not {type(values).__name__}")
        _check_keys(values, TableSchema, "the schema")
        columns = values.get("columns")
        if not isinstance(columns, list | tuple):
            raise ConfigError("a schema needs 'columns': a list of mappings, one for each column")
        specs = tuple(_column(number, column) for number, column in enumerate(columns, start=1))
        try:
            return cls.model_validate({**values, "columns": specs})
        except ValidationError as error:
            raise ConfigError(f"invalid schema: {_reasons(error)}") from error

    def to_yaml(self) -> str:
        """Return YAML with one line per column, which `from_yaml` reads back to an equal schema."""
        lines = [f"version: {self.version}", f"strict: {str(self.strict).lower()}", "columns:"]
        lines += [f"  - {_flow(spec)}" for spec in self.columns]
        return _HEADER + "\n".join(lines) + "\n"

    @classmethod
    def from_yaml(cls, text: str) -> TableSchema:
        """Read a schema from YAML, strictly.

        Raises:
            ConfigError: not YAML, or not a schema (see `from_mapping`).
        """
        try:
            # Every scalar is read as text, so that names such as 1, no and null need no quotes.
            values = yaml.BaseLoader(text).get_single_data()
        except yaml.YAMLError as error:
            raise ConfigError(f"the schema is not YAML: {error}") from error
        return cls.from_mapping(values)

    @classmethod
    def read(cls, path: str | Path) -> TableSchema:
        """Read `schema.yaml`.

        Raises:
            ConfigError: unreadable, or not a schema; names the path.
        """
        try:
            return cls.from_yaml(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the schema {str(path)!r}: {error}") from error
        except ConfigError as error:
            raise ConfigError(f"{str(path)!r}: {error}") from error


def _check_keys(values: Mapping[str, Any], model: type[BaseModel], where: str) -> None:
    for key in values:
        if key not in model.model_fields:
            raise ConfigError(f"unknown key {key!r} in {where}.{nearest(str(key), model.model_fields)}")


def _column(number: int, values: Any) -> ColumnSpec:
    """Read one column's mapping; `number` counts from 1 and stands in where the name is missing."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"column {number} of the schema must be a mapping, got {values!r}")
    where = f"column {values['name']!r}" if values.get("name") else f"column {number}"
    _check_keys(values, ColumnSpec, where)
    kind = values.get("kind")
    if kind is not None and kind not in KINDS:
        hint = nearest(str(kind), KINDS) or f" Known: {', '.join(KINDS)}"
        raise ConfigError(f"unknown kind {kind!r} of {where}.{hint}")
    stated = {k: v for k, v in values.items() if not (k in ("minimum", "maximum") and v in _NULLS)}
    try:
        return ColumnSpec.model_validate(stated)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_reasons(error)}") from error


def _reasons(error: ValidationError) -> str:
    parts = []
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"])
        reason = item["msg"].removeprefix("Value error, ")
        parts.append(f"{place}: {reason}" if place else reason)
    return "; ".join(parts)


def _flow(spec: ColumnSpec) -> str:
    """Write a column as a YAML mapping on one line."""
    values = spec.model_dump(mode="json", exclude_defaults=True)
    for key in {"minimum", "maximum"} & values.keys():
        values[key] = _unquoted(values[key], spec.arrow_type)
    return yaml.safe_dump(
        values, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")
    ).strip()


def _unquoted(text: str, type_: pa.DataType) -> Any:
    """Return a bound as the Python value that YAML writes without quotes, where there is one."""
    if pa.types.is_integer(type_):
        return int(text)
    if pa.types.is_floating(type_):
        return float(text)
    return pa.scalar(text).cast(type_).as_py() if pa.types.is_date32(type_) else text
