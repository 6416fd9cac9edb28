"""One step: discriminator updates, then a generator update on the last one's rows and noise."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from fingan.networks.batch import Batch
from fingan.networks.layers import ema_update
from fingan.objective import Judged, Objective, Terms, describe
from fingan.training.batches import BatchSource
from fingan.training.distributed import FlatGradients, Reduced, Reducer
from fingan.training.state import TrainState


@dataclass(frozen=True)
class StepSettings:
    """Schedule values of one step.

    Attributes:
        gamma: weight of the gradient penalty.
        decay: of the generator's moving average.
    """

    gamma: float
    decay: float


@dataclass(frozen=True)
class StepReport:
    """What a step saw.

    Attributes:
        healthy: False when a loss or gradient was not finite on some worker. The network in
            question was then left alone on every worker, but the discriminator may have moved.
        terms: detached local terms of both losses; empty in an unhealthy step.
        discriminator_norm, generator_norm: norms of the global gradients.
        batch: the last batch.
        fake: the rows generated for it [B, D].
        margin: D(x) - D(G(z)) of each pair before the discriminator's last update [B].
    """

    healthy: bool
    terms: Terms
    discriminator_norm: float
    generator_norm: float
    batch: Batch
    fake: Tensor
    margin: Tensor


class Stepper:
    """Takes steps on a state; knows the objective, the data and the peers."""

    def __init__(
        self,
        state: TrainState,
        source: BatchSource,
        objective: Objective,
        reducer: Reducer,
        discriminator_steps: int,
        autocast: bool,
    ) -> None:
        self._state, self._source, self._objective = state, source, objective
        self._parts, self._autocast = discriminator_steps, autocast
        carried = state.marginals.shares.numel() + 1 if state.marginals.active else 0
        self._generator_gradients = FlatGradients(state.generator, reducer, carried)
        self._discriminator_gradients = FlatGradients(state.discriminator, reducer)

    def _precision(self, batch: Batch) -> AbstractContextManager[object]:
        """Return the context of one forward pass.

        Autocast keeps the bfloat16 copy of a weight until its context ends. Weights move only
        between contexts, so a copy is never older than its weight.
        """
        return torch.autocast(batch.rows.device.type, torch.bfloat16) if self._autocast else nullcontext()

    def _generate(self, batch: Batch, *, graph: bool) -> tuple[Tensor, Tensor]:
        """Return generated rows and the raw rows behind them."""
        with torch.set_grad_enabled(graph), self._precision(batch):
            return self._state.generator.draw(batch.noise, batch.rows, batch.mask, batch.gumbel)

    def _update_discriminator(
        self, batch: Batch, fake: Tensor, gamma: float
    ) -> tuple[Judged, Tensor, Reduced]:
        """Move the discriminator; return its scores before, its loss, and what it came to."""
        state = self._state
        self._discriminator_gradients.clear()
        with self._precision(batch):
            judged = self._objective.penalty.judge(state.discriminator, batch, fake.detach(), gamma)
        loss = self._objective.discriminator(judged.real, judged.fake).sum() / batch.global_size
        loss = loss + judged.penalty
        loss.backward()
        reduced = self._discriminator_gradients.reduce(loss)
        if reduced.finite:
            state.discriminator_optimizer.step()
        return judged, loss, reduced

    def _update_generator(
        self, batch: Batch, fake: Tensor, raw: Tensor, real: Tensor, decay: float
    ) -> tuple[Tensor, Reduced]:
        """Move the generator and its average; return its loss, and what it came to.

        `raw` is what the rows were drawn from. The real rows' logits are those before the
        discriminator's update: scoring them again costs a tenth of the step and changed no
        result that we could measure.
        """
        state = self._state
        self._generator_gradients.clear()
        state.discriminator.requires_grad_(False)
        try:
            with self._precision(batch):
                made = state.discriminator(fake, batch.mask).logits
            loss = self._objective.generator(real, made).sum() / batch.global_size
            kept, seen = self._keep_shares(batch, raw)
            (loss + kept).backward()
        finally:
            state.discriminator.requires_grad_(True)
        reduced = self._generator_gradients.reduce(loss, seen)
        if reduced.finite:
            state.generator_optimizer.step()
            ema_update(state.average, state.generator, decay)
            if seen is not None:
                state.marginals.observe(reduced.carried[:-1], reduced.carried[-1])
        return loss, reduced

    def _keep_shares(self, batch: Batch, raw: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return this worker's share of the marginal term, and what the term is to learn of the batch.

        Only rows without a condition count: those under one have other shares. Divided by all rows, the
        term weighs as much less as there are fewer of them (see `Marginals`).
        """
        marginals = self._state.marginals
        if not marginals.active:
            return raw.new_zeros(()), None
        free = (batch.mask.sum(dim=1) == 0).to(raw.dtype)
        chances = self._state.generator.head.chances(raw) * free[:, None]
        seen = torch.cat([chances.detach().sum(dim=0), free.sum()[None]])
        return marginals.loss(chances).sum() / batch.global_size, seen

    def step(self, step: int, attempt: int, settings: StepSettings) -> StepReport:
        """Take one step.

        The last batch's fakes are generated once: the discriminator learns from them first,
        then the generator is moved by the updated discriminator's view of the same rows.
        """
        for part in range(self._parts):
            batch = self._source.batch(step, part, attempt)
            fake, raw = self._generate(batch, graph=part == self._parts - 1)
            judged, told, moved = self._update_discriminator(batch, fake, settings.gamma)
            margin = (judged.real - judged.fake).detach()
            if not moved.finite:
                return StepReport(False, {}, moved.norm, 0.0, batch, fake.detach(), margin)
        wanted, made = self._update_generator(batch, fake, raw, judged.real.detach(), settings.decay)
        terms = describe(told, wanted, judged, batch.global_size) if made.finite else {}
        return StepReport(made.finite, terms, moved.norm, made.norm, batch, fake.detach(), margin)
