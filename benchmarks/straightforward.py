"""A straightforward implementation of the recipe, to measure the package's own against.

Plain PyTorch as one would write it from a description of the method: each column has a loop
iteration of its own (one-hot, features, softmax), the discriminator looks at real rows, generated
rows and both kinds of penalty points one after another, the generator makes its rows once for each
network's update, the optimisers and the average are PyTorch's plain ones, all in fp32. Same
encoding, networks, losses, penalty, conditioning and schedule-free settings as the default.

Letters: B rows, M units, Z noise.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.results import Row
from fingan.config import Config
from fingan.encoding.layout import Layout
from fingan.encoding.table import EncodedTable
from fingan.networks.features import EDGE_STEEPNESS, PAIR_SCALE, normal_quantile, ramp_knots

SIGMA = 0.1
TEMPERATURE = 0.5
SLOPE = 0.2
MARGIN = 1e-6


class Block(nn.Module):
    """A residual block of two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)

    def forward(self, hidden: Tensor) -> Tensor:
        inner = self.first(functional.leaky_relu(hidden, SLOPE))
        added: Tensor = hidden + self.second(functional.leaky_relu(inner, SLOPE))
        return added


class PlainGenerator(nn.Module):
    """Noise, mask and given values → a list of columns: numbers [B, 1], one-hot categories [B, L]."""

    def __init__(self, layout: Layout, config: Config) -> None:
        super().__init__()
        width = config.network.width
        self.first = nn.Linear(config.network.noise + layout.units + layout.dense, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(config.network.blocks))
        self.numbers = nn.ModuleList(nn.Linear(width, 1) for _ in range(layout.numeric))
        self.categories = nn.ModuleList(nn.Linear(width, levels) for levels in layout.widths)
        self.units = layout.unit_of_field

    def forward(self, noise: Tensor, mask: Tensor, columns: list[Tensor]) -> list[Tensor]:
        known = [column * mask[:, [unit]] for column, unit in zip(columns, self.units, strict=True)]
        hidden = self.first(torch.cat([noise, mask, *known], dim=1))
        for block in self.blocks:
            hidden = block(hidden)
        hidden = functional.leaky_relu(hidden, SLOPE)
        made = [head(hidden) for head in self.numbers]
        for head in self.categories:
            made.append(functional.gumbel_softmax(head(hidden), TEMPERATURE, hard=True))
        given = [mask[:, [unit]] for unit in self.units]
        return [g * c + (1 - g) * m for g, c, m in zip(given, columns, made, strict=True)]


class PlainDiscriminator(nn.Module):
    """Columns and mask → scores [B]."""

    def __init__(self, layout: Layout, config: Config) -> None:
        super().__init__()
        self.numeric, self.pairs = layout.numeric, layout.pairs
        knots = torch.from_numpy(ramp_knots(config.network.knots)).float()
        self.register_buffer("left", knots[:-1])
        self.register_buffer("right", knots[1:])
        inside = [edges[(edges > MARGIN) & (edges < 1 - MARGIN)] for edges in layout.edges]
        self.edges = [torch.from_numpy(normal_quantile(edges)).float() for edges in inside]
        self.ramped = [bool(len(edges)) for edges in layout.edges]
        ramps = (sum(self.ramped) + len(layout.pairs)) * (len(knots) - 1)
        features = ramps + sum(map(len, self.edges))
        self.first = nn.Linear(layout.dense + layout.units + features, config.network.width)
        self.blocks = nn.ModuleList(Block(config.network.width) for _ in range(config.network.blocks))
        self.last = nn.Linear(config.network.width, 1, bias=False)

    left: Tensor
    right: Tensor

    def _ramps(self, number: Tensor) -> Tensor:
        return ((number - self.left) / (self.right - self.left)).clamp(0.0, 1.0) - 0.5

    def forward(self, columns: list[Tensor], mask: Tensor) -> Tensor:
        inputs = [*columns, mask]
        for number, edges, ramped in zip(columns[: self.numeric], self.edges, self.ramped, strict=True):
            if ramped:
                inputs.append(self._ramps(number))
            inputs.append(torch.sigmoid(EDGE_STEEPNESS * (number - edges)))
        for left, right in self.pairs:
            inputs.append(self._ramps((columns[left] - columns[right]) / PAIR_SCALE))
        hidden = self.first(torch.cat(inputs, dim=1))
        for block in self.blocks:
            hidden = block(hidden)
        scores: Tensor = self.last(functional.leaky_relu(hidden, SLOPE)).squeeze(1)
        return scores


class Straightforward:
    """One training run.

    Args:
        encoded: fields of the training rows.
        layout: of the dense row.
        config: the run's configuration.
        penalty_every: the penalty is paid on every so-manieth step, weighted up by it.
    """

    def __init__(self, encoded: EncodedTable, layout: Layout, config: Config, penalty_every: int = 1) -> None:
        self._layout, self._config, self._penalty_every = layout, config, penalty_every
        self._lower = torch.from_numpy(encoded.lower)
        self._width = torch.from_numpy(encoded.width)
        self._codes = torch.from_numpy(encoded.codes).long()
        self.generator = PlainGenerator(layout, config)
        self.discriminator = PlainDiscriminator(layout, config)
        self.average = copy.deepcopy(self.generator)
        rate, betas = config.training.lr, config.training.betas
        self._generator_adam = torch.optim.Adam(self.generator.parameters(), rate, betas)
        self._discriminator_adam = torch.optim.Adam(self.discriminator.parameters(), rate, betas)
        self._steps = 0

    def _batch(self) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return real columns, mask and noise."""
        size = self._config.training.batch_size
        rows = torch.randint(len(self._codes), (size,))
        columns = []
        for field in range(self._layout.numeric):
            lower, width = self._lower[rows, field], self._width[rows, field]
            u = (lower + torch.rand(size) * width).clamp(1e-7, 1 - 1e-7)
            columns.append(torch.special.ndtri(u)[:, None])
        for field, levels in enumerate(self._layout.widths):
            columns.append(functional.one_hot(self._codes[rows, field], levels).float())
        conditional = torch.rand(size, 1) >= self._config.conditioning.unconditional_share
        mask = conditional & (torch.rand(size, self._layout.units) < torch.rand(size, 1))
        return columns, mask.float(), torch.randn(size, self._config.network.noise)

    def _slope(self, columns: list[Tensor], mask: Tensor, scores: Tensor) -> Tensor:
        """Return the first-order estimate of the mean squared slope at these rows."""
        near = [column + SIGMA * torch.randn_like(column) for column in columns]
        there: Tensor = self.discriminator(near, mask)
        return ((scores - there) / SIGMA).square().mean()

    def step(self) -> Row:
        """Take one step of both networks; return both losses."""
        columns, mask, noise = self._batch()
        with torch.no_grad():
            fake = self.generator(noise, mask, columns)
        real_scores, fake_scores = self.discriminator(columns, mask), self.discriminator(fake, mask)
        loss = functional.softplus(fake_scores - real_scores).mean()
        if self._steps % self._penalty_every == 0:
            slopes = self._slope(columns, mask, real_scores) + self._slope(fake, mask, fake_scores)
            loss = loss + self._config.objective.gamma / 2 * self._penalty_every * slopes
        self._discriminator_adam.zero_grad()
        loss.backward()
        self._discriminator_adam.step()

        fake = self.generator(noise, mask, columns)
        real_scores, fake_scores = self.discriminator(columns, mask), self.discriminator(fake, mask)
        wanted = functional.softplus(real_scores - fake_scores).mean()
        self._generator_adam.zero_grad()
        wanted.backward()
        self._generator_adam.step()

        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.generator.parameters(), strict=True)
            for kept, new in pairs:
                kept.mul_(self._config.training.ema).add_(new, alpha=1 - self._config.training.ema)
        self._steps += 1
        return {"discriminator_loss": loss.item(), "generator_loss": wanted.item()}
