"""Adversarial training: batches, steps, health, checkpoints, one loop."""

from fingan.training.batches import BatchSource, Conditioning, conditioning_of
from fingan.training.checkpoint import list_checkpoints, load_newest, save_checkpoint, step_of
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
    "list_checkpoints",
    "load_newest",
    "new_state",
    "save_checkpoint",
    "step_of",
]
