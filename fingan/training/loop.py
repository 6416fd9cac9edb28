"""The adversarial training loop: one for tables and series, one worker or many.

It knows nothing of Ray: it takes a reducer (rank, world, sums), a `validate` callable and
hooks. Every decision that changes what a worker does next (stop, validate, roll back) is
either a function of reduced values or is taken by rank 0 and broadcast.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from fingan.config import Config
from fingan.errors import CheckpointCorrupt, TrainingDiverged
from fingan.objective import build_objective
from fingan.training.batches import BatchSource
from fingan.training.checkpoint import save_checkpoint
from fingan.training.distributed import Reducer
from fingan.training.health import Ailment, HealthMonitor, Vitals, certainty_sums, spread_sums
from fingan.training.pace import Pace, Verdict
from fingan.training.schedule import ema_decay, learning_rate, penalty_weight
from fingan.training.state import Tensors, TrainState
from fingan.training.step import Stepper, StepReport, StepSettings

WINDOW = 20
"""Steps between looks at health, plan and the user's wishes."""

log = logging.getLogger(__name__)

Validate = Callable[[nn.Module], float]
"""Scores an averaged generator; lower is better. Called on rank 0 only."""


@dataclass(frozen=True)
class Update:
    """One line of live progress.

    Attributes:
        step, planned: steps taken and expected.
        elapsed, remaining: seconds.
        rows_per_second: real rows consumed by the discriminator, over all workers.
        score: newest validation score (lower is better), None before the first.
        best: best one so far.
        terms: window means of the losses' terms; `spread`, `certainty`, `weight_norm` and both
            networks' gradient norms at the window's last step (`spread` of more where that is too little).
        event: what just happened, if anything: `validated`, `rolled back: …`, `checkpoint failed: …`.
        workers: how many train.
        restarts: how often they had to be started again.
        look: number of the run's look that was just taken (see `Run.looks`), the first is 1; 0 for none.
    """

    step: int
    planned: int
    elapsed: float
    remaining: float
    rows_per_second: float
    score: float | None
    best: float | None
    terms: dict[str, float]
    event: str = ""
    workers: int = 1
    restarts: int = 0
    look: int = 0


class Hooks(Protocol):
    """What the loop tells the outside, and what it asks of it."""

    def on_update(self, update: Update) -> None:
        """Take live progress; called on rank 0."""
        ...

    def on_checkpoint(self, path: Path | None, update: Update) -> None:
        """Take a new checkpoint, None where this rank wrote none; called on every rank."""
        ...

    def should_stop(self) -> bool:
        """Whether the user asked to stop and keep the best so far; asked on rank 0."""
        ...


class Silent:
    """Hooks that do nothing."""

    def on_update(self, update: Update) -> None:
        """Ignore it."""

    def on_checkpoint(self, path: Path | None, update: Update) -> None:
        """Ignore it."""

    def should_stop(self) -> bool:
        """Never."""
        return False


@dataclass(frozen=True)
class TrainResult:
    """What a run leaves.

    Attributes:
        weights: the best averaged generator's state.
        score: its validation score; None when nothing was validated.
        best_step, steps: where it was found, and how many steps were taken.
        seconds, rows_per_second: cost.
        rollbacks: how often training was rolled back.
        reason: `finished`, `time budget`, `epochs`, `early stop`, `interrupted` or `pause`.
    """

    weights: Tensors
    score: float | None
    best_step: int
    steps: int
    seconds: float
    rows_per_second: float
    rollbacks: int
    reason: str


@dataclass
class Run:
    """One training run on one worker.

    Attributes:
        config: of the run, the same on every worker.
        state: what is trained; a loaded checkpoint is continued.
        source: this worker's slices of the batches.
        reducer: its peers.
        validate: scores the averaged generator; None validates nothing.
        hooks: what to tell and whom to ask.
        checkpoints: folder that all workers share; None writes none.
        autocast: whether the networks multiply in bfloat16.
        clock: seconds, never going back.
        restarts: how often the workers were started before; only told on.
        looks: shares of the run at which it validates and writes a checkpoint, besides its end; without
            any, it validates at its own rhythm.
        until: share of the run at which it pauses, with a checkpoint from which another goes on; 1 for never.
    """

    config: Config
    state: TrainState
    source: BatchSource
    reducer: Reducer
    validate: Validate | None = None
    hooks: Hooks = field(default_factory=Silent)
    checkpoints: Path | None = None
    autocast: bool = False
    clock: Callable[[], float] = time.monotonic
    restarts: int = 0
    looks: tuple[float, ...] = ()
    until: float = 1.0

    def __post_init__(self) -> None:
        config = self.config
        objective = build_objective(config.objective)
        parts = config.objective.discriminator_steps
        self._stepper = Stepper(self.state, self.source, objective, self.reducer, parts, self.autocast)
        self._monitor = HealthMonitor(bounded_scores=config.objective.name != "wasserstein_gp")
        self._window_terms: list[dict[str, Tensor]] = []
        self._score: float | None = None
        self._events: list[str] = []
        self._look = 0

    def train(self) -> TrainResult:
        """Take steps until the plan is fulfilled, time is up, quality stalls or the user stops.

        Raises:
            TrainingDiverged: unhealthy after `health.max_rollbacks` roll-backs.
            CheckpointCorrupt: the workers start from different states.
        """
        state, progress = self.state, self.state.progress
        self._check_same_start()
        self._pace = Pace(self.config, self.source.rows, progress, self.clock, self.looks, self.until)
        self._keep_good()
        reason, _ = self._agree()
        while not reason:
            report = self._step()
            if not report.healthy:
                self._roll_back("non_finite")
                continue
            progress.step += 1
            self._pace.stepped()
            self._window_terms.append(report.terms)
            if progress.step % WINDOW == 0 or progress.step >= progress.planned:
                reason = self._window(report)
        if self.validate is not None and progress.validated_step < progress.step:
            self._validate()
        if not state.best:
            progress.best_step = progress.step
            if not self._monitor.sound:
                state.load_tensors(self._good)
                progress.best_step = self._stood.step
            state.keep_best()
        return TrainResult(
            weights={k: v.cpu() for k, v in state.best.items()},
            score=progress.best_score,
            best_step=progress.best_step,
            steps=progress.step,
            seconds=self._pace.elapsed,
            rows_per_second=self._pace.rows_per_second,
            rollbacks=progress.attempt,
            reason=reason,
        )

    def _check_same_start(self) -> None:
        """Refuse to train from states that differ: gradients would be summed at different points."""
        norm, step = self._weight_norm(), self.state.progress.step
        mine = torch.stack([norm, norm.new_tensor(float(step))])
        # Not bit for bit: processors of several kinds may round the norm differently.
        same = torch.isclose(mine, self.reducer.broadcast_(mine.clone()), rtol=1e-6, equal_nan=True)
        differs = (~same).double().sum()
        if float(self.reducer.sum_(differs)) > 0.0:
            raise CheckpointCorrupt(
                f"workers start from different states (worker {self.reducer.rank} at step {step}); "
                "checkpoints must lie on storage that all workers share"
            )

    def _weight_norm(self) -> Tensor:
        """Return the norm of all weights and averages, float64 scalar; not finite if any of them is not."""
        networks = (self.state.generator, self.state.discriminator, self.state.average)
        norms = torch._foreach_norm([p.detach() for network in networks for p in network.parameters()])
        norm: Tensor = torch.linalg.vector_norm(torch.stack(list(norms)).double())
        return norm

    def _step(self) -> StepReport:
        config, progress = self.config, self.state.progress
        objective, step = config.objective, progress.step
        share = step / max(1, progress.planned)
        rate = progress.rate_scale * learning_rate(config.training, step, share)
        self.state.set_rates(config.training.generator_pace * rate, rate)
        settings = StepSettings(penalty_weight(objective, share), ema_decay(config.training, step))
        return self._stepper.step(step, progress.attempt, settings)

    def _window(self, report: StepReport) -> str:
        """Look at the last window: health, plan, validation, checkpoint. Return why to stop, or ''."""
        means = self._means(report)
        vitals = Vitals(
            certainty=means["certainty"],
            spread=means["spread"],
            weight_norm=means["weight_norm"],
            discriminator_norm=report.discriminator_norm,
            generator_norm=report.generator_norm,
        )
        ailment = self._monitor.check(vitals)
        if ailment is not None:
            self._roll_back(ailment)
            return ""
        progress, config = self.state.progress, self.config
        reason, validate = self._agree()
        if validate and self.validate is None:
            self._pace.validated(0.0)
        elif validate:
            self._validate()
            patience = config.training.patience
            if not reason and patience is not None and progress.stale >= patience:
                reason = "early stop"
        # A state with the first signs of an ailment is neither kept nor returned to.
        sound = self._monitor.sound
        every = progress.step % config.checkpoint.every_steps < WINDOW <= progress.step
        checkpoint = sound and (every or (validate and bool(self.looks)))
        if sound and (validate or checkpoint):
            self._keep_good()
        path = self._save() if checkpoint or reason else None
        update = self._update(means)
        if checkpoint or reason:
            self.hooks.on_checkpoint(path, update)
        if self.reducer.rank == 0:
            self.hooks.on_update(update)
        return reason

    def _save(self) -> Path | None:
        """Write a checkpoint on rank 0; a full disk costs the checkpoint, not the run.

        A run that ends amid the first signs of an ailment leaves the state from before them.
        """
        if self.checkpoints is None or self.reducer.rank != 0:
            return None
        try:
            state = self.state if self._monitor.sound else self._last_good()
            return save_checkpoint(self.checkpoints, state, self.config.checkpoint.keep)
        except OSError as error:
            log.error("no checkpoint at step %d: %s", self.state.progress.step, error)
            self._events.append(f"checkpoint failed: {error}")
            return None

    def _means(self, report: StepReport) -> dict[str, float]:
        """Return global means of the window's terms, and what health looks at besides."""
        terms, names = self._window_terms, list(report.terms)
        totals = torch.stack([torch.stack([t[n].double() for n in names]) for t in terms]).sum(dim=0)
        parts = [
            totals / len(terms),
            self._weight_norm()[None],
            certainty_sums(report.batch, report.margin),
            spread_sums(report.batch, report.fake, self.source.unit),
        ]
        summed = self.reducer.sum_(torch.cat(parts))
        self._window_terms = []
        means, (norm, certain, free), spread = summed.split([len(names), 3, len(parts[-1])])
        return dict(zip(names, means.tolist(), strict=True)) | {
            "weight_norm": float(norm) / self.reducer.world,
            "certainty": float(certain / free) if free > 0 else 0.5,
            "spread": self._monitor.spread(spread),
            "discriminator_norm": report.discriminator_norm,
            "generator_norm": report.generator_norm,
        }

    def _agree(self) -> tuple[str, bool]:
        """Let rank 0 decide on plan, stop and validation, and tell the others."""
        progress = self.state.progress
        verdict = self._pace.verdict(self.reducer.rank == 0 and self.hooks.should_stop())
        decided = Verdict.unpack(self._from_rank_0(verdict.pack()))
        progress.planned, progress.elapsed, self._look = decided.planned, decided.elapsed, decided.look
        return decided.reason, decided.validate

    def _from_rank_0(self, numbers: list[float]) -> list[float]:
        device = next(self.state.generator.parameters()).device
        message = torch.tensor(numbers, dtype=torch.float64, device=device)
        return [float(v) for v in self.reducer.broadcast_(message)]

    def _validate(self) -> None:
        """Score the averaged generator on rank 0; every rank learns the score and keeps the best."""
        progress, started = self.state.progress, self.clock()
        score = 0.0
        if self.reducer.rank == 0 and self.validate is not None:
            score = self.validate(self.state.average)
        (self._score,) = self._from_rank_0([score])
        self._pace.validated(self.clock() - started)
        self._events.append("validated")
        progress.stale += 1
        best = math.inf if progress.best_score is None else progress.best_score
        if self._score < best:  # never true of NaN
            progress.best_score, progress.best_step, progress.stale = self._score, progress.step, 0
            self.state.keep_best()

    def _keep_good(self) -> None:
        """Remember this state as the one to roll back to."""
        self._good, self._stood = self.state.snapshot(), dataclasses.replace(self.state.progress)

    def _last_good(self) -> TrainState:
        """Return that state, as a copy beside the present one."""
        state = copy.deepcopy(self.state)
        state.load_tensors(self._good)
        state.progress.return_to(self._stood)
        return state

    def _roll_back(self, ailment: Ailment) -> None:
        """Return to the last good state with half the rate; the same decision on every worker."""
        progress, health = self.state.progress, self.config.health
        what = ailment.replace("_", "-")
        if health.on_nonfinite == "stop" or progress.attempt >= health.max_rollbacks:
            raise TrainingDiverged(
                f"training is {what} at step {progress.step} after {progress.attempt} roll-backs; try a "
                f"lower training.lr (now {self.config.training.lr:g}) or a larger objective.gamma"
            )
        log.warning("training is %s at step %d: back to step %d", what, progress.step, self._stood.step)
        self.state.load_tensors(self._good)
        progress.return_to(self._stood)
        progress.attempt += 1
        progress.rate_scale *= 0.5
        self._window_terms = []
        self._monitor.reset()
        self._events.append(f"rolled back: {what}")

    def _update(self, means: dict[str, float]) -> Update:
        progress = self.state.progress
        event = ", ".join(self._events)
        self._events = []
        return Update(
            step=progress.step,
            planned=progress.planned,
            elapsed=progress.elapsed,
            remaining=self._pace.remaining(),
            rows_per_second=self._pace.rows_per_second,
            score=self._score,
            best=progress.best_score,
            terms=means,
            event=event,
            workers=self.reducer.world,
            restarts=self.restarts,
            look=self._look,
        )
