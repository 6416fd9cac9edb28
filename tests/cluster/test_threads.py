"""How many CPU threads a worker gets."""

import os

import pytest

from fingan.cluster.trainer import MOST_THREADS, threads_of
from fingan.config import ComputeConfig


def test_given_threads_are_kept():
    assert threads_of(ComputeConfig(threads=7, workers=3), local=True) == 7
    assert threads_of(ComputeConfig(threads=7), local=False) == 7


@pytest.mark.parametrize(
    ("cores", "workers", "threads"), [(2, 1, 2), (2, 2, 1), (1, 4, 1), (64, 2, MOST_THREADS), (6, 2, 3)]
)
def test_the_cores_of_this_machine_are_shared_out(monkeypatch, cores, workers, threads):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert threads_of(ComputeConfig(workers=workers), local=True) == threads


def test_nothing_is_assumed_of_a_clusters_nodes():
    assert threads_of(ComputeConfig(), local=False) == 1
