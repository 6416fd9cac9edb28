"""Small layouts and batches that the tests of networks and objectives share."""

from __future__ import annotations

import numpy as np
import torch

from fingan.encoding.layout import Layout
from fingan.networks import Batch
from fingan.networks.batch import Steps

NONE = np.zeros(0)

MIXED = Layout(
    numeric=3,
    widths=(2, 17, 1, 5),
    units=5,
    unit_of_field=(0, 1, 1, 2, 3, 4, 4),
    edges=(np.array([0.0, 0.2, 0.5]), NONE, np.array([0.7, 0.7, 1.0])),
    pairs=((0, 2),),
)
NUMBERS = Layout(2, (), 2, (0, 1), (NONE, NONE))
CODES = Layout(0, (3, 4), 2, (0, 1), ())
LAYOUTS = {"mixed": MIXED, "numbers": NUMBERS, "codes": CODES}


def keyed(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gumbel(shape: tuple[int, ...], source: torch.Generator) -> torch.Tensor:
    uniform = torch.rand(shape, generator=source, dtype=torch.float64).clamp_(1e-12, 1 - 1e-12)
    return -torch.log(-torch.log(uniform)).float()


def one_hots(widths: tuple[int, ...], rows: int, source: torch.Generator) -> list[torch.Tensor]:
    return [torch.eye(w)[torch.randint(w, (rows,), generator=source)] for w in widths]


def make_batch(
    layout: Layout, rows: int, *, noise: int, seed: int = 0, given: float = 0.3, every: int = 1
) -> Batch:
    """Return a random batch; a share `given` of the units is given, every `every`-th row pays the penalty."""
    source = keyed(seed)
    penalised = torch.arange(0, rows, every)

    def normal(width: int) -> torch.Tensor:
        return torch.randn(rows, width, generator=source)

    return Batch(
        rows=torch.cat([normal(layout.numeric), *one_hots(layout.widths, rows, source)], dim=1),
        mask=(torch.rand(rows, layout.units, generator=source) < given).float(),
        noise=normal(noise),
        gumbel=gumbel((rows, layout.codes), source),
        penalised=penalised,
        steps=make_steps(layout, penalised.numel(), source),
        mix=torch.rand(rows, 1, generator=source)[penalised],
        global_size=rows,
    )


def make_steps(layout: Layout, rows: int, source: torch.Generator) -> Steps:
    """Return random steps of `rows` paying rows: every number moves, and half of the categories."""
    moved = torch.rand(2 * rows, len(layout.widths), generator=source) < 0.5
    ways = torch.rand(2 * rows, 1, generator=source) * moved
    return Steps(
        numbers=0.1 * torch.randn(2 * rows, layout.numeric, generator=source),
        towards=torch.cat([torch.empty(rows, 0), *one_hots(layout.widths, rows, source)], dim=1),
        ways=ways.repeat_interleave(torch.tensor(layout.widths, dtype=torch.int64), dim=1),
        weights=torch.rand(2 * rows, generator=source) + 0.5,
    )


def part(batch: Batch, start: int, stop: int) -> Batch:
    """Return rows `start` to `stop` as a worker's share of the same global batch."""
    rows = {name: getattr(batch, name)[start:stop] for name in ("rows", "mask", "noise", "gumbel")}
    pays = (batch.penalised >= start) & (batch.penalised < stop)
    both = pays.repeat(2)
    steps = Steps(
        numbers=batch.steps.numbers[both],
        towards=batch.steps.towards[pays],
        ways=batch.steps.ways[both],
        weights=batch.steps.weights[both],
    )
    return Batch(
        **rows,
        steps=steps,
        mix=batch.mix[pays],
        penalised=batch.penalised[pays] - start,
        global_size=batch.global_size,
    )
