"""The whole state of a run: networks, their average, optimisers, and where it stands."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fingan.config import Config
from fingan.encoding.layout import Layout
from fingan.networks.tabular import TabularGenerator, build_discriminator, build_generator
from fingan.objective import Marginals
from fingan.rng import torch_generator
from fingan.types import Float64

Tensors = dict[str, Tensor]

ADAM_EPSILON = 1e-7
"""Adam divides a gradient by its own size, so one that is zero but for rounding moves its weight at
random; which way depends on the order of the sums, hence on the number of workers. Ten times the
usual constant damps what is below 1e-7, far under the gradients' usual size (1e-4 … 1e-3 per weight).
"""


@dataclass
class Progress:
    """Where a run stands; plain numbers, kept in every checkpoint.

    Attributes:
        step: steps taken.
        planned: steps that the run is expected to take.
        attempt: roll-backs so far.
        rate_scale: factor on the learning rate, halved at each roll-back.
        elapsed: seconds of training, over all resumptions.
        best_score: best validation score so far (lower is better); None before the first.
        best_step: step of that score.
        stale: validations since then.
        validated_step: step of the last validation.
    """

    step: int = 0
    planned: int = 0
    attempt: int = 0
    rate_scale: float = 1.0
    elapsed: float = 0.0
    best_score: float | None = None
    best_step: int = 0
    stale: int = 0
    validated_step: int = 0

    def return_to(self, earlier: Progress) -> None:
        """Stand where the run stood before; what it cost and learned of itself since then stays."""
        for name in ("step", "best_score", "best_step", "stale", "validated_step"):
            setattr(self, name, getattr(earlier, name))


@dataclass
class TrainState:
    """Everything that a step changes, and the best average so far (empty before the first validation)."""

    generator: TabularGenerator
    discriminator: nn.Module
    average: nn.Module
    marginals: Marginals
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    progress: Progress = field(default_factory=Progress)
    best: Tensors = field(default_factory=dict)

    def _modules(self) -> dict[str, nn.Module]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "marginals": self.marginals,
        }

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }

    def tensors(self) -> Tensors:
        """Return all tensors by name: weights, averages, moments, the best average so far."""
        out: Tensors = {}
        for name, module in self._modules().items():
            out |= {f"{name}.{k}": v for k, v in module.state_dict().items()}
        for name, optimizer in self._optimizers().items():
            for number, slots in optimizer.state_dict()["state"].items():
                out |= {f"{name}.{number}.{slot}": torch.as_tensor(value) for slot, value in slots.items()}
        out |= {f"best.{k}": v for k, v in self.best.items()}
        return out

    def load_tensors(self, tensors: Tensors) -> None:
        """Take copies of what `tensors` gave, of a state of the same architecture.

        Raises:
            RuntimeError: a network's tensors are missing, extra or of another shape.
        """
        for name, module in self._modules().items():
            module.load_state_dict(_strip(tensors, name))
        for name, optimizer in self._optimizers().items():
            document = optimizer.state_dict()
            slots: dict[int, Tensors] = {}
            for key, value in _strip(tensors, name).items():
                number, slot = key.split(".", 1)
                # Cloned: the optimiser keeps what it is given and changes it in place.
                slots.setdefault(int(number), {})[slot] = value.clone()
            optimizer.load_state_dict({"state": slots, "param_groups": document["param_groups"]})
        self.best = _strip(tensors, "best")

    def snapshot(self) -> Tensors:
        """Return a copy of all tensors, to roll back to.

        With moments that is 4 times the generator and 3 times the discriminator. The best
        average is shared, not copied: `keep_best` replaces it and nothing changes it.
        """
        kept = {f"best.{name}": tensor for name, tensor in self.best.items()}
        return {n: t.detach().clone() for n, t in self.tensors().items() if n not in kept} | kept

    def set_rates(self, generator: float, discriminator: float) -> None:
        """Set the learning rates of the two optimisers."""
        rates = ((self.generator_optimizer, generator), (self.discriminator_optimizer, discriminator))
        for optimizer, rate in rates:
            for group in optimizer.param_groups:
                group["lr"] = rate

    def keep_best(self) -> None:
        """Remember the average's weights as the best so far."""
        self.best = {k: v.detach().clone() for k, v in self.average.state_dict().items()}


def _strip(tensors: Tensors, prefix: str) -> Tensors:
    return {k[len(prefix) + 1 :]: v for k, v in tensors.items() if k.startswith(f"{prefix}.")}


def new_state(
    layout: Layout,
    config: Config,
    device: torch.device,
    dtype: torch.dtype,
    shares: Sequence[Float64] = (),
    mixing: Tensor | None = None,
) -> TrainState:
    """Build networks and optimisers; the weights are a function of seed, shares and mixing alone.

    Args:
        layout: the dense row.
        config: architecture, optimiser and seed.
        device, dtype: of the networks.
        shares: training shares of each categorical field's codes, which the generator begins
            at and is kept at; empty to begin at random logits.
        mixing: root of the numeric fields' correlation, which its numbers begin with; None for none.
    """
    generator = build_generator(layout, config.network, generator=torch_generator(config.seed, "generator"))
    generator.start_from(shares, mixing)
    discriminator = build_discriminator(
        layout, config.network, generator=torch_generator(config.seed, "discriminator")
    )
    generator, discriminator = generator.to(device, dtype), discriminator.to(device, dtype)
    marginals = Marginals(shares, config.objective.marginals).to(device, dtype)
    average = copy.deepcopy(generator).requires_grad_(False)
    rate, betas = config.training.lr, config.training.betas

    def optimizer(module: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(module.parameters(), rate, betas, ADAM_EPSILON, fused=True)

    return TrainState(
        generator, discriminator, average, marginals, optimizer(generator), optimizer(discriminator)
    )
