"""Generators that stop making sound rows, as a test wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from fingan.generator import Generator
from fingan.service.deployment import Replica
from fingan.types import Json


def spoil(generator: Generator) -> Callable[[], None]:
    """Let a generator's network fail; return what mends it."""
    engine = generator.engine
    whole = engine._forward

    def broken(*arguments: Any, **named: Any) -> Any:
        raise RuntimeError("spoilt by the test")

    engine.__dict__["_forward"] = broken
    return lambda: engine.__dict__.update(_forward=whole)


def blur(generator: Generator) -> None:
    """Let a generator's numbers be none."""
    rows = generator.sample(8)
    for place, field in enumerate(rows.schema):
        if pa.types.is_floating(field.type):
            rows = rows.set_column(place, field, pa.array([float("nan")] * 8, field.type))
    generator.__dict__["sample"] = lambda *arguments, **named: rows


class SpoiltReplica(Replica):
    """Loads its models soundly and then makes no rows of them."""

    async def prepare(self, model: str) -> Json:
        found = await super().prepare(model)
        spoil(self._bench._sampler.served(model).generator)
        return found
