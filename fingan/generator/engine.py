"""The sampling engine: fixed blocks of rows, each a function of (bundle, seed, block).

Noise and forward pass always run in whole blocks of `BLOCK` rows, because matrix products
depend on their shape in the last bits; so row i is the same whatever the batch size, the
offset or the number of threads. Calibration and decoding are elementwise and run over
several blocks at once.

Letters: B rows, D dense width, F numeric fields, C categorical fields, M conditioning units,
S codes, Z noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from fingan.encoding.table import EncodedTable, Given, TableEncoder
from fingan.generator.calibration import Calibration
from fingan.generator.choice import CodeChoice
from fingan.generator.forward import Forward, RawFields
from fingan.networks.rows import dense_rows
from fingan.networks.tabular import TabularGenerator
from fingan.rng import key, torch_generator
from fingan.types import Bool, Float32, Float64, Int64

BLOCK = 1024
"""Rows of a forward pass: its largest activations stay in a core's own cache."""

Condition = Callable[[Float64], Given]
"""Maps spare uniforms [BLOCK, M], which draw among values that agree, to what is given."""


@dataclass(frozen=True)
class Noise:
    """What one block is made from.

    Attributes:
        normal: the network's input [BLOCK, Z].
        choice: uniforms [C, BLOCK] that draw the codes.
        spare: uniforms [M, BLOCK] for draws inside groups of rare categories.
    """

    normal: Tensor
    choice: Float64
    spare: Float64


@dataclass(frozen=True)
class RawRows:
    """Rows before decoding, each field contiguous.

    Attributes:
        u: numeric fields [F, B] in [0, 1].
        codes: categorical fields [C, B].
        spare: uniforms [M, B] for draws inside groups of rare categories.
        given: per given column, where it is given [B] and its values [B].
    """

    u: Float64
    codes: Int64
    spare: Float64
    given: Mapping[str, tuple[Bool, pa.Array]]

    def cut(self, first: int, last: int) -> RawRows:
        """Return rows first … last − 1."""
        rows = slice(first, last)
        given = {
            name: (where[rows], values.slice(first, last - first))
            for name, (where, values) in self.given.items()
        }
        return RawRows(self.u[:, rows], self.codes[:, rows], self.spare[:, rows], given)


@dataclass(frozen=True)
class _Known:
    """What is given of a block: the condition, and the exact u [F, B] of the given numbers."""

    given: Given
    u: Float64


@dataclass(frozen=True)
class _Block:
    """A block before calibration: raw numbers [F, B], codes [C, B], spare uniforms [M, B]."""

    numbers: Float32
    codes: Int64
    spare: Float64
    known: _Known | None


@dataclass(frozen=True)
class Engine:
    """Network, calibration and encoder, ready to make rows.

    The network's weights are read when the first rows are made; for other weights make
    another engine.

    Attributes:
        network: the averaged generator.
        encoder: the table's encoder.
        calibration: corrections of the network's raw output.
        noise: width of its noise.
        autocast: whether it runs in bf16.
        device: where it runs.
    """

    network: TabularGenerator
    encoder: TableEncoder
    calibration: Calibration
    noise: int
    autocast: bool
    device: torch.device

    @cached_property
    def _forward(self) -> Forward:
        return Forward(self.network, self.autocast, self.device)

    @cached_property
    def _choice(self) -> CodeChoice:
        return CodeChoice(self.encoder.layout.widths, self.calibration.offsets)

    def draw(self, seed: int, purpose: str, block: int) -> Noise:
        """Return a block's noise."""
        layout, generator = self.encoder.layout, torch_generator(seed, purpose, block)
        normal = torch.randn(BLOCK, self.noise, generator=generator)
        fields = len(layout.widths)
        uniform = _uniform(fields + layout.units, generator)
        return Noise(normal, uniform[:fields], uniform[fields:])

    def raw(self, normal: Tensor, rows: Tensor | None, mask: Tensor | None) -> RawFields:
        """Return the network's raw output for a block (see `Forward`)."""
        return self._forward(normal, rows, mask)

    def rows(self, seed: int, blocks: range, condition: Condition | None, purpose: str) -> RawRows:
        """Generate consecutive blocks.

        Args:
            seed: the sample's seed.
            blocks: their numbers, at least one.
            condition: what is given; None for nothing.
            purpose: key of the noise.
        """
        parts = [self._block(seed, number, condition, purpose) for number in blocks]
        # All blocks at once: a short array costs as much in calls as in arithmetic.
        u = self.calibration.u(np.hstack([part.numbers for part in parts]))
        codes = np.hstack([part.codes for part in parts])
        spare = np.hstack([part.spare for part in parts])
        known = [part.known for part in parts if part.known is not None]
        return self._keep(known, u, codes, spare) if known else RawRows(u, codes, spare, {})

    def _block(self, seed: int, number: int, condition: Condition | None, purpose: str) -> _Block:
        noise = self.draw(seed, purpose, number)
        known = rows = mask = None
        if condition is not None:
            generator = torch_generator(seed, f"{purpose} given", number)
            given = condition(_uniform(self.encoder.layout.units, generator).T)
            position = _uniform(self.encoder.layout.numeric, generator).T
            rows = dense_given(self.encoder, given.fields, torch.from_numpy(position).float())
            mask = torch.from_numpy(given.mask).float()
            exact = given.fields.lower.astype(np.float64) + position * given.fields.width
            known = _Known(given, exact.T)
        raw = self.raw(noise.normal, rows, mask)
        return _Block(raw.numbers, self._choice(raw.logits, noise.choice), noise.spare, known)

    def _keep(self, known: Sequence[_Known], u: Float64, codes: Int64, spare: Float64) -> RawRows:
        """Put what is given in its place."""
        layout = self.encoder.layout
        kept = np.concatenate([part.given.mask for part in known]).T[list(layout.unit_of_field)]
        exact = np.hstack([part.u for part in known])
        own = np.concatenate([part.given.fields.codes for part in known]).T
        given = {}
        for name in known[0].given.columns:
            columns = [part.given.columns[name] for part in known]
            where = np.concatenate([where for where, _ in columns])
            given[name] = (where, pa.concat_arrays([values for _, values in columns]))
        u = np.where(kept[: layout.numeric], exact, u)
        return RawRows(u, np.where(kept[layout.numeric :], own, codes), spare, given)

    def decode(self, rows: RawRows, row_index: Int64, seed: int) -> pa.RecordBatch:
        """Decode rows, of the numbers `row_index` [B], into a record batch."""
        identifiers = key(seed, "identifier")
        return self.encoder.decode(rows.u.T, rows.codes.T, rows.spare.T, row_index, identifiers, rows.given)


def _uniform(fields: int, generator: torch.Generator) -> Float64:
    """Return uniforms [fields, BLOCK] in [0, 1), in steps of 2^-53."""
    draws: Float64 = torch.rand(fields, BLOCK, generator=generator, dtype=torch.float64).numpy()
    return draws


def dense_given(encoder: TableEncoder, fields: EncodedTable, position: Tensor) -> Tensor:
    """Return dense rows [B, D] of given fields; open positions hold anything."""
    layout = encoder.layout
    places = torch.from_numpy(fields.codes.astype(np.int64) + layout.offsets())
    lower, width = torch.from_numpy(fields.lower), torch.from_numpy(fields.width)
    return dense_rows(layout, lower, width, places, position)
