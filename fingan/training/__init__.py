"""Adversarial training: batches, steps, health, checkpoints, one loop."""

from fingan.training.batches import BatchSource, Conditioning, conditioning_of
from fingan.training.checkpoint import load_newest, save_checkpoint
from fingan.training.distributed import Alone, Group, Reducer
from fingan.training.loop import Hooks, Run, Silent, TrainResult, Update
from fingan.training.state import Progress, TrainState, new_state

__all__ = [
    "Alone",
    "BatchSource",
    "Conditioning",
    "Group",
    "Hooks",
    "Progress",
    "Reducer",
    "Run",
    "Silent",
    "TrainResult",
    "TrainState",
    "Update",
    "conditioning_of",
    "load_newest",
    "new_state",
    "save_checkpoint",
]
