"""What a replica does: keep generators in memory and make rows, in threads."""

from __future__ import annotations

import base64
import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
import torch

from fingan.config import ReplicasConfig
from fingan.errors import BundleError, ConfigError, UserError, nearest
from fingan.generator import Generator, load
from fingan.generator.packed import Piece, prepare_piece
from fingan.registry import Manifest, Registry, read_bundle
from fingan.service.calls import RowsCall
from fingan.service.formats import FORMATS
from fingan.service.marginals import marginals
from fingan.types import Json

HEALTH_ROWS = 8
MEASURED_ROWS = 64
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """A version in memory.

    Attributes:
        name, version: which.
        manifest: of its bundle.
        generator: ready to sample.
        card: of the model, Markdown.
    """

    name: str
    version: int
    manifest: Manifest
    generator: Generator
    card: str

    def description(self) -> Json:
        """Return what `GET /v1/models/{model}` tells of a version."""
        generator = self.generator
        conditionable = generator.conditionable
        return {
            "name": self.name,
            "version": self.version,
            "kind": generator.config.kind,
            "created": self.manifest.created,
            "digest": self.manifest.digest,
            "fingan": self.manifest.fingan,
            "candidates": 1 if generator.density is None else generator.config.sampling.candidates,
            "columns": [
                {
                    "name": column.name,
                    "kind": column.kind,
                    "type": str(column.arrow_type),
                    "nullable": column.nullable,
                    "conditionable": column.name in conditionable,
                }
                for column in generator.schema.columns
            ],
            "metrics": dict(generator.metrics) or None,
            "card": self.card,
            "bytes": self.row_bytes(None),
        }

    @cached_property
    def marginals(self) -> Json:
        """The distribution of every column of the training table."""
        return marginals(self.generator)

    @cached_property
    def measured(self) -> pa.RecordBatch:
        """A few rows that tell how many bytes a row takes."""
        try:
            rows = self.generator.sample(MEASURED_ROWS, candidates=1)
        except UserError:
            # More than an identifier has values.
            rows = self.generator.sample(1, candidates=1)
        return rows.combine_chunks().to_batches()[0]

    def maker(self, columns: tuple[str, ...] | None) -> Generator:
        """Return what makes the wanted columns: identifiers only where one is wanted."""
        return self._nameless if self.identifiers(columns) is None else self.generator

    def identifiers(self, columns: tuple[str, ...] | None) -> Json | None:
        """Return which `column` of the identifiers made with the wanted columns has the fewest `values`."""
        made = self.generator.engine.encoder.identifiers
        if not made or not (columns is None or any(encoder.column in columns for encoder in made)):
            return None
        fewest = min(made, key=lambda encoder: encoder.capacity)
        return {"column": fewest.column, "values": fewest.capacity}

    @cached_property
    def _nameless(self) -> Generator:
        return self.generator.making(())

    def row_bytes(self, columns: tuple[str, ...] | None) -> dict[str, float]:
        """Return the bytes of a row of the wanted columns in each format, on average, uncompressed."""
        rows = self.measured if columns is None else self.measured.select(list(columns))
        # Without what a piece has but once, however many rows it is of.
        written = {form.name: len(form.pieces(rows)) for form in FORMATS.values() if form.pieces is not None}
        written["arrow"] = rows.nbytes
        return {name: written.get(name, rows.nbytes) / rows.num_rows for name in FORMATS}

    def schema(self, columns: tuple[str, ...] | None) -> pa.Schema:
        """Return the schema of the wanted columns.

        Raises:
            ConfigError: a column that the model does not have, or one asked for twice.
        """
        whole = self.generator.schema.arrow()
        if columns is None:
            return whole
        for name in columns:
            if name not in whole.names:
                raise ConfigError(f"columns: the model has no column {name!r}.{nearest(name, whole.names)}")
            if columns.count(name) > 1:
                raise ConfigError(f"columns: {name!r} is asked for twice; name it once")
        return pa.schema([whole.field(name) for name in columns])


def device_of(replicas: ReplicasConfig) -> str:
    """Return where the networks of a replica run: on a GPU that it was given, else on the CPU.

    A GPU that it was not given is left alone, although Ray lets a replica see it.
    """
    if replicas.gpus == 0:
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    log.warning("replicas.gpus asks for GPUs, but PyTorch finds none here: rows are made on the CPU")
    return "cpu"


def load_served(registry: Registry, reference: str, device: str = "cpu") -> Served:
    """Fetch a version, verify it, rebuild it and replay its stored sample.

    Args:
        registry: where it lies.
        reference: which.
        device: where its network shall run.

    Raises:
        NotFound: there is no such version.
        BundleError: it is damaged.
    """
    ref = registry.resolve(reference)
    # Nothing of a loaded version stays in its files.
    with registry.lent(ref) as folder:
        bundle = read_bundle(folder)
        card = bundle.documents.get("MODEL_CARD.md")
        text = card if isinstance(card, str) else ""
        return Served(ref.name, ref.version, bundle.manifest, load(folder, device), text)


class Sampler:
    """Generators in memory, the least recently used one going first.

    Safe to be called from several threads; a version is loaded once, however many ask for it.

    Args:
        registry: where versions come from.
        models: how many stay in memory.
        device: where their networks run.
    """

    def __init__(self, registry: Registry, models: int = 4, device: str = "cpu") -> None:
        self._registry, self._most, self._device = registry, models, device
        self._served: OrderedDict[str, Served] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}

    @property
    def models(self) -> list[str]:
        """The versions in memory, the most recently used last."""
        with self._lock:
            return list(self._served)

    def served(self, model: str, digest: str | None = None) -> Served:
        """Return a version, loaded if need be.

        Args:
            model: `name:version`.
            digest: of the content that is expected; None for any.

        Raises:
            NotFound: there is no such version.
            BundleError: it is damaged, or not what is expected.
        """
        found = self.known(model, digest) or self._loaded(model, digest)
        if digest is not None and found.manifest.digest != digest:
            raise BundleError(f"{model} has other content than when the answer began; ask for the rows anew")
        return found

    def known(self, model: str, digest: str | None = None) -> Served | None:
        """Return a version that is in memory, with the content that is expected; None where it is not."""
        with self._lock:
            found = self._served.get(model)
            if found is not None:
                self._served.move_to_end(model)
        return found if found is not None and digest in (None, found.manifest.digest) else None

    def _loaded(self, model: str, digest: str | None) -> Served:
        with self._lock:
            own = self._loading.setdefault(model, threading.Lock())
        with own:
            if (found := self.known(model, digest)) is not None:
                return found
            found = load_served(self._registry, model, self._device)
            with self._lock:
                self._served[model] = found
                self._served.move_to_end(model)
                while len(self._served) > self._most:
                    self._served.popitem(last=False)
                self._loading.pop(model, None)
            return found

    def forget(self, model: str) -> None:
        """Drop a version from memory, if it is there."""
        with self._lock:
            self._served.pop(model, None)

    def prepare(self, model: str) -> Json:
        """Load a version, as the registry has it now, and return its description."""
        try:
            digest = self._registry.show(model)["manifest"]["digest"]
        except BundleError:
            # What is wrong with it is found, and told, in loading it.
            digest = None
        return self.served(model, digest).description()

    def probe(self, model: str | None = None) -> int:
        """Make a few rows of every version in memory; return how many versions there are.

        Args:
            model: is loaded where there is none.

        Raises:
            NotFound: there is no such version.
            BundleError: a version no longer gives rows of its columns, or cannot be loaded.
        """
        if model is not None and not self.models:
            self.served(model)
        models = self.models
        for model in models:
            found = self.known(model)
            if found is not None:
                rows = found.generator.sample(HEALTH_ROWS, candidates=1)
                if rows.num_rows != HEALTH_ROWS or not _sound(rows):
                    self.forget(model)
                    raise BundleError(f"{model} makes rows that are not sound any more; it is loaded anew")
        return len(models)


def checked(served: Served, call: RowsCall) -> Json:
    """Check a call without making rows.

    Returns:
        `schema` (Arrow IPC, base64) and `candidates`, as rows will be made; `bytes` of a row by format;
        `identifiers`, which bound the number of the last row (see `Served.identifiers`). All of it is the
        same for any seed and rows.

    Raises:
        ConfigError, ConditionError: a column, value or number that does not fit.
    """
    schema = served.schema(call.columns)
    # Checks condition, seed, offset and candidates at once; makes nothing.
    asked = Piece(call.seed, call.first, call.first, call.where, call.candidates)
    candidates = prepare_piece(served.generator, asked).candidates
    packed = base64.b64encode(schema.serialize().to_pybytes()).decode()
    return {
        "schema": packed,
        "candidates": candidates,
        "bytes": served.row_bytes(call.columns),
        "identifiers": served.identifiers(call.columns),
    }


def made(served: Served, call: RowsCall) -> bytes:
    """Return the rows of a call."""
    batches = served.maker(call.columns).iter_batches(
        call.last - call.first, call.where, call.seed, call.first, 1, call.candidates
    )
    return written(served, call, list(batches))


def written(served: Served, call: RowsCall, batches: list[pa.RecordBatch]) -> bytes:
    """Return batches as the bytes of a call's columns and format."""
    form = FORMATS[call.form]
    if form.pieces is None:
        raise ConfigError(f"replicas do not write {call.form!r}")
    if call.columns is not None:
        batches = [batch.select(list(call.columns)) for batch in batches]
    pieces = [form.pieces(batch) for batch in batches if batch.num_rows]
    return form.between().join(pieces)


def read_schema(packed: str) -> pa.Schema:
    """Return the schema of a check's answer."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(packed)))


def _sound(rows: pa.Table) -> bool:
    floats = [column for column in rows.columns if pa.types.is_floating(column.type)]
    return all(pc.all(pc.is_finite(column.drop_null())).as_py() is not False for column in floats)
