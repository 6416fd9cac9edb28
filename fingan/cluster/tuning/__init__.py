"""The search for hyperparameters on Ray Tune."""

from fingan.cluster.tuning.driver import Tuned, tune
from fingan.cluster.tuning.work import Listener

__all__ = ["Listener", "Tuned", "tune"]
