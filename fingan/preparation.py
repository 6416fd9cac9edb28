"""From a source of rows to what training needs of them: checked, split, encoded.

A table that fits is held in memory; a larger one, of Parquet, is surveyed and stored encoded.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from fingan.config import Config
from fingan.data import conform, infer_schema, range_notes, read_table, require_rows, split_rows
from fingan.data.parts import PartedTable, open_parts
from fingan.data.schema import TableSchema
from fingan.data.survey import Survey, Tally
from fingan.encoding.copies import CopyUnit
from fingan.encoding.fit import fit_encoder
from fingan.encoding.stored import StoredTable
from fingan.encoding.table import EncodedTable, TableEncoder
from fingan.encoding.units import CompositeUnit
from fingan.errors import ConfigError, DataError, NotAvailable
from fingan.generator.refine import REAL_ROWS
from fingan.ingest import Each, Recipe, in_turn, store, survey
from fingan.rare import rare_classes
from fingan.rng import numpy_generator
from fingan.types import Int64, Json

FEWEST_ROWS = 10
FEWEST_VALIDATION_ROWS = 50
VALIDATION_ROWS = 4_000
NONE_HELD = "so few rows that none are held out: all are trained on, and the newest generator is kept"
"""Said where rows were to be held out and would be too few to choose the best generator by."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """Everything that training needs of the data.

    Attributes:
        config: the run's configuration.
        schema: columns and kinds.
        encoder: fitted on all rows, or on a sample of more than fit into memory.
        encoded: fields of the training rows.
        validation: rows held out for selection, at most 4,000; None when there would be too few.
        reference: training rows as they were read, at most 60,000: what refinement learns from.
        rows: rows of the table, both parts.
        rare: training rows of each rare class of the label, for networks of their own.
    """

    config: Config
    schema: TableSchema
    encoder: TableEncoder
    encoded: EncodedTable | StoredTable
    validation: pa.Table | None
    reference: pa.Table
    rows: int
    rare: tuple[pa.Table, ...] = ()


def large_parts(source: object, config: Config) -> PartedTable | None:
    """Return the parts of a table that is too large to be held; None for one that is not.

    Only Parquet comes in parts: any other source is read whole.

    Raises:
        DataError: a Parquet source that cannot be read.
    """
    parts = open_parts(source)
    if parts is None or parts.rows * len(parts.schema.names) <= config.data.in_memory:
        return None
    return parts


def infer(source: object, config: Config) -> tuple[TableSchema, int]:
    """Return the schema that a table has by its looks, and how many rows it has.

    Of a table that is too large to be held, a sample and each column's extremes are looked at.

    Raises:
        ConfigError: the target is not a column.
        DataError: a table that cannot be read.
    """
    parts = large_parts(source, config)
    if parts is None:
        table = read_table(source)
        return infer_schema(table, config.data.target), table.num_rows
    looked_at = survey(parts, config.seed, in_turn).rows_to_fit()
    return infer_schema(looked_at, config.data.target), parts.rows


def read_training_rows(source: object, config: Config) -> tuple[pa.Table, TableSchema]:
    """Read a table and bring it into the configured or inferred schema.

    Raises:
        ConfigError: a target, schema or condition that does not fit the table.
        DataError: a table that cannot be read or differs from its schema.
    """
    given = _given_schema(config)
    return _in_schema(read_table(source, given, drop_extra=True), given, config)


def _given_schema(config: Config) -> TableSchema | None:
    if config.kind != "table":
        raise NotAvailable("price series (kind: series) are not available yet; tables are")
    path = config.data.schema_path
    return None if path is None else TableSchema.read(path)


def _kept(parts: PartedTable, config: Config) -> PartedTable:
    """Return the parts without the columns that a user has struck from the schema."""
    given = _given_schema(config)
    return parts if given is None else parts.select(given.kept(parts.schema.names))


def _in_schema(table: pa.Table, given: TableSchema | None, config: Config) -> tuple[pa.Table, TableSchema]:
    """Return the table in its schema, and the schema: the given one, or as inferred."""
    target = config.data.target
    require_rows(table, FEWEST_ROWS, "training")
    schema = infer_schema(table, target) if given is None else given
    if target is not None and schema.column(target).kind == "identifier":
        raise ConfigError(f"the target {target!r} is an identifier; choose another column or change its kind")
    for name in config.conditioning.columns if isinstance(config.conditioning.columns, tuple) else ():
        schema.column(name)
    # A user may have struck columns from an edited schema: they are left out, not refused.
    return conform(table, schema, drop_extra=given is not None), schema


def _fit(
    table: pa.Table, schema: TableSchema, config: Config, tallies: Mapping[str, Tally] | None = None
) -> TableEncoder:
    """Return the encoder of a table in its schema; it has something to learn."""
    encoder = fit_encoder(table, schema, config.data.constraints, config.data.target, tallies)
    layout = encoder.layout
    if not layout.numeric and layout.codes == len(layout.widths):
        raise DataError(
            "no column varies (but identifiers, which are made up anew): there is nothing to learn; "
            "give rows of which some column has more than one value"
        )
    return encoder


def _check_batch(train: int, rows: int, config: Config) -> None:
    if train < config.training.batch_size:
        less = f" ({rows} less the validation part)" if train < rows else ""
        raise DataError(
            f"{train} training rows{less} are fewer than a batch "
            f"of {config.training.batch_size}; set training.batch_size to at most {train}"
        )


def _held_notes(held: int, config: Config) -> list[str]:
    """Return what is to be said of the rows that are held out."""
    return [NONE_HELD] if config.data.validation and not held else []


def _warn(held: int, config: Config) -> None:
    for note in _held_notes(held, config):
        log.warning("%s", note)


def _split(table: pa.Table, config: Config) -> tuple[Int64, Int64]:
    """Return the numbers of the training and of the validation rows, of which none are too few."""
    target = config.data.target
    labels = None if target is None else table[target].to_numpy()
    train, held = split_rows(table.num_rows, config.data.validation, config.seed, labels)
    if held.size < FEWEST_VALIDATION_ROWS:
        train, held = np.arange(table.num_rows), held[:0]
    _check_batch(train.size, table.num_rows, config)
    return train, held


def _drawn(rows: Int64, most: int, seed: int, purpose: str) -> Int64:
    """Return at most so many of the rows, drawn from all of them.

    The first ones would be another population where a table is sorted, by time or by class.
    """
    return np.sort(numpy_generator(seed, purpose).permutation(rows)[:most])


def prepare(source: object, config: Config, root: Path | None = None, each: Each = in_turn) -> Prepared:
    """Read, check, split and encode a table.

    Args:
        source: the table, in any form that `read_table` takes.
        config: of the run.
        root: folder for the encoded rows of a table that is too large to be held.
        each: applies a function to each part of such a table.

    Raises:
        ConfigError: a target, schema or constraint that does not fit the table.
        DataError: a table that cannot be learned from.
    """
    parts = large_parts(source, config)
    if parts is not None:
        return _prepare_parts(parts, config, root, each)
    table, schema = read_training_rows(source, config)
    train, held = _split(table, config)
    _warn(held.size, config)
    encoder = _fit(table, schema, config)
    drawn = _drawn(held, VALIDATION_ROWS, config.seed, "validation")
    validation = table.take(pa.array(drawn)) if held.size else None
    encoded = encoder.encode(table.take(pa.array(train)))
    reference = table.take(pa.array(_drawn(train, REAL_ROWS, config.seed, "reference")))
    rare = rare_classes(table, train, schema, config)
    return Prepared(config, schema, encoder, encoded, validation, reference, table.num_rows, rare)


def _prepare_parts(parts: PartedTable, config: Config, root: Path | None, each: Each) -> Prepared:
    if root is None:
        raise ConfigError(
            f"{parts.rows:,} rows of {len(parts.schema.names)} columns are more than data.in_memory allows; "
            "train with `fingan train` or Synthesizer.fit, or raise data.in_memory"
        )
    parts = _kept(parts, config)
    known = survey(parts, config.seed, each)
    encoder, sample = _fitted(known, config)
    # A place in the sample's order says what a row is for: first the validation's, then training's.
    held = _held_of(parts, config)
    _check_batch(parts.rows - held, parts.rows, config)
    _warn(held, config)
    # Taken, not sliced: a slice would carry the whole sample to every worker.
    validation = sample.take(pa.array(np.arange(held)))
    trained = np.arange(held, len(sample))
    training = sample.take(pa.array(trained[:REAL_ROWS]))
    recipe = Recipe(parts, encoder, config.data.constraints, held, config.seed)
    return Prepared(
        config=config,
        schema=encoder.schema,
        encoder=encoder,
        encoded=store(recipe, training, root, each),
        validation=validation if held else None,
        reference=training,
        rows=parts.rows,
        rare=rare_classes(sample, trained, encoder.schema, config),
    )


def _held_of(parts: PartedTable, config: Config) -> int:
    """Return how many rows are held out: of so many, a share would be more than validation looks at."""
    held = min(VALIDATION_ROWS, round(config.data.validation * parts.rows))
    return held if held >= FEWEST_VALIDATION_ROWS else 0


def _fitted(known: Survey, config: Config) -> tuple[TableEncoder, pa.Table]:
    """Return the encoder of a surveyed table, and the conformed sample."""
    try:
        table, schema = _in_schema(known.rows_to_fit(), _given_schema(config), config)
        tallies = {
            spec.name: tally
            for spec in schema.columns
            if (tally := known.tallies[spec.name]) is not None and tally.values.type == spec.arrow_type
        }
        encoder = _fit(table, schema, config, tallies)
    except DataError as error:
        raise DataError(f"in a sample of the rows: {error}") from error
    return encoder, table.slice(0, len(known.sample))


def inspect(source: object, config: Config) -> Json:
    """Check a table as `prepare` does, and return what was found of it, without training.

    Returns:
        `rows`, `columns`, `units`, `identifiers`, and `notes` in words on relations found.
    """
    parts = large_parts(source, config)
    if parts is not None:
        known = survey(_kept(parts, config), config.seed, in_turn)
        encoder, table = _fitted(known, config)
        held = _held_of(parts, config)
        _check_batch(parts.rows - held, parts.rows, config)
        rare = rare_classes(table, np.arange(held, len(table)), encoder.schema, config)
        return _facts(encoder, table, parts.rows, held, rare, config)
    table, schema = read_training_rows(source, config)
    train, drawn = _split(table, config)
    encoder = _fit(table, schema, config)
    rare = rare_classes(table, train, schema, config)
    return _facts(encoder, table, table.num_rows, drawn.size, rare, config)


def _facts(
    encoder: TableEncoder, table: pa.Table, rows: int, held: int, rare: Sequence[pa.Table], config: Config
) -> Json:
    label = config.data.target
    notes = _held_notes(held, config)
    notes += [f"{own.num_rows} rows of {label} = {own[label][0]} get a network of their own" for own in rare]
    notes += [f"{name} equals {other} in every row" for name, other in encoder.aliases.items()]
    notes += [f"tied: {', '.join(u.columns)}" for u in encoder.units if isinstance(u, CompositeUnit)]
    notes += [
        f"{u.columns[0]} often equals {', '.join(u.sources)}"
        for u in encoder.units
        if isinstance(u, CopyUnit)
    ]
    notes += [f"identifier, regenerated: {item.column}" for item in encoder.identifiers]
    return {
        "rows": rows,
        "columns": len(encoder.schema.columns),
        "units": len(encoder.units),
        "identifiers": [item.column for item in encoder.identifiers],
        "notes": notes + list(range_notes(table, encoder.schema)),
    }
