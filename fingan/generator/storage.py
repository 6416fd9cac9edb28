"""A generator as a bundle: safetensors and JSON, verified and replayed when it is loaded."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from fingan.config import Config, from_mapping, to_mapping
from fingan.data.schema import TableSchema
from fingan.encoding.layout import Layout
from fingan.encoding.table import TableEncoder
from fingan.errors import BundleError, ConfigError, FinganError
from fingan.generator.calibration import Calibration
from fingan.generator.card import model_card
from fingan.generator.density import DensityRatio
from fingan.generator.engine import Engine
from fingan.generator.model import Generator
from fingan.generator.rare import RareClass, read_label
from fingan.generator.replay import difference, record
from fingan.networks.tabular import TabularGenerator, build_generator
from fingan.registry.bundle import Bundle, read_bundle, write_bundle
from fingan.rng import torch_generator
from fingan.types import Json

INCONSISTENT = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a forged or damaged bundle, whose checksums agree, may end in."""


def save_generator(generator: Generator, path: str | Path) -> None:
    """Write a bundle; it holds no training row and no identifier.

    Raises:
        BundleError: the directory exists or cannot be written.
    """
    engine = generator.engine
    encoder, arrays = engine.encoder.state()
    sample, digest = record(generator)
    documents: dict[str, Json | str] = {
        "schema": generator.schema.to_mapping(),
        "encoder": encoder,
        "config": to_mapping(generator.config.portable()),
        "metrics": generator.metrics,
        "MODEL_CARD.md": model_card(generator),
    }
    ratio: dict[str, np.ndarray] = {}
    if generator.density is not None:
        documents["density"], ratio = generator.density.state()
    tensors = {
        **_engine_tensors(engine, arrays),
        "density": ratio,
        "replay": sample,
    }
    for number, own in enumerate(generator.rare):
        documents[_rare(number, "encoder")], arrays = own.engine.encoder.state()
        groups = _engine_tensors(own.engine, arrays) | {"label": {"label": own.label_array()}}
        tensors |= {_rare(number, name): group for name, group in groups.items()}
    fields = {
        "kind": generator.config.kind,
        "precision": "bf16" if engine.autocast else "fp32",
        "processor": platform.machine(),
        "schema": generator.schema.fingerprint(),
        "replay": digest,
    }
    write_bundle(path, documents, {k: v for k, v in tensors.items() if v}, fields)


def _rare(number: int, name: str) -> str:
    """Return what a document or group of tensors of a rare class is called."""
    return f"rare_{number}_{name}"


def _engine_tensors(engine: Engine, encoder: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Return the tensors of an engine by group."""
    weights = {k: v.detach().float().cpu().numpy() for k, v in engine.network.state_dict().items()}
    return {"generator": weights, "encoder": encoder, "calibration": engine.calibration.arrays()}


def _rebuild(bundle: Bundle, device: torch.device) -> Generator:
    schema = TableSchema.from_mapping(bundle.document("schema"))
    config = from_mapping(bundle.document("config"))
    engine = _engine(bundle, schema, config, device, lambda name: name)
    density = None
    if "density" in bundle.documents:
        density = DensityRatio.from_state(bundle.document("density"), bundle.group("density"))
    rare: list[RareClass] = []
    while _rare(len(rare), "label") in bundle.tensors:
        named = partial(_rare, len(rare))
        label, value = read_label(bundle.group(named("label"))["label"])
        if label not in schema.names or value.type != schema.column(label).arrow_type:
            raise BundleError(f"it has a rare class of {label!r}, which is no column of that type")
        rare.append(RareClass(label, value, _engine(bundle, schema, config, device, named)))
    return Generator(engine, config, bundle.document("metrics"), density, tuple(rare))


def _engine(
    bundle: Bundle, schema: TableSchema, config: Config, device: torch.device, named: Callable[[str], str]
) -> Engine:
    """Read an engine; `named` gives the names of its parts in the bundle."""
    arrays = bundle.tensors.get(named("encoder"), {})
    encoder = TableEncoder.from_state(schema, bundle.document(named("encoder")), arrays)
    network = _network(encoder.layout, config, bundle.group(named("generator")))
    return Engine(
        network=network.requires_grad_(False).to(device),
        encoder=encoder,
        calibration=Calibration.from_arrays(bundle.group(named("calibration"))),
        noise=config.network.noise,
        autocast=bundle.manifest.fields.get("precision") == "bf16",
        device=device,
    )


def _network(layout: Layout, config: Config, weights: Mapping[str, np.ndarray]) -> TabularGenerator:
    """Return the configured network with these weights; it takes no memory of its own for them."""
    with torch.device("meta"):
        unused = torch_generator(config.seed, "generator")
        network = build_generator(layout, config.network, generator=unused)
    stored = {name: torch.tensor(array, dtype=torch.float32) for name, array in weights.items()}
    network.load_state_dict(stored, assign=True)
    return network


def _usable(device: str) -> torch.device:
    """Return a device that takes numbers and gives them back.

    Raises:
        ConfigError: there is none of this name.
    """
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()
    except (AssertionError, ImportError, RuntimeError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"device {device!r} cannot be used: {reason}; use 'cpu', or 'cuda' where PyTorch finds a GPU"
        ) from error
    return found


def load(path: str | Path, device: str = "cpu") -> Generator:
    """Load a bundle, check it against its manifest and replay its stored sample.

    Args:
        path: a bundle directory.
        device: where the network shall run.

    Raises:
        ConfigError: a device that is not there.
        BundleError: the bundle is torn, altered, or does not give the rows that it gave when saved.
    """
    where, bundle = _usable(device), read_bundle(path)
    try:
        generator = _rebuild(bundle, where)
        problem = difference(generator, bundle.group("replay"), bundle.manifest.fields.get("replay"))
    except FinganError as error:
        raise BundleError(f"bundle {path} cannot be read: {error}") from error
    except INCONSISTENT as error:
        raise BundleError(f"bundle {path} is inconsistent: {error}; fetch it again or train anew") from error
    if problem:
        raise BundleError(
            f"bundle {path} does not replay its stored sample: {problem}; fetch it again or train anew"
        )
    return generator
