"""Draws of categorical codes from logits, one uniform each, exactly categorical.

By inverse distribution function: the code is the number of partial sums of the weights that
the uniform, scaled to their total, has passed. Weights are rounded to single precision, sums
and uniforms are in double: a code of probability 1e-12 comes up as often as it should, where
a maximum of single-precision Gumbel noise never draws below 1e-7.

Letters: B rows, S codes of all fields, C fields.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fingan.types import Float32, Float64, Int64


class CodeChoice:
    """Draws one code of each field.

    The first codes of all fields are kept together, then the second codes of those that have
    one, and so on, wide fields first: each step over codes is then one operation on the rows
    of a contiguous array, and no field is padded to the width of another.

    Args:
        widths: codes of each field, at least 1.
        offsets: added to the logits [S].
    """

    def __init__(self, widths: Sequence[int], offsets: Float32) -> None:
        width = np.asarray(widths, dtype=np.int64)
        start = np.cumsum(width) - width
        self._wide_first = np.argsort(-width, kind="stable")
        counts = [int((width > k).sum()) for k in range(width.max(initial=0))]
        places = [start[self._wide_first[:n]] + k for k, n in enumerate(counts)]
        self._order = np.concatenate([*places, np.empty(0, dtype=np.int64)])
        self._offsets = offsets[self._order, None]
        ends = np.cumsum(counts)
        self._steps = [(n, slice(end - n, end)) for n, end in zip(counts, ends, strict=True)]
        self._counter = np.min_scalar_type(len(counts))

    def __call__(self, logits: Float32, uniform: Float64) -> Int64:
        """Return codes [C, B].

        Args:
            logits: unnormalised log-probabilities [S, B], field after field.
            uniform: draws [C, B] in [0, 1).
        """
        drawn = np.zeros(uniform.shape, dtype=np.int64)
        if not self._steps:
            return drawn
        weights = self._weights(logits)
        _, first = self._steps[0]
        passed = weights[first].copy()
        for n, step in self._steps[1:]:
            passed[:n] += weights[step]
        target = passed * uniform[self._wide_first]
        passed, code = weights[first], np.zeros(uniform.shape, dtype=self._counter)
        for n, step in self._steps[1:]:
            code[:n] += (passed[:n] <= target[:n]).view(np.uint8)
            passed[:n] += weights[step]
        drawn[self._wide_first] = code
        return drawn

    def _weights(self, logits: Float32) -> Float64:
        """Return weights [S, B] in step order, the largest of each field 1."""
        exponents = logits[self._order]
        exponents += self._offsets
        highest = exponents[self._steps[0][1]].copy()
        for n, step in self._steps[1:]:
            np.maximum(highest[:n], exponents[step], out=highest[:n])
        for n, step in self._steps:
            exponents[step] -= highest[:n]
        weights: Float64 = np.exp(exponents, out=exponents).astype(np.float64)
        return weights
