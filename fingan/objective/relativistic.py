"""The default objective: a real and a generated row on the same condition, judged against each other."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from fingan.objective.base import Penalty


@dataclass(frozen=True)
class Relativistic:
    """Relativistic pairing.

        L_D = E softplus(-(D(x) - D(G(z)))) + penalty
        L_G = E softplus(-(D(G(z)) - D(x)))

    Jolicoeur-Martineau (2018); with R1 and R2 as the penalty Huang et al., "The GAN is
    dead; long live the GAN!" (arXiv 2501.05441, 2024), equations 1 to 4.
    """

    penalty: Penalty

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """See `Objective.discriminator`."""
        return functional.softplus(fake - real)

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """See `Objective.generator`."""
        return functional.softplus(real - fake)
