"""What a caller asks for, checked against the model before any work."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fingan
from fingan.cluster.bulk.partitions import MOST_PARTS, Request
from fingan.encoding.conditions import Where
from fingan.errors import ConfigError, nearest
from fingan.generator import Generator, load
from fingan.registry import Registry, is_url


@dataclass(frozen=True)
class Sample:
    """The rows that a caller asks for; see `sample_partitions` for the attributes."""

    rows: int
    where: Mapping[str, Any] | None
    seed: int
    offset: int
    candidates: int | None
    columns: Sequence[str] | None
    partition_rows: int
    digest: str | None = None

    def checked(
        self, registry: str | Path, reference: str, say: Callable[[str], None]
    ) -> tuple[Generator, Request]:
        """Load the model and check the rest against it.

        Raises:
            ConfigError, ConditionError, NotFound: for what does not fit.
        """
        check_count("rows", self.rows, 1)
        check_count("partition_rows", self.partition_rows, 1)
        if -(-self.rows // self.partition_rows) > MOST_PARTS:
            raise ConfigError(
                f"{self.rows:,} rows in parts of {self.partition_rows:,} make more than {MOST_PARTS:,} "
                "parts; raise partition_rows"
            )
        store = Registry(registry)
        ref = store.resolve(reference)
        digest = store.show(ref)["manifest"]["digest"]
        if self.digest not in (None, digest):
            raise ConfigError(
                f"digest: {ref} was replaced since these rows were asked for: it has {digest[:12]}… and not "
                f"{str(self.digest)[:12]}…; ask for the rows anew"
            )
        say(f"loading {ref}")
        generator = load(store.fetch(ref))
        # It checks what it is asked for at once, and makes no row until somebody reads them.
        generator.iter_batches(self.rows, self.where, self.seed, self.offset, 1, self.candidates)
        request = Request(
            model=ref.name,
            version=ref.version,
            digest=digest,
            rows=self.rows,
            seed=self.seed,
            offset=self.offset,
            where=self._conditions(generator),
            columns=self._columns(generator.schema.names),
            candidates=self._candidates(generator),
            partition_rows=self.partition_rows,
            fingan=fingan.__version__,
        )
        return generator, request

    def _conditions(self, generator: Generator) -> dict[str, object]:
        """Return the condition as JSON has it, the same for the text and the value of a number."""
        if not self.where:
            return {}
        constants = Where.parse(generator.engine.encoder, self.where).constants
        values = {name: scalar.as_py() for name, scalar in constants.items()}
        plain = (bool, int, float, str, type(None))
        return {name: v if isinstance(v, plain) else str(v) for name, v in sorted(values.items())}

    def _columns(self, names: Sequence[str]) -> list[str]:
        chosen = list(names if self.columns is None else self.columns)
        if not chosen:
            raise ConfigError("columns names none; leave it out for all of them")
        for place, name in enumerate(chosen):
            if name not in names:
                raise ConfigError(f"unknown column {name!r}.{nearest(str(name), names)}")
            if name in chosen[:place]:
                raise ConfigError(f"columns names {name!r} twice")
        return chosen

    def _candidates(self, generator: Generator) -> int:
        """Return how many candidates a row is chosen from, as the generator does."""
        if generator.density is None:
            return 1
        return generator.config.sampling.candidates if self.candidates is None else self.candidates


def check_count(name: str, value: object, least: int, most: int | None = None) -> None:
    """Refuse what is no whole number from `least` to `most`.

    Raises:
        ConfigError: names the argument.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")
    if most is not None and value > most:
        raise ConfigError(f"{name} must be at most {most:,}, got {value:,}")


def from_anywhere(registry: str | Path) -> str:
    """Return a registry's place for processes with another working directory."""
    text = os.fspath(registry)
    return text if not isinstance(registry, Path) and is_url(text) else os.path.abspath(text)
