"""One step: discriminator updates, then a generator update on the last one's rows and noise."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from fingan.networks.batch import Batch
from fingan.networks.layers import ema_update
from fingan.objective.base import Objective, Terms
from fingan.training.batches import BatchSource
from fingan.training.distributed import FlatGradients, Reduced, Reducer
from fingan.training.state import TrainState


@dataclass(frozen=True)
class StepSettings:
    """Schedule values of one step.

    Attributes:
        gamma: weight of the gradient penalty.
        decay: of the generator's moving average.
        jitter: whether the penalty needs normals.
    """

    gamma: float
    decay: float
    jitter: bool


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
    """

    healthy: bool
    terms: Terms
    discriminator_norm: float
    generator_norm: float
    batch: Batch
    fake: Tensor


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
        self._generator_gradients = FlatGradients(state.generator, reducer)
        self._discriminator_gradients = FlatGradients(state.discriminator, reducer)

    def _precision(self, batch: Batch) -> AbstractContextManager[object]:
        """Return the context of one forward pass.

        Autocast keeps the bfloat16 copy of a weight until its context ends. Weights move only
        between contexts, so a copy is never older than its weight.
        """
        return torch.autocast(batch.rows.device.type, torch.bfloat16) if self._autocast else nullcontext()

    def _generate(self, batch: Batch, *, graph: bool) -> Tensor:
        with torch.set_grad_enabled(graph), self._precision(batch):
            fake: Tensor = self._state.generator(batch.noise, batch.rows, batch.mask, batch.gumbel)
            return fake

    def _update_discriminator(
        self, batch: Batch, fake: Tensor, step: int, gamma: float
    ) -> tuple[Terms, Reduced]:
        state = self._state
        self._discriminator_gradients.clear()
        with self._precision(batch):
            loss, terms = self._objective.discriminator_loss(
                state.discriminator, batch, fake.detach(), step, gamma
            )
        loss.backward()
        reduced = self._discriminator_gradients.reduce(loss)
        if reduced.finite:
            state.discriminator_optimizer.step()
        return terms, reduced

    def _update_generator(self, batch: Batch, fake: Tensor, step: int, decay: float) -> tuple[Terms, Reduced]:
        state = self._state
        self._generator_gradients.clear()
        state.discriminator.requires_grad_(False)
        try:
            with self._precision(batch):
                loss, terms = self._objective.generator_loss(state.discriminator, batch, fake, step)
            loss.backward()
        finally:
            state.discriminator.requires_grad_(True)
        reduced = self._generator_gradients.reduce(loss)
        if reduced.finite:
            state.generator_optimizer.step()
            ema_update(state.average, state.generator, decay)
        return terms, reduced

    @torch.no_grad()
    def certainty(self, report: StepReport) -> Tensor:
        """Return the local sum of σ(D(x) - D(G(z))) over pairs with nothing given, and their number [2].

        Where something is given, real and generated rows may agree in all the rest, and no
        discriminator however strong is certain.
        """
        batch, discriminator = report.batch, self._state.discriminator
        with self._precision(batch):
            real, made = (discriminator(rows, batch.mask).logits for rows in (batch.rows, report.fake))
        free = (batch.mask == 0).all(dim=1).double()
        return torch.stack([(torch.sigmoid(real - made).double() * free).sum(), free.sum()])

    def step(self, step: int, attempt: int, settings: StepSettings) -> StepReport:
        """Take one step.

        The last batch's fakes are generated once: the discriminator learns from them first,
        then the generator is moved by the updated discriminator's view of the same rows.
        """
        for part in range(self._parts):
            batch = self._source.batch(step, part, attempt, settings.jitter)
            fake = self._generate(batch, graph=part == self._parts - 1)
            d_terms, judged = self._update_discriminator(batch, fake, step, settings.gamma)
            if not judged.finite:
                return StepReport(False, {}, judged.norm, 0.0, batch, fake.detach())
        g_terms, moved = self._update_generator(batch, fake, step, settings.decay)
        if not moved.finite:
            return StepReport(False, {}, judged.norm, moved.norm, batch, fake.detach())
        terms = {f"discriminator_{k}": v for k, v in d_terms.items()}
        terms |= {f"generator_{k}": v for k, v in g_terms.items()}
        return StepReport(True, terms, judged.norm, moved.norm, batch, fake.detach())
