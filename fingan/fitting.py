"""From a table to a trained generator, in the three parts that every way of training shares.

`prepare` (of `preparation`) reads, checks and encodes; `start` builds the run of one worker;
`finish` turns the best weights into a calibrated generator, and trains the small networks of rare
classes. The façade calls all three in one process, the cluster's driver runs the middle one on its
workers.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from fingan.config import Config
from fingan.encoding.fit import fit_encoder
from fingan.encoding.table import TableEncoder
from fingan.encoding.units import ColumnUnit
from fingan.errors import DataError, TrainingDiverged, UserError
from fingan.evaluation.frame import frames
from fingan.evaluation.memorisation import closeness
from fingan.evaluation.quick import validation_score
from fingan.generator import Engine, Generator, RareClass, calibrate, fit_density, identity
from fingan.networks.tabular import TabularGenerator, build_generator
from fingan.preparation import VALIDATION_ROWS, Prepared
from fingan.rare import FEWEST_PASSES, of_rare, without_rare
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

DRAFT_ROWS = 16_384
CALIBRATION_ROWS = 200_000
log = logging.getLogger(__name__)


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


def _word_of_first(autocast: bool, reducer: Reducer, device: torch.device) -> bool:
    """Return what rank 0 says: processors of several kinds would mix two precisions in one gradient."""
    return bool(reducer.broadcast_(torch.tensor([float(autocast)], device=device)))


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
        return _score(real, Generator(engine, prepared.config), prepared)[0]

    return validate


def _score(real: pa.Table, generator: Generator, prepared: Prepared) -> tuple[float, dict[str, float]]:
    """Score a generator on held-out rows.

    Where these are few, more rows are generated: the chance of as few would choose between generators.
    """
    seed = prepared.config.seed
    return validation_score(real, generator.sample(VALIDATION_ROWS, seed=seed), prepared.schema, seed)


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
    config, encoder = without_rare(prepared.config, len(prepared.rare)), prepared.encoder
    device = torch.device("cpu") if device is None else device
    reducer = Alone() if reducer is None else reducer
    dtype = torch.float64 if config.compute.precision == "fp64" else torch.float32
    autocast = _word_of_first(uses_bf16(config, device), reducer, device)
    label = _label(encoder, config.data.target)
    conditioning = conditioning_of(config, encoder.unit_names(), label, config.data.target)
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


def train_here(run: Run) -> TrainResult:
    """Train in this process, on `compute.threads` threads where they are given."""
    threads, before = run.config.compute.threads, torch.get_num_threads()
    if threads is None:
        return run.train()
    torch.set_num_threads(threads)
    try:
        return run.train()
    finally:
        torch.set_num_threads(before)


def _calibrated(prepared: Prepared, result: TrainResult, rows: int) -> Engine:
    """Return the engine of the best weights, calibrated on so many rows."""
    config, device = prepared.config, torch.device("cpu")
    layout = prepared.encoder.layout
    network = build_generator(layout, config.network, generator=torch_generator(config.seed, "generator"))
    network.load_state_dict({k: v.float() for k, v in result.weights.items()})
    engine = _engine(prepared, network.requires_grad_(False), uses_bf16(config, device), device)
    return calibrate(engine, rows, config.seed)


def memorisation(prepared: Prepared, result: TrainResult) -> float | None:
    """Return how many generated rows lie nearer to training rows than to as many held-out ones.

    A quick look at a few thousand rows of the network's own; .5 is ideal. See
    `evaluation.memorisation.closeness`.

    Returns:
        None without held-out rows.
    """
    held, seed = prepared.validation, prepared.config.seed
    if held is None:
        return None
    rows = Generator(_calibrated(prepared, result, DRAFT_ROWS), prepared.config).sample(
        held.num_rows, seed=seed
    )
    order = numpy_generator(seed, "memorisation").permutation(prepared.reference.num_rows)
    known = prepared.reference.take(pa.array(np.sort(order[: held.num_rows])))
    near, far, made = frames(prepared.schema, [known, held, rows])
    return closeness(near, far, made, seed).share


def finish(prepared: Prepared, result: TrainResult, hooks: Hooks | None = None) -> Generator:
    """Turn the best weights into a calibrated generator, with what training measured.

    Args:
        prepared: the data.
        result: what training left.
        hooks: asked whether to stop while networks of rare classes train; None never does.
    """
    config = prepared.config
    engine = _calibrated(prepared, result, CALIBRATION_ROWS)
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
    rare = _rare_classes(prepared, result, Silent() if hooks is None else hooks)
    training["rare_classes"] = [str(own.value) for own in rare]
    whole = Generator(engine, config, {"training": training}, rare=rare)
    generator = _refined(prepared, whole)
    if prepared.validation is None:
        return generator
    score, parts = _score(prepared.validation, generator, prepared)
    return replace(generator, metrics={"training": training, "validation": {"score": score, **parts}})


class _Stopping(Silent):
    """Says nothing, and stops when others would."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    def should_stop(self) -> bool:
        """Whether the others would."""
        return self._hooks.should_stop()


def _rare_classes(prepared: Prepared, result: TrainResult, hooks: Hooks) -> tuple[RareClass, ...]:
    """Train the networks of rare classes; a class that cannot be learned is left to the table's network."""
    found = []
    for number, rows in enumerate(prepared.rare):
        label = prepared.config.data.target
        try:
            if result.reason == "interrupted" or hooks.should_stop():
                raise DataError("training was stopped before")
            found.append(_rare_class(prepared, number, result, hooks))
        except (UserError, TrainingDiverged) as error:
            log.warning("no network of its own for %s = %s: %s", label, rows[label][0], error)
    return tuple(found)


def _rare_class(prepared: Prepared, number: int, result: TrainResult, hooks: Hooks) -> RareClass:
    """Train a network on the rows of one rare class alone, in this process.

    Args:
        prepared: the data.
        number: of the class.
        result: of the table's own network.
        hooks: asked whether to stop.

    Raises:
        DataError: too little time to learn anything.
    """
    config, schema, rows = prepared.config, prepared.schema, prepared.rare[number]
    label = cast(str, config.data.target)
    classes = len(prepared.rare)
    own = of_rare(config, number, classes, rows.num_rows, result.steps, result.seconds)
    encoder = fit_encoder(rows, schema, config.data.constraints, label, whole=prepared.encoder)
    # Identifiers tell rows of the whole table apart.
    encoder = replace(encoder, identifiers=prepared.encoder.identifiers)
    of_class = Prepared(own, schema, encoder, encoder.encode(rows), None, rows, rows.num_rows)
    trained = train_here(start(of_class, hooks=_Stopping(hooks)))
    passes = trained.steps * own.rows_per_step / rows.num_rows
    if passes < FEWEST_PASSES:
        raise DataError(
            f"{passes:.1f} passes over its {rows.num_rows} rows teach it little; train for longer"
        )
    return RareClass(label, rows[label][0], _calibrated(of_class, trained, DRAFT_ROWS))


def _refined(prepared: Prepared, generator: Generator) -> Generator:
    """Return the generator with a ratio of densities by which it chooses among candidates."""
    config = prepared.config
    threads = config.compute.threads or os.cpu_count() or 1
    candidates = config.sampling.candidates
    if candidates == 1:
        return generator

    # Far more rows are looked at than an identifier's format may have values for.
    learned = generator.without_identifiers()

    def draw(offset: int, rows: int) -> pa.Table:
        seed = key(config.seed, "refine") >> 1
        return learned.sample(rows, seed=seed, offset=offset, threads=threads, candidates=1)

    density = fit_density(
        draw,
        prepared.schema,
        prepared.reference,
        prepared.validation,
        config.data.target,
        candidates,
        config.seed,
        threads,
        [own.value for own in generator.rare],
    )
    return replace(generator, density=density)
