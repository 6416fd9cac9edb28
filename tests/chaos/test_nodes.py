"""Nodes that die and come back under a run: several raylets on one machine, for real."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster
from safetensors.torch import load_file

from tests.chaos.drivers import driver, end_of, run_of, steps_of, wait_for_step

STEPS, EVERY = 6000, 40
LONG = ("--set", f"checkpoint.every_steps={EVERY}", "--set", "checkpoint.keep=1000")
FAST = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "15",
}


def starts(folder: Path, what: str) -> list[int]:
    lines = (run_of(folder).path / "starts.jsonl").read_text().splitlines()
    return [json.loads(line)[what] for line in lines]


def wait_for_starts(folder: Path, count: int, seconds: float = 150.0) -> None:
    limit = time.monotonic() + seconds
    while len(starts(folder, "step")) < count:
        assert time.monotonic() < limit, (folder / "driver.log").read_text()[-4000:]
        time.sleep(0.5)


@pytest.mark.chaos
def test_a_run_goes_on_with_the_nodes_that_are_left_and_takes_new_ones_in(tmp_path, monkeypatch):
    for name, value in FAST.items():
        monkeypatch.setenv(name, value)
    node = {"num_cpus": 1, "object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": True})
    try:
        nodes = [cluster.add_node(**node) for _ in range(2)]
        words = ["--workers", "2", "--set", "compute.min_workers=1", "--address", cluster.address]
        words += ["--allow-open-dashboard", *LONG, "--set", f"training.steps={STEPS}"]
        with driver(tmp_path, *words) as process:
            wait_for_step(tmp_path, 3 * EVERY)
            cluster.remove_node(nodes[1], allow_graceful=False)
            wait_for_starts(tmp_path, 2)
            cluster.add_node(**node)
            end_of(process, tmp_path, seconds=400)
    finally:
        cluster.shutdown()
    assert steps_of(tmp_path)[-1] == STEPS
    assert starts(tmp_path, "workers")[:3] == [2, 1, 2]
    assert all(step >= 2 * EVERY for step in starts(tmp_path, "step")[1:]), (
        "more was lost than one checkpoint interval"
    )
    # Soon after the change: rounding grows from step to step, as it does between any two worker counts.
    step = starts(tmp_path, "step")[1] + EVERY
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    with driver(undisturbed, "--workers", "0", *LONG, "--set", f"training.steps={STEPS}") as process:
        wait_for_step(undisturbed, step + EVERY)
        process.kill()
    ours, theirs = (
        load_file(run_of(folder).checkpoints / f"step-{step:09d}" / "state.safetensors")
        for folder in (tmp_path, undisturbed)
    )
    weights = [name for name in ours if name.startswith("average.")]
    assert max(float((ours[n] - theirs[n]).abs().max()) for n in weights) <= 1e-6
