"""The rules a user can state about rows, as written in `data.constraints`.

Text forms: `a <= b`, `a < b`, `a >= b`, `0 <= a <= 10`, `a >= 0`, `unique(a)`,
`fixed(a, b)`; names with blanks or operators go in backquotes. Mapping forms:
`{less_equal: [a, b]}`, `{less: [a, b]}`, `{range: {column: a, min: 0, max: 10}}`,
`{fixed: [a, b]}`, `{unique: a}`.
"""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from fingan.config.section import no_flag

_NAME = r"(?:`[^`]+`|[^\s<>=(),`]+)"
_LARGEST = int(sys.float_info.max)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


def _quoted(name: str) -> str:
    """Return a column name as the text forms need it: in backquotes unless it is plain."""
    plain = re.fullmatch(_NAME, name) and not re.fullmatch(_NUMBER, name)
    return name if plain else f"`{name}`"


def _number(text: str) -> float:
    """Read a bound; a whole number stays whole, for a float may not hold it."""
    return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)


def _number_text(value: float) -> str:
    """Write a bound so that it reads back exactly."""
    return str(int(value)) if value == int(value) and abs(value) <= 2**53 else repr(value)


def _keep_exact(value: Any, read: ValidatorFunctionWrapHandler) -> float:
    """Keep an int that no float holds; read all else as a float."""
    no_flag(value)
    if isinstance(value, int) and abs(value) <= _LARGEST and float(value) != value:
        return value
    number: float = read(value)
    return number


# The serializer hands an int on as it is, where pydantic's own would round it.
_Bound = Annotated[float, WrapValidator(_keep_exact), PlainSerializer(lambda bound: bound)]


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LessEqual(_Rule):
    """`low <= high` in every row where both are present (`<` when strict)."""

    rule: Literal["less_equal"] = "less_equal"
    low: str
    high: str
    strict: bool = False

    @model_validator(mode="after")
    def _two_columns(self) -> LessEqual:
        if self.low == self.high:
            raise ValueError(f"{self.low!r} is compared with itself; name two columns")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the rule reads."""
        return (self.low, self.high)

    def __str__(self) -> str:
        return f"{_quoted(self.low)} {'<' if self.strict else '<='} {_quoted(self.high)}"


class Range(_Rule):
    """`minimum <= column <= maximum` in every row where the column is present."""

    rule: Literal["range"] = "range"
    column: str
    minimum: _Bound | None = None
    maximum: _Bound | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Range:
        if self.minimum is None and self.maximum is None:
            raise ValueError(f"range of {self.column!r} needs a minimum or a maximum")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"range of {self.column!r} is empty: {self.minimum} > {self.maximum}")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The column that the rule reads."""
        return (self.column,)

    def __str__(self) -> str:
        low = "" if self.minimum is None else f"{_number_text(self.minimum)} <= "
        high = "" if self.maximum is None else f" <= {_number_text(self.maximum)}"
        return f"{low}{_quoted(self.column)}{high}"


class FixedCombinations(_Rule):
    """Only combinations of these columns that occur in the training rows."""

    rule: Literal["fixed"] = "fixed"
    columns: tuple[str, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _different_columns(self) -> FixedCombinations:
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(f"fixed names a column twice: {list(self.columns)}")
        return self

    def __str__(self) -> str:
        return f"fixed({', '.join(map(_quoted, self.columns))})"


class Unique(_Rule):
    """No value twice; for identifier columns only."""

    rule: Literal["unique"] = "unique"
    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The column that the rule reads."""
        return (self.column,)

    def __str__(self) -> str:
        return f"unique({_quoted(self.column)})"


_PAIR = re.compile(rf"^({_NAME})\s*(<=|>=|<|>)\s*({_NAME})$")
_BETWEEN = re.compile(rf"^({_NUMBER})\s*<=\s*({_NAME})\s*<=\s*({_NUMBER})$")
_CALL = re.compile(rf"^(unique|fixed)\(\s*({_NAME}(?:\s*,\s*{_NAME})*)\s*\)$")


def _plain(name: str) -> str:
    return name.strip().strip("`")


def _from_pair(left: str, sign: str, right: str) -> dict[str, Any]:
    if sign in (">", ">="):
        left, right, sign = right, left, sign.replace(">", "<")
    if re.fullmatch(_NUMBER, left) and re.fullmatch(_NUMBER, right):
        raise ValueError(f"no column between {left} and {right}; backquote a column whose name is a number")
    if re.fullmatch(_NUMBER, right):
        if sign == "<":
            raise ValueError("a range is closed: write <= instead of <")
        return {"rule": "range", "column": _plain(left), "maximum": _number(right)}
    if re.fullmatch(_NUMBER, left):
        if sign == "<":
            raise ValueError("a range is closed: write <= instead of <")
        return {"rule": "range", "column": _plain(right), "minimum": _number(left)}
    return {"rule": "less_equal", "low": _plain(left), "high": _plain(right), "strict": sign == "<"}


def _from_text(text: str) -> dict[str, Any]:
    text = text.strip()
    if match := _BETWEEN.match(text):
        low, column, high = match.groups()
        return {"rule": "range", "column": _plain(column), "minimum": _number(low), "maximum": _number(high)}
    if match := _PAIR.match(text):
        return _from_pair(*match.groups())
    if match := _CALL.match(text):
        names = [_plain(n) for n in re.findall(_NAME, match[2])]
        if match[1] == "fixed":
            return {"rule": "fixed", "columns": names}
        if len(names) > 1:
            raise ValueError(f"unique takes one column, got {names}; write one rule per column")
        return {"rule": "unique", "column": names[0]}
    raise ValueError(
        f"cannot read the constraint {text!r}; write 'a <= b', '0 <= a <= 10', "
        "'fixed(a, b)' or 'unique(a)', with backquotes around names that hold blanks"
    )


def _from_mapping(value: dict[str, Any]) -> dict[str, Any]:
    if "rule" in value:
        return value
    name, body = next(iter(value.items())) if len(value) == 1 else (None, None)
    if name in ("less_equal", "less") and isinstance(body, list | tuple) and len(body) == 2:
        return {"rule": "less_equal", "low": body[0], "high": body[1], "strict": name == "less"}
    if name == "range" and isinstance(body, dict):
        long_names = {"min": "minimum", "max": "maximum"}
        return {"rule": "range", **{long_names.get(str(k), str(k)): v for k, v in body.items()}}
    if name == "fixed" and isinstance(body, list | tuple):
        return {"rule": "fixed", "columns": list(body)}
    if name == "unique" and isinstance(body, str):
        return {"rule": "unique", "column": body}
    raise ValueError(f"unknown constraint {value!r}; known: less_equal, less, range, fixed, unique")


def _parse(value: Any) -> Any:
    if isinstance(value, str):
        return _from_text(value)
    return _from_mapping(value) if isinstance(value, dict) else value


Constraint = Annotated[
    Annotated[LessEqual | Range | FixedCombinations | Unique, Field(discriminator="rule")],
    BeforeValidator(_parse),
]
