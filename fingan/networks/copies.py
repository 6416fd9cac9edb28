"""Numbers that repeat another number of their row. Letters: B rows, D dense width, F numeric fields."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fingan.encoding.layout import Layout


class CopiedNumbers(nn.Module):
    """Puts a copied value where its relation says so, as real rows have it.

    In chains (c repeats b, b repeats a) the fields follow in decoding order, so each
    source is final before it is copied. Gradients reach the copied number's source and,
    through the relation's one-hot block, the choice to copy.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        offsets = layout.offsets()
        self.numeric = layout.numeric
        self.copies = [(c.target, int(offsets[c.relation]), c.sources, c.reach) for c in layout.copies]
        for number, copy in enumerate(layout.copies):
            self.register_buffer(f"scores_{number}", torch.from_numpy(copy.scores).float(), persistent=False)

    def forward(self, rows_BD: Tensor, given_BD: Tensor) -> Tensor:
        """Return the rows with copies in their places; what is given stays.

        Args:
            rows_BD: generated rows, given values among them.
            given_BD: bool.
        """
        if not self.copies:
            return rows_BD
        numbers = list(rows_BD[:, : self.numeric].unbind(1))
        for number, (target, relation, sources, reach) in enumerate(self.copies):
            scores = getattr(self, f"scores_{number}")
            share = rows_BD[:, relation : relation + 1 + len(sources)]
            value = share[:, 0] * numbers[target]
            for k, source in enumerate(sources):
                value = value + share[:, 1 + k] * _look_up(scores[k], numbers[source], reach)
            numbers[target] = torch.where(given_BD[:, target], numbers[target], value)
        return torch.cat([torch.stack(numbers, dim=1), rows_BD[:, self.numeric :]], dim=1)


def _look_up(scores_G: Tensor, score_B: Tensor, reach: float) -> Tensor:
    """Interpolate a table over -reach … reach, constant beyond."""
    steps = scores_G.numel() - 1
    place_B = (score_B.clamp(-reach, reach) + reach) * (steps / (2 * reach))
    left_B = place_B.detach().floor().clamp(max=steps - 1)
    index_B = left_B.long()
    low_B = scores_G[index_B]
    out_B: Tensor = low_B + (place_B - left_B) * (scores_G[index_B + 1] - low_B)
    return out_B
