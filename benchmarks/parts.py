"""Parts of the method that no configuration key switches off, and how an ablation leaves them out.

Each part names objects of the package and what stands in for them; `without` puts the stand-ins
in place for the length of a run. A name that no longer exists is an error, not a silent no-op.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from fingan.encoding.table import EncodedTable, TableEncoder
from fingan.networks.batch import Steps
from fingan.networks.copies import CopiedNumbers
from fingan.networks.tabular import TabularGenerator
from fingan.training.steps import StepMaker


def _unchanged(engine: Any, rows: int, seed: int) -> Any:
    return engine


def _nothing(*arguments: Any) -> list[Any]:
    return []


def _none(*arguments: Any) -> tuple[Any, ...]:
    return ()


_encode = TableEncoder.encode


def _in_the_middle(encoder: TableEncoder, table: Any) -> EncodedTable:
    """Encode with every value at the middle of its interval instead of anywhere in it."""
    fields = _encode(encoder, table)
    return EncodedTable(
        fields.lower + np.float32(0.5) * fields.width, np.zeros_like(fields.width), fields.codes
    )


def _no_features(layout: Any, knots: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Leave out all ramps, or all atom edges."""
    return np.zeros((layout.numeric, 0)), np.zeros(0)


_start = TabularGenerator.start_from


def _random_logits(generator: TabularGenerator, shares: Any, mixing: Any = None) -> None:
    """Leave the initial logits as they are drawn."""
    _start(generator, (), mixing)


def _without_mixing(generator: TabularGenerator, shares: Any, mixing: Any = None) -> None:
    """Let numbers come out independent at the start."""
    _start(generator, shares, None)


def _isotropic(encoded: EncodedTable) -> torch.Tensor:
    return torch.eye(encoded.lower.shape[1])


def _not_copied(rows: CopiedNumbers, made: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    """Leave what the network made of a copied number."""
    return made


_steps = StepMaker.steps


def _short_steps(maker: StepMaker, *draws: torch.Tensor) -> Steps:
    """Let categories step a tenth of the way, weighed as before by the squared length."""
    steps = _steps(maker, *draws)
    in_codes = steps.ways.any(dim=1)
    weights = torch.where(in_codes, 100.0 * steps.weights, steps.weights)
    return dataclasses.replace(steps, ways=0.1 * steps.ways, weights=weights)


Stand = Mapping[str, Any]

PARTS: dict[str, Stand] = {
    "calibration": {"fingan.fitting.calibrate": _unchanged},
    "raking": {"fingan.generator.raking.ROUNDS": 0, "fingan.generator.raking.PAIR_ROUNDS": 0},
    "raking of pairs": {"fingan.generator.raking.PAIR_ROUNDS": 0},
    "equal columns": {"fingan.encoding.fit.equal_columns": _nothing},
    "dependencies": {"fingan.encoding.fit.functional_dependencies": _nothing},
    "ties": {"fingan.encoding.fit.tied_columns": _nothing},
    "pairs": {"fingan.encoding.fit.correlated_pairs": _none},
    "draws inside atoms": {"fingan.encoding.table.TableEncoder.encode": _in_the_middle},
    "ramps": {"fingan.networks.features._ramps": _no_features},
    "atom edges": {"fingan.networks.features._edges": _no_features},
    "initial shares": {"fingan.networks.tabular.TabularGenerator.start_from": _random_logits},
    "mixing": {"fingan.networks.tabular.TabularGenerator.start_from": _without_mixing},
    "mixing and steps along the correlation": {"fingan.training.batches.correlation_root": _isotropic},
    "long steps between categories": {"fingan.training.steps.StepMaker.steps": _short_steps},
    "copied numbers in training": {"fingan.networks.copies.CopiedNumbers.forward": _not_copied},
}


@contextmanager
def without(names: Sequence[str]) -> Iterator[None]:
    """Leave the named parts out while inside.

    Raises:
        KeyError: no such part.
        AttributeError: the package has no such object any more.
    """
    with ExitStack() as stack:
        for name in names:
            for target, stand_in in PARTS[name].items():
                stack.enter_context(patch(target, stand_in))
        yield
