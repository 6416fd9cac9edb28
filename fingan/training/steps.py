"""The steps that the gradient penalty takes away from a row.

Letters: K paying rows, F numeric fields, C categorical fields, S codes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fingan.encoding.layout import Layout
from fingan.networks.batch import Steps

LENGTH = 0.3
"""Of a step in the numbers, in normal scores."""

SHORTEST_WAY = 0.1
"""Categories go a share of the way to another row's, evenly from this to all of it."""

MOVED = 0.5
"""Chance of each category to go along."""

CODES_WEIGHT = 2.0
"""Weight of the squared slope along the way between two codes."""


class StepMaker:
    """Turns random numbers into the penalty's steps; rows step in their numbers and categories by turns.

    Numbers go a little way along the correlation of the data. Categories go some of the way
    towards those of another real row. A small step would not do for them: rows are at the
    corners of the one-hot blocks only, so a discriminator that is flat around every corner and
    steep half-way between two pays nothing for small steps, tells the sides apart, and leaves
    the straight-through gradient, which is taken at the corners, without direction. Generators
    then lose whole categories in long runs.

    Args:
        layout: the dense row.
        along: root [F, F] of the numeric fields' correlation.
    """

    def __init__(self, layout: Layout, along: Tensor) -> None:
        self._layout, self._along = layout, along
        self._widths = torch.tensor(layout.widths, dtype=torch.int64)

    @property
    def normals(self) -> int:
        """Normals that a paying row needs."""
        return 2 * self._layout.numeric

    @property
    def uniforms(self) -> int:
        """Uniforms that a paying row needs, besides those that choose the other row."""
        return 2 * (1 + len(self._layout.widths)) if self._layout.widths else 0

    def steps(self, turn: Tensor, normal: Tensor, uniform: Tensor, other: Tensor) -> Steps:
        """Return the steps of K paying rows on both sides.

        Args:
            turn: counts the paying rows of the global batch [K]; odd ones step in categories.
            normal, uniform: draws [K, `normals`], [K, `uniforms`].
            other: positions among the codes of another real row's categories [K, C].
        """
        layout = self._layout
        odd = (turn % 2 == 1)[:, None]
        by_turns = bool(layout.numeric and layout.widths)
        in_codes = odd if by_turns else torch.full_like(odd, not layout.numeric)
        share = 2.0 if by_turns else 1.0
        numbers = [torch.where(in_codes, 0.0, LENGTH * (n @ self._along)) for n in normal.chunk(2, dim=1)]
        number_weight = torch.full(in_codes.shape, share / LENGTH**2)
        ways, weights = [], []
        for side in uniform.chunk(2, dim=1):
            if not layout.widths:
                ways.append(normal.new_zeros(len(turn), 0))
                weights.append(number_weight)
                continue
            length = SHORTEST_WAY + (1.0 - SHORTEST_WAY) * side[:, :1]
            moved = torch.where(in_codes & (side[:, 1:] < MOVED), length, 0.0)
            ways.append(moved.repeat_interleave(self._widths, dim=1))
            weights.append(torch.where(in_codes, share * CODES_WEIGHT / length.square(), number_weight))
        towards = normal.new_zeros(len(turn), layout.codes).scatter_(1, other, 1.0)
        return Steps(torch.cat(numbers), towards, torch.cat(ways), torch.cat(weights)[:, 0])


def no_steps(rows: int) -> Steps:
    """Return steps for penalties that compare nothing."""
    empty = torch.empty(2 * rows, 0)
    return Steps(empty, empty[:rows], empty, torch.empty(2 * rows))
