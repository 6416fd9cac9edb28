"""Where the time of a training step goes, by what the work is for."""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from torch.autograd.profiler import record_function
from torch.profiler import ProfilerActivity, profile

SCOPES = {
    "batch preparation": "fingan.training.batches.BatchSource.batch",
    "features": "fingan.networks.features.RowFeatures.forward",
    "categorical head": "fingan.networks.heads.StraightThroughHead.forward",
    "moving average": "fingan.training.step.ema_update",
}
"""Functions of the package whose whole work counts as one kind."""

WITHIN = {
    "Optimizer.step": "optimiser",
    "StraightThroughBackward": "categorical head",
    "HardtanhBackward": "features",
    "SigmoidBackward": "features",
}
"""Parts of the profiler's own names; whatever runs below such an event is of this kind."""

PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::linear", "aten::matmul", "mkldnn", "aten::baddbmm")
KINDS = ("matrix products", "optimiser", *SCOPES, "rest")


@contextmanager
def _marked() -> Iterator[None]:
    """Name the scopes in the profile while inside."""

    def mark(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def marked(*arguments: Any, **named: Any) -> Any:
            with record_function(f"scope: {kind}"):
                return function(*arguments, **named)

        return marked

    with ExitStack() as stack:
        for kind, target in SCOPES.items():
            stack.enter_context(patch(target, mark(kind, pkgutil.resolve_name(target))))
        yield


def shares(work: Callable[[], object]) -> dict[str, float]:
    """Run some training, and return the share of its time by kind; they sum to 1.

    Args:
        work: trains in the calling thread.
    """
    with _marked(), profile(activities=[ProfilerActivity.CPU]) as seen, record_function("scope: rest"):
        work()
    spent = dict.fromkeys(KINDS, 0.0)
    for event in seen.events():
        spent[_kind(event)] += event.self_cpu_time_total
    total = sum(spent.values())
    return {kind: value / total for kind, value in spent.items()}


def _kind(event: Any) -> str:
    """Return the kind of the innermost scope around an event; outside all, of the event itself."""
    product = event.name.startswith(PRODUCTS)
    while event is not None:
        scope = str(event.name).removeprefix("scope: ")
        if scope != event.name and scope != "rest":
            return scope
        for part, kind in WITHIN.items():
            if part in event.name:
                return kind
        # A product's copies and casts of its operands belong to it.
        product = product or event.name.startswith(PRODUCTS)
        event = event.cpu_parent
    return "matrix products" if product else "rest"
