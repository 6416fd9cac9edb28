"""Progress beside its own file: what is there is used, what fails is left, the run goes on."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from fingan.cluster import tracking
from fingan.cluster.runs import RunFolder
from fingan.cluster.tracking import MlflowTracker, PrometheusTracker, scalars, told, tracked, trackers
from fingan.training import Update
from tests.tiny import config

UPDATE = Update(20, 40, 1.0, 1.0, 1000.0, 0.5, 0.4, {"margin": 0.1}, "", workers=2, restarts=1)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, "m", config(), {})


def test_numbers_of_an_update_have_names_and_missing_ones_are_left_out():
    named = scalars(UPDATE)
    assert named == {
        "rows_per_second": 1000,
        "quality": 0.5,
        "best_quality": 0.4,
        "restarts": 1,
        "margin": 0.1,
    }
    assert "quality" not in scalars(Update(20, 40, 1.0, 1.0, 1000.0, None, None, {}))


@pytest.mark.usefixtures("ray_cluster")
def test_a_connected_ray_gets_gauges_with_the_models_name(folder, monkeypatch):
    (tracker,) = trackers(folder, "loans")
    assert isinstance(tracker, PrometheusTracker)
    seen = []
    import ray.util.metrics

    def note(self, value, tags):
        seen.append((self.info["name"], value, tags))

    monkeypatch.setattr(ray.util.metrics.Gauge, "set", note)
    with tracker:
        assert told(tracker, UPDATE)
    assert ("fingan_step", 20.0, {"model": "loans"}) in seen
    assert ("fingan_quality", 0.5, {"model": "loans"}) in seen


def test_a_tracker_that_fails_is_left_and_said(folder, caplog):
    class Full:
        def log(self, update: Update) -> None:
            raise OSError(28, "No space left on device")

    assert not told(Full(), UPDATE)
    assert "Full takes no more after step 20" in caplog.text


class FakeMlflow(types.ModuleType):
    """MLflow's functions that are called, which note their arguments."""

    def __init__(self, *, gone: bool = False) -> None:
        super().__init__("mlflow")
        self.calls: list[tuple[object, ...]] = []
        self.gone = gone
        for name in ("set_experiment", "start_run", "log_params", "log_metrics", "end_run"):
            setattr(self, name, self._noting(name))

    def _noting(self, name: str):
        def call(*words: object, **named: object) -> None:
            if self.gone:
                raise ConnectionError("no server")
            self.calls.append((name, *words, *named.values()))

        return call


def with_mlflow(monkeypatch, module: FakeMlflow) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    found = {"mlflow": object()}
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: found.get(name))


def test_mlflow_gets_a_run_with_configuration_metrics_and_its_end(folder, monkeypatch):
    module = FakeMlflow()
    with_mlflow(monkeypatch, module)
    tracker = next(t for t in trackers(folder, "loans") if isinstance(t, MlflowTracker))
    with tracker:
        tracker.log(UPDATE)
    names = [call[0] for call in module.calls]
    assert names == ["set_experiment", "start_run", "log_params", "log_metrics", "end_run"]
    assert module.calls[2][1]["training.batch_size"] == 64
    assert module.calls[3][1:] == (scalars(UPDATE), 20)
    assert module.calls[4] == ("end_run", "FINISHED")


def test_an_mlflow_server_that_is_gone_costs_nothing(folder, monkeypatch, caplog):
    with_mlflow(monkeypatch, FakeMlflow(gone=True))
    assert not [t for t in trackers(folder, "loans") if isinstance(t, MlflowTracker)]
    assert "MLflow takes no run: no server" in caplog.text


def test_an_mlflow_server_that_goes_away_costs_the_tracker_only(folder, monkeypatch, caplog):
    module = FakeMlflow()
    with_mlflow(monkeypatch, module)
    with tracked(folder, "loans") as found:
        module.gone = True
    assert "MlflowTracker" in [type(tracker).__name__ for tracker in found]
    assert "MlflowTracker does not take the end of the run: no server" in caplog.text


def test_a_run_that_fails_ends_as_failed_in_mlflow(folder, monkeypatch):
    module = FakeMlflow()
    with_mlflow(monkeypatch, module)
    with pytest.raises(OSError, match="full"), tracked(folder, "loans"):
        raise OSError(28, "full")
    assert module.calls[-1] == ("end_run", "FAILED")


def test_what_only_looks_like_tensorboard_costs_nothing(folder, monkeypatch, tmp_path, caplog):
    """A folder of that name is importable, as a package without content, where its parent is."""
    (tmp_path / "tensorboard").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    del sys.modules["tensorboard"]  # here, and again at the end
    with tracked(folder, "loans") as found:
        assert "TensorBoardTracker" not in [type(tracker).__name__ for tracker in found]
    assert "TensorBoard takes no run" in caplog.text
