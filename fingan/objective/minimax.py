"""The reference objective: binary cross-entropy on logits."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from fingan.objective.base import Penalty


@dataclass(frozen=True)
class Minimax:
    """The original game with the non-saturating generator loss.

        L_D = -E log σ(D(x)) - E log(1 - σ(D(G(z)))) + penalty
        L_G = -E log σ(D(G(z)))

    Goodfellow et al., "Generative adversarial nets" (2014), equation 1 and
    section 3. The penalty is not part of it: `penalty: none` for the textbook's own.
    """

    penalty: Penalty

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """See `Objective.discriminator`."""
        # -log σ(d) = softplus(-d) and -log(1 - σ(d)) = softplus(d), without overflow.
        return functional.softplus(-real) + functional.softplus(fake)

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """See `Objective.generator`."""
        return functional.softplus(-fake)
