"""Predicting the features of hidden time steps, in torch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gerund.core.errors import TrainingError
from gerund.heads.learned.transformer import TransformerHead
from gerund.learning.batches import Batches
from gerund.learning.fit import show_tokens
from gerund.learning.loop import Loop, cosine_schedule, epoch_seed
from gerund.learning.pretraining import PretrainingEpoch, Settings
from gerund.recognition.token_set import TokenSet

WARMUP = 0.1


class MaskedSteps(nn.Module):
    """The encoder of a head, a token that stands for every hidden step, and a linear map back to the features."""

    def __init__(self, head: TransformerHead, dim: int, hidden: float) -> None:
        super().__init__()
        self.head, self.hidden = head, hidden
        size = head.positions.shape[1]
        self.token = nn.Parameter(torch.zeros(size))
        self.restore = nn.Linear(size, dim)

    def forward(self, x: Tensor, valid: Tensor, generator: torch.Generator) -> Tensor:
        """Mean squared error of the predicted features of hidden steps, for tokens x (B, T, D), valid (B, T)."""
        features = self.head.standardized(x, valid)
        hidden = hidden_steps(valid.cpu(), self.hidden, generator).to(x.device)
        seen = torch.where(hidden.unsqueeze(-1), self.token, self.head.project(features))
        encoded = self.head.mix(seen, valid)[0][:, -x.shape[1] :]  # a class token stands in front
        return functional.mse_loss(self.restore(encoded[hidden]), features[hidden])


def masked_steps(dim: int, num_frames: int, options: Mapping[str, Any], hidden: float, seed: int) -> MaskedSteps:
    """An encoder that has learned nothing, for tokens of width `dim`, with the first weights of a seed."""
    torch.manual_seed(seed)
    return MaskedSteps(TransformerHead(dim, 1, num_frames, **options), dim, hidden)


def hidden_steps(valid: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Which valid steps (B, T) are hidden: about `share` of each clip's, at random, at least one hidden and one not."""
    count = valid.sum(1, keepdim=True)
    wanted = (count * share).round().clamp(min=1).minimum(count - 1)
    order = torch.rand(valid.shape, generator=generator).masked_fill(~valid, 2.0).argsort(1).argsort(1)
    return (order < wanted) & valid


def epochs_of(model: MaskedSteps, train: TokenSet, val: TokenSet, settings: Settings, device: str) -> Iterator[PretrainingEpoch]:
    """Train a model, one epoch after the other. Raises TrainingError when the loss is no longer finite."""
    started = time.monotonic()
    show_tokens(model.head, train)
    batches = Batches(train, settings.batch_size, settings.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    schedule = cosine_schedule(optimizer, settings.epochs * len(batches), WARMUP)

    @cache
    def generator(epoch: int) -> torch.Generator:
        return torch.Generator().manual_seed(epoch_seed(settings.seed, epoch))

    def loss(module: nn.Module, x: Tensor, valid: Tensor, *_: Tensor) -> Tensor:
        return module(x, valid, generator(batches.epoch))

    loop = Loop(model, loss, batches, optimizer, schedule, seed=settings.seed, device=device)
    for number, losses in loop.epochs(0, settings.epochs):
        train_loss, val_loss = float(losses.mean()), measured(model, val, settings, loop.fabric.device)
        if not math.isfinite(train_loss + val_loss):
            raise TrainingError(f"the loss is not finite in epoch {number + 1}; try a lower --lr (now {settings.lr:g})")
        yield PretrainingEpoch(epoch=number + 1, time=time.monotonic() - started, train_loss=train_loss, val_loss=val_loss)


@torch.inference_mode()
def measured(model: MaskedSteps, val: TokenSet, settings: Settings, device: torch.device) -> float:
    """Loss on the clips held out, the same steps hidden every time."""
    model.eval()
    generator = torch.Generator().manual_seed(settings.seed)
    parts = [(len(x), model(x.to(device), valid.to(device), generator)) for x, valid, *_ in Batches(val, 1024, None)]
    return float(sum(count * loss for count, loss in parts) / len(val))
