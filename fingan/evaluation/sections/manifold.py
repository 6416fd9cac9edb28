"""α-precision, β-recall, authenticity."""

from __future__ import annotations

from fingan.evaluation.catalogue import CATALOGUE
from fingan.evaluation.inputs import Inputs, Section
from fingan.evaluation.manifold import measure_manifold


def measure(inputs: Inputs) -> Section:
    """Measure the section, with two real halves for the reference."""
    section = Section()
    found = measure_manifold(inputs.train, inputs.synthetic, inputs.seed)
    scaled = measure_manifold(inputs.train, inputs.synthetic, inputs.seed, scaled=True)
    floor = measure_manifold(*inputs.halves, inputs.seed)
    for name, value in found.values.items():
        section.add(
            name,
            value,
            CATALOGUE[name].direction,
            {"real": found.rows, "synthetic": found.rows, "halves": floor.rows},
            floor.values[name],
            found.intervals[name],
            features="raw numbers and one-hot categories",
            range_scaled=scaled.values[name],
        )
    return section
