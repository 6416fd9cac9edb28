"""The sampling engine: fixed blocks of rows, each a function of (bundle, seed, block).

The noise of a block of `BLOCK` rows is one stream (see `noise`), and a row gets the bits that a
forward pass of its whole block gives it, although matrix products may depend on their shape in the
last bits; so row i is the same whatever the batch size, the offset or the number of threads. A
block of which only some rows are wanted shares its pass with others (see `PassSizes`). Calibration
and decoding are elementwise and run over several passes at once.

Letters: B rows, D dense width, F numeric fields, C categorical fields, M conditioning units,
S codes, Z noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import groupby
from typing import TypeVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.functional import pad

from fingan.encoding.layout import Layout
from fingan.encoding.table import Given, TableEncoder
from fingan.generator.calibration import Calibration
from fingan.generator.choice import CodeChoice
from fingan.generator.forward import Forward, RawFields
from fingan.generator.noise import Noise, draw_noise, side_by_side, uniforms
from fingan.networks.rows import dense_rows
from fingan.networks.tabular import TabularGenerator
from fingan.rng import key, torch_generator
from fingan.types import Bool, Float32, Float64, Int64

BLOCK = 1024
"""Rows of a forward pass: its largest activations stay in a core's own cache."""

STEP = 32
"""A pass of fewer rows has a multiple of this."""

Item = TypeVar("Item")
Draw = Callable[..., Noise]

DRAWN = 128
"""Of a block of which no later rows are wanted, the noise of so many is drawn."""

Condition = Callable[[Float64], Given]
"""Maps spare uniforms [B, M], which draw among values that agree, to what is given of B rows."""


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
class Stretch:
    """Consecutive rows of one stream of noise.

    Attributes:
        seed, purpose: keys of the noise.
        first, last: the rows first … last − 1, at least one.
    """

    seed: int
    purpose: str
    first: int
    last: int


@dataclass(frozen=True)
class Ask:
    """Rows that are wanted: those of each stretch, one after the other.

    Attributes:
        stretches: at least one.
        condition: what is given of the rows, None for nothing. Where only some rows of a block are
            asked for, a function of each row alone.
    """

    stretches: Sequence[Stretch]
    condition: Condition | None = None


@dataclass(frozen=True)
class _Cut:
    """Rows first … last − 1 of one block, wanted by ask number `ask`."""

    ask: int
    seed: int
    purpose: str
    block: int
    first: int
    last: int

    @property
    def rows(self) -> int:
        return self.last - self.first


@dataclass(frozen=True)
class _Pass:
    """Cuts side by side in a forward pass of `size` rows, from row `place` on."""

    cuts: list[_Cut]
    size: int
    place: int

    def pad(self, rows: Tensor) -> Tensor:
        """Return the cuts' rows [B, …] in their places, zeros elsewhere [size, …]."""
        after = self.size - self.place - rows.shape[0]
        return pad(rows, (0, 0, self.place, after)) if self.place or after else rows


class PassSizes:
    """Finds out which forward passes give a row the bits that a pass of its whole block gives it.

    It does not matter which rows are beside it, but matrix products may be summed in another order
    for another number of rows, or at another place among them. On Zen 4 (AVX-512; MKL and oneDNN,
    fp32 and bf16) neither happens: all 1,024 places and all multiples of 16 gave the same bits (only
    fewer than twelve rows did not). As that is nowhere promised, a size is tried before its first use.

    Args:
        forward: runs the network.
        layout: the dense row.
        noise: width of the noise.
    """

    def __init__(self, forward: Forward, layout: Layout, noise: int) -> None:
        self._forward, self._layout, self._noise = forward, layout, noise
        self._agrees: dict[tuple[int, bool], bool] = {}

    def fitting(self, rows: int, conditional: bool) -> int:
        """Return the size of the pass for 1 … BLOCK rows of any blocks; 0 where each must keep its place."""
        for size in (-(-rows // STEP) * STEP, BLOCK):
            if (size, conditional) not in self._agrees:
                self._agrees[size, conditional] = self._try(size, conditional)
            if self._agrees[size, conditional]:
                return size
        return 0

    def _try(self, size: int, conditional: bool) -> bool:
        """Compare rows of a whole block with the same rows elsewhere in a pass of another size."""
        generator = torch_generator(0, "pass sizes", size)
        moved = torch.randperm(BLOCK, generator=generator)[:size]
        normal, rows, mask = torch.randn(BLOCK, self._noise, generator=generator), None, None
        if conditional:
            rows = torch.randn(BLOCK, self._layout.dense, generator=generator)
            mask = torch.randint(2, (BLOCK, self._layout.units), generator=generator).float()
        whole = self._forward(normal, rows, mask)
        rows, mask = (None if given is None else given[moved] for given in (rows, mask))
        own = self._forward(normal[moved], rows, mask)
        pairs = (own.numbers, whole.numbers), (own.logits, whole.logits)
        return all(np.array_equal(part, block[:, moved.numpy()]) for part, block in pairs)


@dataclass(frozen=True)
class Known:
    """What is given of some rows, and where in their intervals the given numbers are [F, B]."""

    given: Given
    position: Float64

    def exact(self) -> Float64:
        """Return u of the given numbers [F, B]."""
        fields = self.given.fields
        return fields.lower.T.astype(np.float64) + self.position * fields.width.T


@dataclass(frozen=True)
class _Part:
    """Rows before calibration: raw numbers [F, B], codes [C, B], spare uniforms [M, B]."""

    numbers: Float32
    codes: Int64
    spare: Float64
    known: Known | None


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

    def without_identifiers(self) -> Engine:
        """Return what makes the other columns of the same rows."""
        return replace(self, encoder=self.encoder.without_identifiers())

    @cached_property
    def _forward(self) -> Forward:
        return Forward(self.network, self.autocast, self.device)

    @cached_property
    def _sizes(self) -> PassSizes:
        return PassSizes(self._forward, self.encoder.layout, self.noise)

    @cached_property
    def _choice(self) -> CodeChoice:
        return CodeChoice(self.encoder.layout.widths, self.calibration.offsets)

    def draw(self, seed: int, purpose: str, block: int, rows: int = BLOCK) -> Noise:
        """Return the noise of a block's first rows."""
        layout = self.encoder.layout
        return draw_noise(self.noise, len(layout.widths), layout.units, (seed, purpose, block), rows)

    def raw(self, normal: Tensor, rows: Tensor | None, mask: Tensor | None) -> RawFields:
        """Return the network's raw output (see `Forward`): one forward pass."""
        return self._forward(normal, rows, mask)

    def rows(self, seed: int, blocks: range, condition: Condition | None, purpose: str) -> RawRows:
        """Generate consecutive blocks, at least one (see `Stretch` and `Ask`)."""
        whole = Stretch(seed, purpose, blocks.start * BLOCK, blocks.stop * BLOCK)
        return self.make([Ask([whole], condition)])[0]

    def make(self, asks: Sequence[Ask]) -> list[RawRows]:
        """Generate the rows of asks, at least one; those of several share forward passes."""
        parts: list[list[_Part]] = [[] for _ in asks]
        # Several stretches may be of one sample, as pages are: the noise of some blocks is held.
        several = len(asks) > 1 or len(asks[0].stretches) > 1
        draw = lru_cache(8)(self.draw) if several else self.draw
        for conditional in (False, True):
            # Nothing given is a narrower network.
            wanted = (n for n, ask in enumerate(asks) if (ask.condition is not None) == conditional)
            cuts = (cut for number in wanted for cut in _cuts(number, asks[number].stretches))
            for run in self._passes(cuts, conditional):
                for number, part in self._run(run, asks, draw):
                    parts[number].append(part)
        # All passes at once: a short array costs as much in calls as in arithmetic.
        u = self.calibration.u(np.hstack([part.numbers for own in parts for part in own]))
        ends = np.cumsum([sum(part.codes.shape[1] for part in own) for own in parts])
        shares = np.split(u, ends[:-1], axis=1)
        return [self._raw_rows(own, share) for own, share in zip(parts, shares, strict=True)]

    def _passes(self, cuts: Iterable[_Cut], conditional: bool) -> Iterator[_Pass]:
        """Put cuts together into forward passes."""
        for together in filled(cuts, lambda cut: cut.rows, BLOCK):
            if together[0].rows == BLOCK:
                yield _Pass(together, BLOCK, 0)
            elif size := self._sizes.fitting(sum(cut.rows for cut in together), conditional):
                yield _Pass(together, size, 0)
            else:
                yield from (_Pass([cut], BLOCK, cut.first) for cut in together)

    def _run(self, run: _Pass, asks: Sequence[Ask], draw: Draw) -> Iterator[tuple[int, _Part]]:
        """Make a pass; return the number of each ask in it and its share, in order."""
        shares = [(number, list(cuts)) for number, cuts in groupby(run.cuts, lambda cut: cut.ask)]
        known = [self._known(asks[number].condition, cuts) for number, cuts in shares]
        given = [own for own in known if own is not None]
        rows = mask = None
        if given:
            rows = run.pad(torch.cat([dense_given(self.encoder, own) for own in given]))
            mask = run.pad(torch.from_numpy(np.concatenate([own.given.mask for own in given])).float())
        noise = side_by_side([_noise(cut, draw) for cut in run.cuts])
        raw = self.raw(run.pad(noise.normal), rows, mask)
        here = slice(run.place, run.place + len(noise.normal))
        numbers, codes = raw.numbers[:, here], self._choice(raw.logits[:, here], noise.choice)
        last = 0
        for (number, cuts), own in zip(shares, known, strict=True):
            first, last = last, last + sum(cut.rows for cut in cuts)
            share = slice(first, last)
            yield number, _Part(numbers[:, share], codes[:, share], noise.spare[:, share], own)

    def _known(self, condition: Condition | None, cuts: Sequence[_Cut]) -> Known | None:
        """Return what is given of the rows of cuts, side by side."""
        if condition is None:
            return None
        layout, draws = self.encoder.layout, []
        for cut in cuts:
            of_block = cut.seed, f"{cut.purpose} given", cut.block
            draws.append(uniforms(layout.units + layout.numeric, of_block, cut.last)[:, cut.first :])
        spare, position = np.split(np.hstack(draws), [layout.units])
        return Known(condition(spare.T), position)

    def _raw_rows(self, parts: Sequence[_Part], u: Float64) -> RawRows:
        """Return the rows of parts, what is given in its place; `u` is [F, B]."""
        codes = np.hstack([part.codes for part in parts])
        spare = np.hstack([part.spare for part in parts])
        known = [part.known for part in parts if part.known is not None]
        if not known:
            return RawRows(u, codes, spare, {})
        layout = self.encoder.layout
        kept = np.concatenate([part.given.mask for part in known]).T[list(layout.unit_of_field)]
        exact = np.hstack([part.exact() for part in known])
        own = np.concatenate([part.given.fields.codes for part in known]).T
        given = {}
        for name in known[0].given.columns:
            columns = [part.given.columns[name] for part in known]
            where = np.concatenate([where for where, _ in columns])
            given[name] = (where, pa.concat_arrays([values for _, values in columns]))
        u = np.where(kept[: layout.numeric], exact, u)
        return RawRows(u, np.where(kept[layout.numeric :], own, codes), spare, given)

    def decode(self, rows: RawRows, row_index: Int64 | None, seed: int) -> pa.RecordBatch:
        """Decode rows, of the numbers `row_index` [B], into a record batch; None leaves identifiers null."""
        identifiers = key(seed, "identifier")
        return self.encoder.decode(rows.u.T, rows.codes.T, rows.spare.T, row_index, identifiers, rows.given)

    def identify(
        self, rows: pa.RecordBatch, row_index: Int64, seed: int, nulls: bool = True
    ) -> pa.RecordBatch:
        """Fill the identifiers that `decode` left null; `nulls` says whether null is one of them."""
        return self.encoder.identify(rows, row_index, key(seed, "identifier"), nulls)


def filled(items: Iterable[Item], rows: Callable[[Item], int], most: int) -> Iterator[list[Item]]:
    """Put items together in their order, at most `most` rows at a time; a larger item is alone."""
    together: list[Item] = []
    total = 0
    for item in items:
        if together and total + rows(item) > most:
            yield together
            together, total = [], 0
        together.append(item)
        total += rows(item)
    if together:
        yield together


def _cuts(ask: int, stretches: Iterable[Stretch]) -> Iterator[_Cut]:
    """Divide the stretches of an ask at the borders of blocks."""
    for stretch in stretches:
        for block in range(stretch.first // BLOCK, -(-stretch.last // BLOCK)):
            first, last = stretch.first - block * BLOCK, stretch.last - block * BLOCK
            yield _Cut(ask, stretch.seed, stretch.purpose, block, max(first, 0), min(last, BLOCK))


def _noise(cut: _Cut, draw: Draw) -> Noise:
    """Return the noise of a cut; a block's is a stream, and drawn from its start."""
    if cut.rows == BLOCK:
        return draw(cut.seed, cut.purpose, cut.block)
    # Only two sizes, so that pages of a sample find what was drawn for others.
    rows = DRAWN if cut.last <= DRAWN else BLOCK
    return draw(cut.seed, cut.purpose, cut.block, rows).cut(cut.first, cut.last)


def dense_given(encoder: TableEncoder, known: Known) -> Tensor:
    """Return dense rows [B, D] of given fields; open positions hold anything."""
    layout, fields = encoder.layout, known.given.fields
    places = torch.from_numpy(fields.codes.astype(np.int64) + layout.offsets())
    lower, width = torch.from_numpy(fields.lower), torch.from_numpy(fields.width)
    return dense_rows(layout, lower, width, places, torch.from_numpy(known.position.T).float())
