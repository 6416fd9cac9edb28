"""The sampling engine: fixed blocks of rows, each a function of (bundle, seed, block).

Noise and forward pass always run in whole blocks of `BLOCK` rows, because matrix products
depend on their shape in the last bits; so row i is the same whatever the batch size, the
offset or the number of threads. Decoding is elementwise and runs over several blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from fingan.encoding.table import EncodedTable, Given, TableEncoder
from fingan.generator.calibration import Calibration
from fingan.generator.threads import one_thread
from fingan.networks.rows import TINY, dense_rows
from fingan.networks.tabular import TabularGenerator
from fingan.rng import key, torch_generator
from fingan.types import Float64, Int64

BLOCK = 1024
Condition = Callable[[Float64], Given]
"""Maps spare uniforms [BLOCK, M], which draw among values that agree, to what is given."""


@dataclass(frozen=True)
class RawBlock:
    """What the network gives for one block, before decoding.

    Attributes:
        u: numeric fields [B, F] in [0, 1].
        codes: categorical fields [B, C].
        spare: uniforms [B, M] for draws inside groups of rare categories.
        given: what was known of the rows, if anything.
    """

    u: Float64
    codes: Int64
    spare: Float64
    given: Given | None

    def cut(self, first: int, last: int) -> RawBlock:
        """Return rows first … last − 1."""
        given = None
        if self.given is not None:
            columns = {
                name: (where[first:last], values.slice(first, last - first))
                for name, (where, values) in self.given.columns.items()
            }
            given = Given(self.given.mask[first:last], self.given.fields, columns)
        return RawBlock(self.u[first:last], self.codes[first:last], self.spare[first:last], given)


@dataclass(frozen=True)
class Engine:
    """Network, calibration and encoder, ready to make rows.

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

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.autocast else nullcontext()

    def draw(self, seed: int, purpose: str, block: int) -> tuple[Tensor, Tensor]:
        """Return a block's normals [BLOCK, Z] and uniforms [BLOCK, S + F + 2M]."""
        layout, generator = self.encoder.layout, torch_generator(seed, purpose, block)
        normal = torch.randn(BLOCK, self.noise, generator=generator)
        width = layout.codes + layout.numeric + 2 * layout.units
        return normal, torch.rand(BLOCK, width, generator=generator)

    @torch.no_grad()
    def raw(self, normal: Tensor, rows: Tensor | None, mask: Tensor | None) -> np.ndarray:
        """Return the network's raw output [BLOCK, D] as float32."""
        dtype = next(self.network.parameters()).dtype

        def move(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(self.device, dtype)

        with one_thread(), self._precision():
            out = self.network.logits(normal.to(self.device, dtype), move(rows), move(mask))
        result: np.ndarray = out.float().cpu().numpy()
        return result

    def block(self, seed: int, number: int, condition: Condition | None, purpose: str) -> RawBlock:
        """Generate one block.

        Args:
            seed: the sample's seed.
            number: number of the block.
            condition: what is given; None for nothing.
            purpose: key of the noise.
        """
        layout = self.encoder.layout
        normal, uniform = self.draw(seed, purpose, number)
        gumbel, position, spare, choice = uniform.split(
            [layout.codes, layout.numeric, layout.units, layout.units], dim=1
        )
        given = None if condition is None else condition(choice.double().numpy())
        if given is None:
            raw = self.raw(normal, None, None)
        else:
            rows = dense_given(self.encoder, given.fields, position)
            raw = self.raw(normal, rows, torch.from_numpy(given.mask).float())
        u = self.calibration.u(raw[:, : layout.numeric])
        codes = self.codes(raw, gumbel)
        if given is not None:
            u, codes = _keep_given(self.encoder, given, u, codes, position.double().numpy())
        return RawBlock(u, codes, spare.double().numpy(), given)

    def codes(self, raw: np.ndarray, gumbel: Tensor) -> Int64:
        """Draw the code of each categorical field [B, C] from raw output and uniforms [B, S]."""
        layout = self.encoder.layout
        logits = torch.from_numpy(raw[:, layout.numeric :] + self.calibration.offsets)
        noise = gumbel_noise(gumbel)
        blank = logits.new_zeros(logits.shape[0], layout.numeric)
        scores = torch.cat([blank, logits], dim=1).to(self.device)
        codes: Int64 = self.network.head.codes(scores, noise.to(self.device)).cpu().numpy()
        return codes

    def decode(self, blocks: list[RawBlock], row_index: Int64, seed: int) -> pa.RecordBatch:
        """Decode consecutive blocks into one record batch."""
        given: dict[str, tuple[np.ndarray, pa.Array]] = {}
        first = blocks[0].given
        if first is not None:
            parts = [block.given for block in blocks if block.given is not None]
            for name in first.columns:
                where = np.concatenate([part.columns[name][0] for part in parts])
                given[name] = (where, pa.concat_arrays([part.columns[name][1] for part in parts]))
        return self.encoder.decode(
            np.concatenate([b.u for b in blocks]),
            np.concatenate([b.codes for b in blocks]),
            np.concatenate([b.spare for b in blocks]),
            row_index,
            key(seed, "identifier"),
            given,
        )


def gumbel_noise(uniform: Tensor) -> Tensor:
    """Return standard Gumbel draws of uniforms."""
    return -(-uniform.clamp(TINY, 1.0 - TINY).log()).log()


def dense_given(encoder: TableEncoder, fields: EncodedTable, position: Tensor) -> Tensor:
    """Return dense rows [B, D] of given fields; open positions hold anything."""
    layout = encoder.layout
    places = torch.from_numpy(fields.codes.astype(np.int64) + layout.offsets())
    lower, width = torch.from_numpy(fields.lower), torch.from_numpy(fields.width)
    return dense_rows(layout, lower, width, places, position)


def _keep_given(
    encoder: TableEncoder, given: Given, u: Float64, codes: Int64, position: Float64
) -> tuple[Float64, Int64]:
    layout = encoder.layout
    owner = np.asarray(layout.unit_of_field, dtype=np.int64)
    kept = given.mask[:, owner]
    fields = given.fields
    exact = fields.lower.astype(np.float64) + position * fields.width
    return (
        np.where(kept[:, : layout.numeric], exact, u),
        np.where(kept[:, layout.numeric :], fields.codes, codes),
    )
