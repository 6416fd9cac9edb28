"""Work side by side."""

from __future__ import annotations

import threading

import pytest

from fingan.evaluation.threads import run_all, workers


def test_results_keep_the_order_of_the_tasks():
    assert run_all([lambda i=i: i * i for i in range(20)]) == [i * i for i in range(20)]


def test_an_error_reaches_the_caller():
    def fail() -> int:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        run_all([fail])


def test_workers_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert workers() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert workers() >= 1


def test_tasks_run_outside_the_main_thread():
    names = run_all([lambda: threading.current_thread().name])
    assert names != [threading.main_thread().name]
