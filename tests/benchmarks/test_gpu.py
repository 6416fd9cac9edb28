"""The benchmark of one GPU goes on where it stopped."""

from __future__ import annotations

from itertools import product

import pytest

from benchmarks import gpu
from benchmarks.results import Results


def test_speeds_that_a_stopped_run_lacks_are_measured_by_the_next(tmp_path, monkeypatch):
    def speeds(dataset, device, wanted, steps):
        for number, key in enumerate(wanted):
            if number == 2:
                raise KeyboardInterrupt
            yield {**key, "rows_per_second": 1.0, "ms_a_step": 1.0}

    monkeypatch.setattr(gpu, "speeds", speeds)
    arguments = ["--device", "cpu", "--dataset", "adult", "--seconds", "0", "--results", str(tmp_path)]
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            gpu.main(arguments)
    gpu.main(arguments)
    found = [(row["batch_size"], row["precision"]) for row in Results("gpu", tmp_path).rows()]
    assert found == list(product(gpu.BATCHES, gpu.PRECISIONS))
