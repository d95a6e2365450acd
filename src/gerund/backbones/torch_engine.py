"""Where a backbone runs in torch: on CUDA and MPS."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from gerund.backbones.base import Backbone


def best_torch_device() -> str:
    """The fastest device that torch can use."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def device_problem(device: str) -> str | None:
    """Why torch cannot compute on a device, in words; None where it can."""
    try:
        asked = torch.device(device)
    except RuntimeError:
        return "no such device; there are cpu, cuda, cuda:1 ... and mps"
    if asked.type == "mps":
        return None if torch.backends.mps.is_available() else "there is no GPU of Apple that torch can use"
    if asked.type != "cuda":
        return f"gerund does not compute on {asked.type}; there are cpu, cuda, cuda:1 ... and mps"
    if not torch.cuda.is_available():
        return "torch sees no GPU of NVIDIA here"
    count = torch.cuda.device_count()
    return None if (asked.index or 0) < count else f"there are {count} GPUs, counted from 0"


def has_bf16(device: str) -> bool:
    return device != "cuda" or torch.cuda.is_bf16_supported()


class GreyPixels(nn.Module):
    """What `gerund.backbones.pixels` draws: RGB in 0..1 (N, 3, S, S) -> grey values (N, S * S)."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        weights = torch.tensor([0.299, 0.587, 0.114], dtype=frames.dtype, device=frames.device)
        grey = (frames * weights.view(1, 3, 1, 1)).sum(1).flatten(1)
        grey = grey - grey.mean(1, keepdim=True)
        return grey / (grey.square().mean(1, keepdim=True) + 1e-4).sqrt()


class TorchEngine:
    """Torch in channels_last for image networks, autocast where asked for. On CUDA the copies of one batch overlap with the arithmetic of another."""

    IN_FLIGHT = 3
    """Batches that are queued on the device before the first answer is waited for."""

    def __init__(self, backbone: Backbone, *, device: str, precision: str, batch_size: int) -> None:
        self.batch_size = batch_size
        self.device = torch.device(device)
        self.cuda = self.device.type == "cuda"
        # a video network's weights have five dimensions, and channels_last knows four
        self.layout = torch.channels_last if backbone.window == 1 else torch.contiguous_format
        self.module = copy.deepcopy(backbone.module).to(self.device).to(memory_format=self.layout)
        self.bf16 = precision == "bf16"
        self.mean = 255 * torch.tensor(backbone.mean, device=self.device).view(1, 3, 1, 1)
        self.std = 255 * torch.tensor(backbone.std, device=self.device).view(1, 3, 1, 1)
        self.waiting: deque[tuple[torch.Tensor, Any, Callable[[np.ndarray], None]]] = deque()

    @torch.inference_mode()
    def submit(self, batch: np.ndarray, done: Callable[[np.ndarray], None]) -> None:
        planes = torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))
        planes = planes.pin_memory().to(self.device, non_blocking=True) if self.cuda else planes.to(self.device, copy=True)
        frames = ((planes.float() - self.mean) / self.std).to(memory_format=self.layout)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            features = self.module(frames)
        answer = features.float().to("cpu", non_blocking=self.cuda)
        event = torch.cuda.Event() if self.cuda else None
        if event is not None:
            event.record()
        self.waiting.append((answer, event, done))
        while len(self.waiting) >= self.IN_FLIGHT:
            self.finish_one()

    def finish_one(self) -> None:
        answer, event, done = self.waiting.popleft()
        if event is not None:
            event.synchronize()
        done(answer.numpy())

    def drain(self) -> None:
        while self.waiting:
            self.finish_one()
