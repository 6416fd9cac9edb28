"""From a table to a trained generator, in the three parts that every way of training shares.

`prepare` reads, checks and encodes; `start` builds the run of one worker; `finish` turns the
best weights into a calibrated generator. The façade calls all three in one process, the
cluster's driver runs the middle one on its workers.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from fingan.config import Config
from fingan.data import conform, infer_schema, range_notes, read_table, require_rows, split_rows
from fingan.data.schema import TableSchema
from fingan.encoding.copies import CopyUnit
from fingan.encoding.fit import fit_encoder
from fingan.encoding.table import EncodedTable, TableEncoder
from fingan.encoding.units import ColumnUnit, CompositeUnit
from fingan.errors import ConfigError, DataError, NotAvailable
from fingan.evaluation.quick import validation_score
from fingan.generator import Engine, Generator, calibrate, fit_density, identity
from fingan.generator.refine import REAL_ROWS
from fingan.networks.tabular import TabularGenerator, build_generator
from fingan.rng import key, numpy_generator, torch_generator
from fingan.training import (
    Alone,
    BatchSource,
    Hooks,
    Reducer,
    Run,
    Silent,
    TrainResult,
    conditioning_of,
    new_state,
)
from fingan.types import Int64, Json

FEWEST_ROWS = 10
FEWEST_VALIDATION_ROWS = 50
VALIDATION_ROWS = 4_000
DRAFT_ROWS = 16_384
CALIBRATION_ROWS = 200_000
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """Everything that training needs of the data.

    Attributes:
        config: the run's configuration.
        schema: columns and kinds.
        encoder: fitted on all rows.
        encoded: fields of the training rows.
        validation: rows held out for selection, at most 4,000; None when there are too few.
        reference: training rows as they were read, at most 60,000: what refinement learns from.
        rows: rows of the table, both parts.
    """

    config: Config
    schema: TableSchema
    encoder: TableEncoder
    encoded: EncodedTable
    validation: pa.Table | None
    reference: pa.Table
    rows: int


def read_training_rows(source: object, config: Config) -> tuple[pa.Table, TableSchema]:
    """Read a table and bring it into the configured or inferred schema.

    Raises:
        ConfigError: a target, schema or condition that does not fit the table.
        DataError: a table that cannot be read or differs from its schema.
    """
    if config.kind != "table":
        raise NotAvailable("price series (kind: series) are not available yet; tables are")
    path, target = config.data.schema_path, config.data.target
    given = None if path is None else TableSchema.read(path)
    table = read_table(source, given)
    require_rows(table, FEWEST_ROWS, "training")
    schema = infer_schema(table, target) if given is None else given
    if target is not None and schema.column(target).kind == "identifier":
        raise ConfigError(f"the target {target!r} is an identifier; choose another column or change its kind")
    for name in config.conditioning.columns if isinstance(config.conditioning.columns, tuple) else ():
        schema.column(name)
    # A user may have struck columns from an edited schema: they are left out, not refused.
    return conform(table, schema, drop_extra=given is not None), schema


def _split(table: pa.Table, config: Config) -> tuple[Int64, Int64]:
    """Return the numbers of the training and of the validation rows."""
    target = config.data.target
    labels = None if target is None else table[target].to_numpy()
    train, held = split_rows(table.num_rows, config.data.validation, config.seed, labels)
    if train.size < config.training.batch_size:
        raise DataError(
            f"{train.size} training rows ({table.num_rows} less the validation part) are fewer than a batch "
            f"of {config.training.batch_size}; set training.batch_size to at most {train.size}"
        )
    return train, held


def _drawn(rows: Int64, most: int, seed: int, purpose: str) -> Int64:
    """Return at most so many of the rows, drawn from all of them.

    The first ones would be another population where a table is sorted, by time or by class.
    """
    return np.sort(numpy_generator(seed, purpose).permutation(rows)[:most])


def prepare(source: object, config: Config) -> Prepared:
    """Read, check, split and encode a table.

    Raises:
        ConfigError: a target, schema or constraint that does not fit the table.
        DataError: a table that cannot be learned from.
    """
    table, schema = read_training_rows(source, config)
    train, held = _split(table, config)
    encoder = fit_encoder(table, schema, config.data.constraints, config.data.target)
    drawn = _drawn(held, VALIDATION_ROWS, config.seed, "validation")
    validation = None if held.size < FEWEST_VALIDATION_ROWS else table.take(pa.array(drawn))
    encoded = encoder.encode(table.take(pa.array(train)))
    reference = table.take(pa.array(_drawn(train, REAL_ROWS, config.seed, "reference")))
    return Prepared(config, schema, encoder, encoded, validation, reference, table.num_rows)


def inspect(source: object, config: Config) -> Json:
    """Check a table as `prepare` does, and return what was found of it, without training.

    Returns:
        `rows`, `columns`, `units`, `identifiers`, and `notes` in words on relations found.
    """
    table, schema = read_training_rows(source, config)
    _split(table, config)
    encoder = fit_encoder(table, schema, config.data.constraints, config.data.target)
    notes = [f"{name} equals {other} in every row" for name, other in encoder.aliases.items()]
    notes += [f"tied: {', '.join(u.columns)}" for u in encoder.units if isinstance(u, CompositeUnit)]
    notes += [
        f"{u.columns[0]} often equals {', '.join(u.sources)}"
        for u in encoder.units
        if isinstance(u, CopyUnit)
    ]
    notes += [f"identifier, regenerated: {item.column}" for item in encoder.identifiers]
    return {
        "rows": table.num_rows,
        "columns": len(schema.columns),
        "units": len(encoder.units),
        "identifiers": [item.column for item in encoder.identifiers],
        "notes": notes + list(range_notes(table, schema)),
    }


def uses_bf16(config: Config, device: torch.device) -> bool:
    """Whether the configured precision means bf16 on this device.

    `auto` takes bf16 where the processor multiplies it natively (AMX, AVX-512 BF16, GPUs).
    """
    precision = config.compute.precision
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _label(encoder: TableEncoder, target: str | None) -> tuple[int, int] | None:
    """Return (categorical field, unit) of a categorical target."""
    number = None if target is None else encoder.unit_of(target)
    if number is None:
        return None
    before = sum(spec.kind == "category" for unit in encoder.units[:number] for spec in unit.fields)
    unit = encoder.units[number]
    plain = isinstance(unit, ColumnUnit) and [spec.kind for spec in unit.fields] == ["category"]
    return (before, number) if plain else None


def _engine(prepared: Prepared, network: nn.Module, autocast: bool, device: torch.device) -> Engine:
    return Engine(
        network=cast(TabularGenerator, network),
        encoder=prepared.encoder,
        calibration=identity(prepared.encoder.layout),
        noise=prepared.config.network.noise,
        autocast=autocast,
        device=device,
    )


def validator(
    prepared: Prepared, autocast: bool, device: torch.device
) -> Callable[[nn.Module], float] | None:
    """Return the function that scores a generator on the held-out rows; None without such rows."""
    held = prepared.validation
    if held is None:
        return None
    real = held

    def validate(network: nn.Module) -> float:
        engine = calibrate(_engine(prepared, network, autocast, device), DRAFT_ROWS, prepared.config.seed)
        synthetic = Generator(engine, prepared.config).sample(real.num_rows, seed=prepared.config.seed)
        score, _ = validation_score(real, synthetic, prepared.schema, prepared.config.seed)
        return score

    return validate


def start(
    prepared: Prepared,
    reducer: Reducer | None = None,
    hooks: Hooks | None = None,
    checkpoints: Path | None = None,
    device: torch.device | None = None,
) -> Run:
    """Build the training run of one worker.

    Args:
        prepared: the data.
        reducer: this worker's peers; None for a single process.
        hooks: what to tell; None for silence.
        checkpoints: folder for checkpoints; None writes none.
        device: where to train; None for the CPU.
    """
    config, encoder = prepared.config, prepared.encoder
    device = torch.device("cpu") if device is None else device
    reducer = Alone() if reducer is None else reducer
    dtype = torch.float64 if config.compute.precision == "fp64" else torch.float32
    autocast = uses_bf16(config, device)
    label = _label(encoder, config.data.target)
    units = [_names(encoder, unit.columns) for unit in encoder.units]
    conditioning = conditioning_of(config, units, label, config.data.target)
    source = BatchSource(
        prepared.encoded, encoder.layout, config, conditioning, reducer.rank, reducer.world, device, dtype
    )
    return Run(
        config=config,
        state=new_state(encoder.layout, config, device, dtype, encoder.frequencies(), source.along),
        source=source,
        reducer=reducer,
        validate=validator(prepared, autocast, device),
        hooks=Silent() if hooks is None else hooks,
        checkpoints=checkpoints,
        autocast=autocast,
    )


def _names(encoder: TableEncoder, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return a unit's columns with those that only repeat them."""
    return columns + tuple(name for name, source in encoder.aliases.items() if source in columns)


def finish(prepared: Prepared, result: TrainResult) -> Generator:
    """Turn the best weights into a calibrated generator, with what training measured."""
    config, device = prepared.config, torch.device("cpu")
    layout = prepared.encoder.layout
    network = build_generator(layout, config.network, generator=torch_generator(config.seed, "generator"))
    network.load_state_dict({k: v.float() for k, v in result.weights.items()})
    engine = _engine(prepared, network.requires_grad_(False), uses_bf16(config, device), device)
    engine = calibrate(engine, CALIBRATION_ROWS, config.seed)
    training = {
        "rows": prepared.rows,
        "steps": result.steps,
        "best_step": result.best_step,
        "seconds": round(result.seconds, 1),
        "rows_per_second": round(result.rows_per_second, 1),
        "rollbacks": result.rollbacks,
        "stopped_by": result.reason,
        "score": result.score,
    }
    generator = _refined(prepared, Generator(engine, config, {"training": training}))
    if prepared.validation is None:
        return generator
    real = prepared.validation
    synthetic = generator.sample(real.num_rows, seed=config.seed)
    score, parts = validation_score(real, synthetic, prepared.schema, config.seed)
    return replace(generator, metrics={"training": training, "validation": {"score": score, **parts}})


def _refined(prepared: Prepared, generator: Generator) -> Generator:
    """Return the generator with a ratio of densities by which it chooses among candidates."""
    config = prepared.config
    threads = config.compute.threads or os.cpu_count() or 1
    candidates = config.sampling.candidates
    if candidates == 1:
        return generator

    def draw(offset: int, rows: int) -> pa.Table:
        seed = key(config.seed, "refine") >> 1
        return generator.sample(rows, seed=seed, offset=offset, threads=threads, candidates=1)

    density = fit_density(
        draw,
        prepared.schema,
        prepared.reference,
        prepared.validation,
        config.data.target,
        candidates,
        config.seed,
        threads,
    )
    return replace(generator, density=density)
