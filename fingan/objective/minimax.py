"""The reference objective: binary cross-entropy on logits."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from fingan.networks.batch import Batch
from fingan.objective.base import Discriminator, Terms
from fingan.objective.penalties import ZeroCentred
from fingan.objective.terms import describe


@dataclass(frozen=True)
class Minimax:
    """The original game with the non-saturating generator loss.

        L_D = -E log σ(D(x)) - E log(1 - σ(D(G(z)))) + γ/2 · (R1 + R2)
        L_G = -E log σ(D(G(z)))

    Goodfellow et al., "Generative adversarial nets" (2014), equation 1 and
    section 3. The zero-centred penalty is not part of it: `penalty: none` for
    the textbook's own.
    """

    penalty: ZeroCentred

    def discriminator_loss(
        self, disc: Discriminator, batch: Batch, fake: Tensor, step: int, gamma: float
    ) -> tuple[Tensor, Terms]:
        """See `Objective.discriminator_loss`."""
        judged = self.penalty.judge(disc, batch, fake.detach(), step, gamma)
        penalty = self.penalty.weigh(judged, batch, gamma)
        # -log σ(d) = softplus(-d) and -log(1 - σ(d)) = softplus(d), without overflow.
        entropy = functional.softplus(-judged.real) + functional.softplus(judged.fake)
        loss = entropy.sum() / batch.global_size + penalty
        return loss, describe(loss, judged.real, judged.fake, batch, penalty)

    def generator_loss(
        self, disc: Discriminator, batch: Batch, fake: Tensor, step: int
    ) -> tuple[Tensor, Terms]:
        """See `Objective.generator_loss`."""
        made = disc(fake, batch.mask).logits
        loss = functional.softplus(-made).sum() / batch.global_size
        return loss, describe(loss, None, made, batch)
