"""Several processes that train one head or backbone, as torchrun or SLURM has started them."""

from __future__ import annotations

import logging
import os
from datetime import timedelta

import lightning_fabric
import torch
from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy

from gerund.backbones import best_device
from gerund.core import progress
from gerund.core.errors import UsageError
from gerund.core.team import Team

PATIENCE_WITH_THE_FIRST = timedelta(days=7)
"""How long the others wait for what the first process of a team does alone."""


def join(devices: int, nodes: int, device: str) -> Team:
    """Meet the other processes, which torchrun or SLURM has started. All but the first fall silent.

    Raises UsageError when nobody has started them, or a machine has fewer devices.
    """
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
    fabric = lightning_fabric.Fabric(
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
    for name in ("lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
