"""Jobs in processes of their own: values, usage, failures, resumption."""

from __future__ import annotations

import os

import pytest

from benchmarks.jobs import Job, alone, run_missing
from benchmarks.results import Results


def test_a_process_returns_a_value_and_its_own_usage():
    large = bytearray(b"x") * 2**30
    finished = alone(blow_up, megabytes=64)
    del large
    assert finished.value["process"] != os.getpid()
    assert finished.value["threads"] == "1"
    assert 64 * 2**20 < finished.peak_bytes < 2**30
    assert finished.cpu_seconds > 0


def test_failures_are_told_after_the_others_are_done_and_tried_again(tmp_path):
    results = Results("toy", tmp_path)
    jobs = [Job({"number": n}, divide, {"number": n}) for n in (0, 1, 2)]
    with pytest.raises(RuntimeError, match=r"(?s)1 of 3 jobs failed.*ZeroDivisionError"):
        run_missing(results, jobs, at_a_time=3)
    assert sorted(row["number"] for row in results.rows()) == [1, 2]
    with pytest.raises(RuntimeError, match="1 of 1 jobs failed"):
        run_missing(results, jobs, at_a_time=3)


def test_results_of_other_processors_count_unless_speed_matters(tmp_path, monkeypatch):
    results = Results("toy", tmp_path)
    other = {"processor": "other", "cores": 2, "amx": True, "bf16": True, "torch": "2"}
    with monkeypatch.context() as patched:
        patched.setattr("benchmarks.results.machine", lambda: other)
        results.add({"number": 2, "value": 0.5})
    job = Job({"number": 2}, divide, {"number": 2})
    run_missing(results, [job], at_a_time=1)
    assert len(results.rows()) == 1
    for _ in range(2):
        run_missing(results, [job], at_a_time=1, of_this_kind=True)
    assert [row["machine"]["processor"] == "other" for row in results.rows()] == [True, False]


def blow_up(megabytes: int) -> dict[str, object]:
    """Fill some memory."""
    return {
        "size": len(bytearray(b"x") * (megabytes * 2**20)),
        "process": os.getpid(),
        "threads": os.environ["OMP_NUM_THREADS"],
    }


def divide(number: int) -> dict[str, float]:
    """Fail at zero."""
    return {"value": 1 / number}
