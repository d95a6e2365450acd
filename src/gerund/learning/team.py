"""Several processes that train one head or backbone, as torchrun or SLURM has started them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import lightning
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning.fabric.strategies import DDPStrategy

from gerund.backbones import best_device
from gerund.core import progress
from gerund.core.errors import UsageError

PATIENCE_WITH_THE_FIRST = timedelta(days=7)
"""How long the others wait for what the first process of a team does alone."""


Shared = TypeVar("Shared")


@dataclass(frozen=True, kw_only=True)
class Team:
    """Processes that train one head together, `devices` on each of `nodes` machines. The one of `rank` 0 speaks and writes."""

    devices: int = 1
    nodes: int = 1
    rank: int = 0
    fabric: Any = None

    @property
    def size(self) -> int:
        return self.devices * self.nodes

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def shared(self, make: Callable[[], Shared]) -> Shared:
        """What the first process makes, in all of them."""
        if self.fabric is None:
            return make()
        return self.fabric.broadcast(make() if self.is_first else None)


ALONE = Team()


def team_shape(devices: int | None, nodes: int | None) -> tuple[int, int]:
    """Processes per machine, and machines: as given, or as torchrun has started them. Raises UsageError when the two differ."""
    for flag, count in (("--devices", devices), ("--nodes", nodes)):
        if count is not None and count < 1:
            raise UsageError(f"{flag} {count}: at least 1 is needed")
    if not TorchElasticEnvironment.detect():
        return devices or 1, nodes or 1
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    started = local, int(os.environ["WORLD_SIZE"]) // local
    if (devices or started[0], nodes or started[1]) != started:
        raise UsageError(
            f"--devices {devices or started[0]} --nodes {nodes or started[1]}: torchrun has started {started[0]} processes "
            f"on each of {started[1]} machines; leave the two out, or give torchrun the same numbers"
        )
    return started


def join(devices: int, nodes: int, device: str) -> Team:
    """Meet the other processes, which torchrun or SLURM has started. All but the first fall silent.

    Raises UsageError when nobody has started them, or a machine has fewer devices.
    """
    if devices * nodes == 1:
        return ALONE
    device = best_device() if device == "auto" else device
    if device not in ("cpu", "cuda"):
        raise UsageError(f"--devices {devices} --nodes {nodes}: not with --device {device}; give --device cpu or cuda")
    if not (TorchElasticEnvironment.detect() or started_by_slurm(devices, nodes)):
        raise UsageError(
            f"--devices {devices} --nodes {nodes}: one process per device is needed, and they are started from outside: "
            f"torchrun {f'--nnodes {nodes} ' if nodes > 1 else ''}--nproc-per-node {devices} -m gerund train ..., "
            f"or under SLURM srun --nodes {nodes} --ntasks-per-node {devices} gerund train ..."
        )
    if device == "cuda" and torch.cuda.device_count() < devices:
        raise UsageError(f"--devices {devices}: this machine has {torch.cuda.device_count()}")
    quiet_lightning()
    fabric = lightning.Fabric(
        accelerator=device,
        devices=devices,
        num_nodes=nodes,
        strategy=DDPStrategy(timeout=PATIENCE_WITH_THE_FIRST),
    )
    fabric.launch()
    if fabric.global_rank > 0:
        progress.mute()
    return Team(devices=devices, nodes=nodes, rank=fabric.global_rank, fabric=fabric)


def started_by_slurm(devices: int, nodes: int) -> bool:
    """Whether srun has started this process, and just as many others as are wanted."""
    counts = tuple(int(os.environ.get(name, "0")) for name in ("SLURM_NTASKS_PER_NODE", "SLURM_NNODES"))
    return counts == (devices, nodes) and SLURMEnvironment.detect()


def quiet_lightning() -> None:
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
