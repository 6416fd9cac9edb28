"""The façade that data scientists use: fit, sample, evaluate, save."""

from __future__ import annotations

import reprlib
import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from fingan.config import Config, from_mapping, load, to_mapping
from fingan.data.frames import to_pandas
from fingan.errors import ConfigError, UserError
from fingan.fitting import finish, start, train_here
from fingan.preparation import large_parts, prepare, read_training_rows

if TYPE_CHECKING:
    from fingan.evaluation import Report
    from fingan.generator import Generator
    from fingan.training import Hooks


def _configured(given: object) -> Config:
    if isinstance(given, Config):
        return given
    if isinstance(given, Mapping):
        return from_mapping(given)
    if given is None or isinstance(given, str | Path):
        return load(given)
    raise ConfigError(f"config is a Config, a mapping of sections or a path, not {type(given).__name__}")


def _texts(overrides: object) -> list[str]:
    if overrides is None:
        return []
    texts = list(overrides) if isinstance(overrides, Iterable) and not isinstance(overrides, str) else None
    if texts is None or not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"overrides are section.key=value texts in a list, not {reprlib.repr(overrides)}")
    return texts


class Synthesizer:
    """Learns a table and samples from it.

    Example:
        >>> synth = Synthesizer(target="Class")          # doctest: +SKIP
        >>> synth.fit("loans.parquet").sample(1000, where={"Class": "bad"})

    Args:
        target: the label column, if there is one.
        kind: `table` (price series come later).
        config: a configuration, its sections as a mapping, or the path of one; the defaults otherwise.
        overrides: `section.key=value` texts, as on the command line.
    """

    def __init__(
        self,
        target: str | None = None,
        kind: str | None = None,
        config: Config | Mapping[str, Any] | str | Path | None = None,
        overrides: Iterable[str] | None = None,
    ) -> None:
        values = to_mapping(_configured(config))
        if target is not None:
            values["data"]["target"] = target
        if kind is not None:
            values["kind"] = kind
        self.config = from_mapping(values, _texts(overrides))
        self._generator: Generator | None = None
        self._real: pa.Table | None = None

    @property
    def generator(self) -> Generator:
        """The trained generator.

        Raises:
            UserError: nothing has been fitted yet.
        """
        if self._generator is None:
            raise UserError("this synthesizer has not been fitted; call fit(table) first")
        return self._generator

    def fit(self, table: object, hooks: Hooks | None = None) -> Self:
        """Train on a table in this process; `fingan.cluster.train` does the same on many workers.

        Args:
            table: pandas, Arrow, polars, a path or a URL.
            hooks: what to tell of the progress.

        Raises:
            ConfigError: GPUs are asked for, or the configuration does not fit the table.
            DataError: a table that cannot be learned from.
        """
        if gpus := self.config.compute.gpus_per_worker:
            raise ConfigError(
                f"compute.gpus_per_worker is {gpus:g}, but fit trains on the CPUs of this process; "
                "set it to 0, or train with `fingan train`"
            )
        with tempfile.TemporaryDirectory(prefix="fingan-rows-") as folder:
            if large_parts(table, self.config) is not None:
                prepared = prepare(table, self.config, Path(folder))
                real = prepared.reference
            else:
                real, _ = read_training_rows(table, self.config)
                prepared = prepare(real, self.config)
            self._generator = finish(prepared, train_here(start(prepared, hooks=hooks)), hooks)
        self._real = real
        return self

    def sample(
        self,
        rows: int,
        where: Mapping[str, Any] | None = None,
        seed: int = 0,
        offset: int = 0,
        candidates: int | None = None,
    ) -> Any:
        """Return generated rows as a pandas DataFrame.

        Args:
            rows: how many.
            where: column → value that every row shall have.
            seed: of the sample.
            offset: number of the first row.
            candidates: rows generated for each one kept; None for the configured number.
        """
        return to_pandas(self.generator.sample(rows, where, seed, offset, candidates=candidates))

    def impute(self, table: object, columns: Collection[str] | None = None, seed: int = 0) -> Any:
        """Return the table with its gaps filled, as a pandas DataFrame; see `Generator.impute`."""
        return to_pandas(self.generator.impute(table, columns, seed))

    def evaluate(self, holdout: object | None = None, seed: int = 0) -> Report:
        """Compare as many generated rows as there were training rows with the training rows.

        Args:
            holdout: real rows that were not trained on, for utility and memorisation.
            seed: of sample and metrics.
        """
        from fingan.data import read_conformed
        from fingan.evaluation import evaluate

        if self._real is None:
            raise UserError("evaluate needs the training rows; call fit(table) in this process first")
        schema = self.generator.schema
        held = None if holdout is None else read_conformed(holdout, schema)
        synthetic = self.generator.sample(self._real.num_rows, seed=seed)
        data = self.config.data
        return evaluate(
            self._real,
            synthetic,
            schema,
            holdout=held,
            target=data.target,
            constraints=data.constraints,
            seed=seed,
        )

    def save(self, path: str | Path) -> None:
        """Write the trained generator as a bundle directory."""
        self.generator.save(path)
