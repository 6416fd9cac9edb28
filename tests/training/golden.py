"""The golden loss curve: 50 steps of the default objective, fixed seed, fp64, one worker on the CPU.

Run as a module it writes the curve anew; a change of the curve must be explained in its commit.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.training.toys import make_run, settings

FILE = Path(__file__).with_name("golden.json")
NAMES = ("discriminator_loss", "generator_loss", "penalty", "accuracy")
STEPS = 50


def curve() -> dict[str, list[float]]:
    """Train and return each term by step."""
    run = make_run(settings(f"training.steps={STEPS}", "training.warmup_steps=10"))
    run.state.progress.planned = STEPS
    terms = []
    for _ in range(STEPS):
        terms.append(run._step().terms)
        run.state.progress.step += 1
    return {name: [float(t[name]) for t in terms] for name in NAMES}


if __name__ == "__main__":
    FILE.write_text(json.dumps(curve(), indent=1) + "\n", encoding="utf-8")
