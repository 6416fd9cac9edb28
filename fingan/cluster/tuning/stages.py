"""One stage of a search as one Ray Tune experiment."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.exceptions import RayError
from ray.tune import TuneError
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from fingan.cluster.session import environment
from fingan.cluster.trainer import threads_of
from fingan.cluster.tuning.ledger import SearchFolder
from fingan.cluster.tuning.trial import Order, run_trial
from fingan.config import ComputeConfig, TuneConfig
from fingan.errors import ConfigError, FinganError

RETRIES = 2
"""Times that a trial whose process died is begun again, from its newest checkpoint."""

DRIVER_CPUS = 0.01
"""A trial that drives workers of its own; a whole CPU for it would be missing for them."""

_SETTINGS = {
    # What the trials' folders hold is written once.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Its own notes are not used to go on.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # A trial that fails has nothing to report.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


@dataclass(frozen=True)
class Need:
    """What one trial takes.

    Attributes:
        cpus, gpus: altogether.
        driver: Ray's resources of the process that Tune starts.
        alone: whether that process trains, without workers of its own.
    """

    cpus: float
    gpus: float
    driver: dict[str, float]
    alone: bool = True


def need_of(compute: ComputeConfig, *, local: bool) -> Need:
    """Return the resources of a trial.

    Args:
        compute: of the trial; up to one worker, it trains in the process that Tune starts.
        local: whether Ray runs on this machine alone.
    """
    if compute.workers <= 1:
        cpus = float(compute.threads or 1)
        gpus = compute.gpus_per_worker * compute.workers
        return Need(cpus, gpus, {"cpu": cpus} | ({"gpu": gpus} if gpus else {}))
    each = 1 if local else threads_of(compute, local=local)
    return Need(
        compute.workers * each + DRIVER_CPUS,
        compute.workers * compute.gpus_per_worker,
        {"cpu": DRIVER_CPUS},
        alone=False,
    )


def concurrency_of(config: TuneConfig, need: Need, cpus: float, gpus: float, *, local: bool) -> int:
    """Return how many trials run at a time.

    A cluster may start nodes for what is asked of it: there `tune.concurrency` is taken at its word.

    Args:
        config: of the search.
        need: resources of a trial.
        cpus, gpus: that Ray has now.
        local: whether Ray runs on this machine alone.

    Raises:
        ConfigError: not even one fits, or fewer than `tune.concurrency`.
    """
    if config.concurrency and not local:
        return config.concurrency
    fit = int(cpus / need.cpus)
    if need.gpus:
        fit = min(fit, int(gpus / need.gpus))
    wanted = config.concurrency or 1
    if fit < wanted:
        raise ConfigError(
            f"{wanted} trial(s) at a time take {wanted * need.cpus:g} CPUs and {wanted * need.gpus:g} GPUs, "
            f"Ray has {cpus:g} and {gpus:g}; lower tune.concurrency, compute.workers, compute.threads "
            "or compute.gpus_per_worker, or start more nodes first; for a cluster that starts nodes itself, "
            "set tune.concurrency"
        )
    return config.concurrency or min(fit, config.trials)


class _When(Stopper):
    """Ends the experiment when a question is answered with yes.

    Args:
        over: asked again and again.
        kill: whether trials that run are ended then; if not, they see for themselves and end.
    """

    def __init__(self, over: Callable[[], bool], *, kill: bool) -> None:
        self._over, self._kill = over, kill

    def __getstate__(self) -> dict[str, Any]:
        """Keep nothing: Tune writes a copy of what it was given, which nobody reads."""
        return {}

    def __call__(self, trial_id: str, result: Any) -> bool:
        """Leave each trial to the scheduler."""
        return False

    def stop_all(self) -> bool:
        """Ask."""
        return self._over() and self._kill


class _Quiet(TrialProgressCallback):
    """Stands where Tune would put its own, which prints on standard output."""

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        """Say nothing."""

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Say nothing."""

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Say nothing."""


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Keep Ray Tune from telling of what we do without; pass on its own failure in a line."""
    speaker = logging.getLogger("ray.tune")
    level = speaker.level
    speaker.setLevel(logging.ERROR)
    try:
        yield
    except (TuneError, RayError) as error:
        lines = str(error).strip().splitlines()
        raise FinganError(f"Ray Tune failed: {lines[-1] if lines else type(error).__name__}") from error
    finally:
        speaker.setLevel(level)


@dataclass(frozen=True)
class Stage:
    """A stage of a search.

    Attributes:
        name: `search` or `final`.
        searcher: gives the trials.
        scheduler: decides on them.
        over: whether all trials are to end now.
    """

    name: str
    searcher: Searcher
    scheduler: TrialScheduler
    over: Callable[[], bool]


def run_stage(stage: Stage, order: Order, prepared: Any, need: Need, at_a_time: int) -> None:
    """Run a stage to its end; what it came to is in the search's folder.

    Args:
        stage: what is tried.
        order: what the trials share.
        prepared: the data, or Ray's reference to them.
        need: of each trial.
        at_a_time: trials.
    """
    folder = SearchFolder(order.folder)
    trainable = tune.with_parameters(run_trial, order=order, prepared=prepared)
    with environment(_SETTINGS), _told_plainly():
        grid = tune.Tuner(
            tune.with_resources(trainable, need.driver),
            tune_config=tune.TuneConfig(
                search_alg=stage.searcher,
                scheduler=stage.scheduler,
                num_samples=-1,
                max_concurrent_trials=at_a_time,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name=stage.name,
                storage_path=str(folder.path / "ray"),
                stop=_When(stage.over, kill=need.alone),
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                verbose=0,
                callbacks=[_Quiet()],
            ),
        ).fit()
    folder.interrupt(folder.trials(stage.name))
    if grid.errors and not folder.trials(stage.name):
        lines = str(grid.errors[0]).strip().splitlines()
        raise FinganError(f"no trial could be begun: {lines[-1] if lines else type(grid.errors[0]).__name__}")
