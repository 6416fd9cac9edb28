"""The batch of a step: a function of (seed, step) alone, of which each worker takes its slice.

The global batch is cut into a fixed number of virtual shards. A shard draws everything it
needs (rows, positions inside atoms, masks, noise) from its own keyed generator, and workers
share the shards out, so 1, 2 or 4 workers see the same rows and the same noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fingan.config import Config
from fingan.encoding.layout import Layout
from fingan.encoding.stored import StoredTable
from fingan.encoding.table import EncodedTable
from fingan.errors import ConfigError, DataError
from fingan.networks.batch import Batch, Steps
from fingan.networks.rows import dense_rows
from fingan.rng import torch_generator
from fingan.training.directions import correlation_root
from fingan.training.rows import Draws, MemoryRows, Rows, StoredRows
from fingan.training.steps import StepMaker, no_steps
from fingan.types import Int32, Int64

GIVEN_MORE_OFTEN = 0.5
DRAWN_BY_LABEL, LABEL_ALONE = 0.5, 0.25
"""Shares of the conditional rows that are drawn by their label, and that have nothing else given."""

TINY = 1e-7


@dataclass(frozen=True)
class Conditioning:
    """Which units may be given, and how often.

    Attributes:
        eligible: units that may be given [M].
        favoured: units that are given at least half of the time when anything is [M].
        label: categorical field whose rare codes are shown more often as conditions.
        label_unit: the unit of that field.
    """

    eligible: Tensor
    favoured: Tensor
    label: int | None = None
    label_unit: int | None = None


def shard_bounds(total: int, shards: int, rank: int, world: int) -> list[tuple[int, int, int]]:
    """Return (shard, first, last) of the rows in the global batch that this worker draws."""
    mine = range(rank * shards // world, (rank + 1) * shards // world)
    return [(s, s * total // shards, (s + 1) * total // shards) for s in mine]


class BatchSource:
    """Draws the local slice of any step's batch.

    An epoch visits every row once (see `rows`). Where a row is drawn for its label instead (see
    `Conditioning`), it stands in for the visited one; rows with nothing given are never replaced.

    Attributes:
        rows, size: of the table, and of the global batch.
        unit: conditioning unit of each dense position [D].
        along: root [F, F] of the numeric fields' correlation, along which the penalty steps.

    Args:
        table: fields of the N training rows, held or stored.
        layout: where the fields stand in a dense row.
        config: batch size, shards, noise width, conditioning and objective.
        conditioning: which units may be given.
        rank, world: this worker among all.
        device, dtype: of the batch.

    Raises:
        DataError: fewer rows than a batch.
        ConfigError: more workers than shards.
    """

    def __init__(
        self,
        table: EncodedTable | StoredTable,
        layout: Layout,
        config: Config,
        conditioning: Conditioning,
        rank: int = 0,
        world: int = 1,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.rows, self.size = len(table), config.training.batch_size
        if self.rows < self.size:
            raise DataError(
                f"{self.rows} training rows are fewer than a batch of {self.size}; "
                f"set training.batch_size to at most {max(2, self.rows)}"
            )
        shards = min(config.training.shards, self.size)
        if world > shards:
            raise ConfigError(f"{world} workers need at least as many training.shards, which is {shards}")
        self._bounds = shard_bounds(self.size, shards, rank, world)
        self._first, self._last = self._bounds[0][1], self._bounds[-1][2]
        self._layout = layout
        self._config, self._conditioning = config, conditioning
        self._offsets = torch.from_numpy(layout.offsets())
        self._device, self._dtype = device, dtype
        self.unit = torch.from_numpy(layout.unit_of_dense()).to(device)
        label, seed = conditioning.label, config.seed
        self._rows: Rows
        if isinstance(table, EncodedTable):
            self._rows = MemoryRows(table, self._bounds, self.size, label, seed)
        else:
            self._rows = StoredRows(table, self._bounds, self.size, label, seed)
        self.along = correlation_root(table if isinstance(table, EncodedTable) else table.sample)
        stepped = config.objective.penalty != "none" and config.objective.name != "wasserstein_gp"
        self._steps = StepMaker(layout, self.along) if stepped else None

    def _draws(
        self, step: int, part: int, attempt: int, widths: tuple[int, int, int, int], paying: Int64
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return uniforms and normals of those widths for all rows, then the same for the paying ones.

        Each shard's come from its own generator.
        """
        rows = self._last - self._first
        uniform, normal = (torch.empty(rows, width) for width in widths[:2])
        paying_uniform, paying_normal = (torch.empty(paying.size, width) for width in widths[2:])
        for shard, first, last in self._bounds:
            generator = torch_generator(self._config.seed, "batch", step, part, attempt, shard)
            here = slice(first - self._first, last - self._first)
            pays = slice(*np.searchsorted(paying, (here.start, here.stop)))
            uniform[here].uniform_(generator=generator)
            normal[here].normal_(generator=generator)
            paying_uniform[pays].uniform_(generator=generator)
            paying_normal[pays].normal_(generator=generator)
        return uniform, normal, paying_uniform, paying_normal

    def _paying(self, step: int) -> Int64:
        """Return the places of the rows that pay the penalty: every n-th of the batch, by turns."""
        every = self._config.objective.penalty_every
        return np.arange((step - self._first) % every, self._last - self._first, every)

    def _turns(self, step: int, paying: Int64) -> Tensor:
        """Return the number of each paying row among those of the global batch; by its parity it steps.

        Where there is an odd number of them they are counted from 0 and from 1 by turns. A batch of one
        would never step in its categories otherwise.
        """
        every = self._config.objective.penalty_every
        turn, place = divmod(step, every)
        odd = len(range(place, self.size, every)) % 2
        return torch.from_numpy((self._first + paying) // every + odd * (turn + place))

    def _masks(self, pick: Tensor, extent: Tensor, draw: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mask [B, M] and which rows are drawn for their label [B].

        A conditional row gives each unit with a chance that is itself uniform, so that few and
        many given units are equally common. Half of the conditional rows are drawn by label
        and have it given, half of these nothing else: of many units a chance would hardly ever
        give one alone. P(rest | label) is what they teach, which the resampled label does not
        change.

        Args:
            pick: uniforms [B] that choose the kind of each row.
            extent: uniforms [B, 1], each row's chance.
            draw: uniforms [B, M].
        """
        share, unit = self._config.conditioning.unconditional_share, self._conditioning.label_unit
        chance = extent.maximum(self._conditioning.favoured * GIVEN_MORE_OFTEN)
        mask = (draw < chance) & self._conditioning.eligible & (pick >= share)[:, None]
        if unit is None:
            return mask.to(torch.float32), torch.zeros_like(pick, dtype=torch.bool)
        drawn, alone = (pick >= 1.0 - part * (1.0 - share) for part in (DRAWN_BY_LABEL, LABEL_ALONE))
        mask &= ~alone[:, None]
        mask[:, unit] |= drawn
        return mask.to(torch.float32), drawn

    def batch(self, step: int, part: int = 0, attempt: int = 0) -> Batch:
        """Return this worker's slice of the batch.

        Args:
            step: number of the step; with the seed it decides everything.
            part: number of the batch within the step (several discriminator updates).
            attempt: roll-backs so far: a repeated step visits the same rows with new draws.
        """
        layout, maker = self._layout, self._steps
        uniforms = [1, 1, 1, 1, 1, layout.units, layout.numeric, layout.codes]
        extra = (0, 0) if maker is None else (1 + maker.uniforms, maker.normals)
        widths = sum(uniforms), self._config.network.noise, *extra
        paying = self._paying(step)
        uniform, noise, *stepping = self._draws(step, part, attempt, widths, paying)
        pick, extent, code, row, mix, draw, position, gumbel = uniform.split(uniforms, dim=1)
        mask, by_label = self._masks(pick[:, 0], extent, draw)
        number = step * self._config.objective.discriminator_steps + part
        other = stepping[0][:, 0] if maker is not None else torch.zeros(paying.size)
        fields, others = self._rows.meet(
            number, Draws(by_label.numpy(), code[:, 0], row[:, 0], paying, other)
        )
        batch = Batch(
            rows=self._dense(fields, position),
            mask=mask,
            noise=noise,
            gumbel=gumbel.clamp(TINY, 1.0 - TINY).log_().neg_().log_().neg_(),
            penalised=torch.from_numpy(paying),
            steps=self._steps_away(self._turns(step, paying), others, *stepping),
            mix=mix[torch.from_numpy(paying)],
            global_size=self.size,
        )
        return batch.to(self._device, self._dtype)

    def _steps_away(self, turns: Tensor, others: Int32, uniform: Tensor, normal: Tensor) -> Steps:
        """Return the steps of the paying rows, categories towards those of other rows of the table."""
        if self._steps is None:
            return no_steps(len(turns))
        places = torch.from_numpy(others) + (self._offsets - self._layout.numeric)
        return self._steps.steps(turns, normal, uniform[:, 1:], places)

    def _dense(self, fields: EncodedTable, position: Tensor) -> Tensor:
        lower, width, codes = map(torch.from_numpy, (fields.lower, fields.width, fields.codes))
        return dense_rows(self._layout, lower, width, codes + self._offsets, position)


def conditioning_of(
    config: Config, units: Sequence[Sequence[str]], label: tuple[int, int] | None, target: str | None
) -> Conditioning:
    """Translate `conditioning` and `data.target` into units.

    Args:
        config: the run's configuration.
        units: the columns of each unit.
        label: categorical field and unit of the target, if it is categorical.
        target: the label column.
    """
    chosen = config.conditioning.columns
    named = set(chosen) if isinstance(chosen, tuple) else set()
    favoured = named | ({target} if target is not None else set())
    eligible = [config.conditioning.covers(columns) for columns in units]
    allowed = label is not None and eligible[label[1]]
    return Conditioning(
        eligible=torch.tensor(eligible, dtype=torch.bool),
        favoured=torch.tensor([bool(favoured & set(columns)) for columns in units], dtype=torch.float32),
        label=label[0] if label is not None and allowed else None,
        label_unit=label[1] if label is not None and allowed else None,
    )
