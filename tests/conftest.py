"""Shared fixtures. The environment is set before torch or Ray can be imported."""

from __future__ import annotations

import os

# Two cores are shared by Ray's workers and the tests: one thread each, here and in every child process.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
# Ray on loopback only: no token, no usage report, fast detection of dead or stuck workers.
os.environ.update(
    MPLBACKEND="Agg",
    RAY_AUTH_MODE="disabled",
    RAY_USAGE_STATS_ENABLED="0",
    RAY_TRAIN_HEALTH_CHECK_INTERVAL_S="0.2",
    RAY_TRAIN_COLLECTIVE_TIMEOUT_S="30",
    RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S="0",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
)

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"

# Derandomised, so that a run on the same code gives the same verdict.
settings.register_profile(
    "fingan",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("fingan")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep on one process what shares costly fixtures: those of the session named here, and a module's.

    First of all hooks: xdist reads the groups in one of its own.
    """
    for item in items:
        names = getattr(item, "fixturenames", ())
        shared = [name for name in ("ray_cluster", "groups") if name in names]
        item.add_marker(pytest.mark.xdist_group((shared or [str(item.path)])[0]))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's top level."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real tables beside the checkout; absent it skips, but fails where CI is set."""
    if SHARED_DATA.is_dir():
        return SHARED_DATA
    reason = "the real tables are absent: ../shared/data beside the checkout is no folder"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{reason}, and CI must not skip")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One Ray instance on this machine for the whole session: 4 logical CPUs, no dashboard."""
    import ray

    ray.init(
        address="local",
        num_cpus=4,
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=256 * 2**20,
        log_to_driver=False,
    )
    yield
    ray.shutdown()
