"""Where a run's progress goes besides its own file: Prometheus, TensorBoard, MLflow.

Each is used where it is there: Prometheus through a Ray that is connected, TensorBoard where it
is installed, MLflow where it is installed and `MLFLOW_TRACKING_URI` says where to. What goes wrong
with one of them, at whatever moment, is said and costs the tracker, not the run.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any, Protocol, Self

from fingan.cluster.runs import RunFolder
from fingan.training import Update

log = logging.getLogger(__name__)


class Tracker(Protocol):
    """Takes the progress of one run, from the driver."""

    def log(self, update: Update) -> None:
        """Take one line of progress."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


def scalars(update: Update) -> dict[str, float]:
    """Return the numbers of a line of progress by name."""
    named = {
        "rows_per_second": update.rows_per_second,
        "quality": update.score,
        "best_quality": update.best,
        "restarts": float(update.restarts),
        **update.terms,
    }
    return {name: value for name, value in named.items() if value is not None}


@contextmanager
def tracked(folder: RunFolder, name: str) -> Iterator[list[Tracker]]:
    """Give a tracker for everything that is there, and close them at the end.

    Args:
        folder: of the run.
        name: of the model.
    """
    with ExitStack() as stack:
        found = list(trackers(folder, name))
        for tracker in found:
            stack.push(partial(_close, tracker))
        yield found


def trackers(folder: RunFolder, name: str) -> Iterator[Tracker]:
    """Yield a tracker for everything that is there.

    Args:
        folder: of the run.
        name: of the model.
    """
    import ray

    there: dict[str, Callable[[], Tracker]] = {}
    if ray.is_initialized():
        there["Prometheus"] = lambda: PrometheusTracker(name)
    if importlib.util.find_spec("tensorboard") is not None:
        there["TensorBoard"] = lambda: TensorBoardTracker(folder)
    if importlib.util.find_spec("mlflow") is not None and os.environ.get("MLFLOW_TRACKING_URI"):
        there["MLflow"] = lambda: MlflowTracker(folder, name)
    for kind, make in there.items():
        try:
            tracker = make()
        except Exception as error:
            log.warning("%s takes no run: %s", kind, error)
        else:
            yield tracker


def _close(tracker: Tracker, *error: object) -> None:
    try:
        tracker.__exit__(*error)
    except Exception as trouble:
        log.warning("%s does not take the end of the run: %s", type(tracker).__name__, trouble)


def told(tracker: Tracker, update: Update) -> bool:
    """Pass a line of progress on; return whether the tracker took it."""
    try:
        tracker.log(update)
    except Exception as error:
        log.warning("%s takes no more after step %d: %s", type(tracker).__name__, update.step, error)
        return False
    return True


class PrometheusTracker(AbstractContextManager["PrometheusTracker"]):
    """Gauges `fingan_…` with the label `model`, which Ray's agents offer to Prometheus."""

    def __init__(self, name: str) -> None:
        self._tags = {"model": name}
        self._gauges: dict[str, Any] = {}

    def __exit__(self, *error: object) -> None:
        """Nothing to close: the gauges end with this process."""

    def log(self, update: Update) -> None:
        """Set the gauges."""
        from ray.util.metrics import Gauge

        for name, value in {"step": float(update.step), **scalars(update)}.items():
            if name not in self._gauges:
                self._gauges[name] = Gauge(f"fingan_{name}", f"training: {name}", tag_keys=("model",))
            self._gauges[name].set(value, tags=self._tags)


class TensorBoardTracker(AbstractContextManager["TensorBoardTracker"]):
    """Event files in the run's folder."""

    def __init__(self, folder: RunFolder) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder.path / "tensorboard"))

    def __exit__(self, *error: object) -> None:
        """Close the event file."""
        self._writer.close()

    def log(self, update: Update) -> None:
        """Add the numbers at the update's step."""
        for name, value in scalars(update).items():
            self._writer.add_scalar(name, value, update.step)


class MlflowTracker(AbstractContextManager["MlflowTracker"]):
    """A run in the experiment of the model's name."""

    def __init__(self, folder: RunFolder, name: str) -> None:
        import mlflow

        self._mlflow: Any = mlflow
        mlflow.set_experiment(name)
        mlflow.start_run(run_name=folder.path.name)
        sections = {k: v for k, v in folder.read().get("config", {}).items() if isinstance(v, dict)}
        mlflow.log_params({f"{name}.{k}": v for name, own in sections.items() for k, v in own.items()})

    def __exit__(self, *error: object) -> None:
        """End the run, failed where it failed."""
        self._mlflow.end_run("FINISHED" if error[0] is None else "FAILED")

    def log(self, update: Update) -> None:
        """Add the numbers at the update's step."""
        self._mlflow.log_metrics(scalars(update), step=update.step)
