"""What all sections of `fingan.yaml` share: their base and the type of durations."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    ValidationInfo,
    field_validator,
)

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(value: Any) -> Any:
    """Read `90`, `90s`, `10m`, `1.5h` or `1d` as seconds; other types pass to pydantic."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", value)
    if match is None:
        raise ValueError(f"cannot read the duration {value!r}; write 90s, 10m or 1.5h")
    return float(match[1]) * _UNITS[match[2] or "s"]


def duration_text(value: float) -> str:
    """Write seconds in the largest unit that divides them: 600 → `10m`."""
    for unit in ("d", "h", "m"):
        if value >= _UNITS[unit] and value % _UNITS[unit] == 0:
            return f"{_decimal(value / _UNITS[unit])}{unit}"
    return f"{_decimal(value)}s"


def _decimal(value: float) -> str:
    """Write a number without exponent, so that it reads back exactly."""
    text = format(Decimal(repr(float(value))), "f")
    return text.removesuffix(".0")


Duration = Annotated[
    float,
    BeforeValidator(seconds),
    Field(gt=0, allow_inf_nan=False),
    PlainSerializer(duration_text, when_used="json"),
]


def no_flag(value: object) -> None:
    """Refuse true and false where a number is meant: pydantic would read them as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("must be a number; yes, no, on and off are true and false")


def _types(annotation: Any) -> Iterator[Any]:
    """Yield what an annotation is made of: plain types, and what is annotated to them."""
    inner = typing.get_args(annotation)
    for part in inner:
        yield from _types(part)
    if not inner:
        yield annotation


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_no_flags(cls, value: Any, info: ValidationInfo) -> Any:
        found = set(_types(cls.model_fields[str(info.field_name)].annotation))
        # Strict numbers refuse them themselves.
        if not found.isdisjoint({int, float}) and found.isdisjoint({bool, Strict()}):
            for entry in value if isinstance(value, list | tuple) else (value,):
                no_flag(entry)
        return value
