"""Checkpoints: all that a stopped training needs to go on, in a file that is whole or not there.

A file of `torch.save`, read with `weights_only`; its keys were Lightning's once, and stay. `epoch` is counted from 0; `state_dict` has the
weights under `head.`; `callbacks.Journal.history` one row for each epoch; `optimizer_states` and `lr_schedulers` are lists of one or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gerund.core import files
from gerund.learning.loop import Loop

PREFIX_OF_WEIGHTS = "head."


def write_checkpoint(path: Path, module: nn.Module, loop: Loop, history: Sequence[Mapping[str, Any]]) -> None:
    """Write what `read_checkpoint` reads; an older file is replaced once the new one is whole. Raises OSError."""
    state = {
        "epoch": len(history) - 1,
        "state_dict": {f"{PREFIX_OF_WEIGHTS}{key}": value for key, value in module.state_dict().items()},
        "callbacks": {"Journal": {"history": [dict(row) for row in history]}},
        "optimizer_states": [loop.optimizer.state_dict()],
        "lr_schedulers": [] if loop.schedule is None else [loop.schedule.state_dict()],
    }
    path.parent.mkdir(exist_ok=True)
    files.tidy(path.parent)
    with files.whole(path) as partial:
        torch.save(state, partial)
        files.flush(partial)


def read_checkpoint(path: Path, module: nn.Module, loop: Loop) -> list[dict[str, Any]]:
    """Put a module and its loop into the state of a checkpoint, and return the history, a row for each epoch."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    module.load_state_dict({key.removeprefix(PREFIX_OF_WEIGHTS): value for key, value in state["state_dict"].items()})
    loop.optimizer.load_state_dict(state["optimizer_states"][0])
    if loop.schedule is not None:
        loop.schedule.load_state_dict(state["lr_schedulers"][0])
    return state["callbacks"]["Journal"]["history"]


def recorded_epochs(path: Path) -> list[dict[str, Any]]:
    """The history of a checkpoint, a row for each epoch."""
    return torch.load(path, map_location="cpu", weights_only=True)["callbacks"]["Journal"]["history"]
