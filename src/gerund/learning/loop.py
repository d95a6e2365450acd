"""The training loop, one for all that is learned over epochs: heads, backbones, encoders. Lightning Fabric stays behind this room."""

from __future__ import annotations

import math
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import lightning_fabric
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from gerund.core.team import ALONE, Team
from gerund.learning.team import quiet_lightning

GRADIENT_CLIP = 1.0
"""The longest that all gradients of a step may be together, as one vector."""

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""x (n, ...), valid (n, T), targets (n,), and the targets (N,) of everyone in a team; see `tokens.Batches`."""


class Loader(Protocol):
    """What training goes through in an epoch: batches that depend on a seed and the epoch's number alone."""

    epoch: int

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...


class Loop:
    """A module that learns: the loss of a batch, the batches of an epoch, and an optimizer with its schedule, step by step.

    `loss(module, *batch)` is a mean over the batch; in a team its gradients are averaged over the processes. All randomness of an epoch
    comes from the seed and the epoch's number, so that a resumed run goes on exactly as if never stopped.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[..., Tensor],
        batches: Loader,
        optimizer: Optimizer,
        schedule: LambdaLR | None,
        *,
        seed: int,
        device: str,
        team: Team = ALONE,
        precision: Literal["32-true", "bf16-mixed"] = "32-true",
    ) -> None:
        self.loss, self.batches, self.schedule, self.seed = loss, batches, schedule, seed
        self.fabric = fabric_of(team, device, precision)
        self.module, self.optimizer = self.fabric.setup(module, optimizer)

    def epochs(self, first: int, last: int) -> Iterator[tuple[int, Tensor]]:
        """Train, epoch after epoch, from number `first`, counted from 0, to the one before `last`: number, losses (steps,)."""
        for number in range(first, last):
            self.batches.epoch = number
            torch.manual_seed(epoch_seed(self.seed, number) + (self.fabric.global_rank << 40))
            self.module.train()
            yield number, torch.stack([self.step(batch) for batch in self.batches])

    def step(self, batch: Batch) -> Tensor:
        """Learn from one batch; returns what its loss was before."""
        loss = self.loss(self.module, *self.fabric.to_device(batch))
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.module, self.optimizer, max_norm=GRADIENT_CLIP, error_if_nonfinite=False)
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        return loss.detach()


def fabric_of(team: Team, device: str, precision: Literal["32-true", "bf16-mixed"]) -> Any:
    """Lightning Fabric on this process's device, joined with the other processes of the team."""
    quiet_lightning()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a GPU is there and not used, that srun is
        fabric = lightning_fabric.Fabric(
            accelerator={"cpu": "cpu", "mps": "mps"}.get(device, "cuda"),
            devices=team.devices,
            num_nodes=team.nodes,
            strategy="ddp" if team.size > 1 else "auto",
            precision=precision,
        )
        fabric.launch()
    return fabric


def epoch_seed(seed: int, number: int) -> int:
    """The seed of an epoch, counted from 0."""
    return seed * 1_000_003 + number


def cosine_schedule(optimizer: Optimizer, steps: int, warmup: float) -> LambdaLR:
    """The learning rate over `steps`, of which `warmup` is the share until it is at its peak."""
    return LambdaLR(optimizer, lambda step: share_of_peak(step / max(steps, 1), warmup))


def share_of_peak(progress: float, warmup: float) -> float:
    """Linear warm-up, then half a cosine down to 0, as a share of the peak learning rate."""
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * min((progress - warmup) / max(1 - warmup, 1e-9), 1.0)))


@contextmanager
def sigterm_like_ctrl_c() -> Iterator[None]:
    """Let what asks a process to end, as a scheduler does when a job's time is up, raise KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
