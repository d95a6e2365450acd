"""What heads share: the contract, masked pooling over time, input standardisation.

A head maps tokens x (B, T, D) and valid (B, T) bool to logits (B, K). Values of x where `valid` is False never matter. Softmax
happens once, in the recogniser.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gerund.core.errors import UsageError


class Head(nn.Module):
    """Base of all heads. `takes_order` is False for heads that give the same answer when the time steps are shuffled.

    `in_closed_form` is True for heads that `solve` for their weights instead of being trained over epochs.
    """

    takes_order = True
    in_closed_form = False

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Logits (B, K) of tokens x (B, T, D), valid (B, T)."""
        raise NotImplementedError

    @torch.no_grad()
    def step_weights(self, x: Tensor, valid: Tensor) -> Tensor:
        """How much each time step counted, (B, T), adding up to 1 over the valid steps of a clip.

        Unless a head knows better: how far the winning logit moves when the step is left out.
        """
        logits = self(x, valid)
        winner = logits.argmax(1, keepdim=True)
        moved = []
        for step in range(x.shape[1]):
            others = valid.clone()
            others[:, step] = False
            others = torch.where(others.any(1, keepdim=True), others, valid)  # a lone step cannot be left out
            moved.append((logits - self(x, others)).gather(1, winner).abs())
        change = torch.cat(moved, 1).masked_fill(~valid, 0) + 1e-6 * valid
        return change / change.sum(1, keepdim=True)

    def prepare(self, x: Tensor, valid: Tensor) -> None:
        """Look at all training tokens (N, T, D) once before training starts; most heads need nothing."""

    def solve(self, x: Tensor, valid: Tensor, targets: Tensor, groups: Tensor) -> None:
        """Set all weights from the training tokens (N, T, D), classes (N,) and groups (N,), for a head that is `in_closed_form`."""
        raise NotImplementedError


def check_sizes(least: int = 1, **sizes: int) -> None:
    """Raise UsageError for an option of a head, given by name, that is below `least`."""
    for name, size in sizes.items():
        if size < least:
            raise UsageError(f"--head.{name.replace('_', '-')} {size}: must be at least {least}")


def check_shares(**shares: float) -> None:
    """Raise UsageError for an option of a head, given by name, that is not within 0..1."""
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise UsageError(f"--head.{name.replace('_', '-')} {share:g}: must lie between 0 and 1")


class Standardize(nn.Module):
    """Each input dimension to mean 0 and standard deviation 1 over the training tokens; fixed numbers, not learned.

    `fitted` is set where they were measured on more than the training tokens, and then stand.
    """

    mean: Tensor
    std: Tensor
    fitted = False

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def fit(self, x: Tensor, valid: Tensor) -> None:
        """Measure tokens x (N, T, D); a dimension that hardly moves is not blown up."""
        if self.fitted:
            return
        count, total, squares = valid.sum(), 0.0, 0.0
        for part, mask in zip(x.split(1024), valid.split(1024), strict=True):
            rows = part[mask].double()
            total, squares = total + rows.sum(0), squares + rows.square().sum(0)
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt()
        self.mean.copy_(mean)
        self.std.copy_(std.clamp(min=float(std.mean()) * 0.05 + 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def masked_mean(x: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid steps: (B, T, D) -> (B, D)."""
    weights = valid.to(x.dtype).unsqueeze(-1)
    return torch.where(valid.unsqueeze(-1), x, 0).sum(1) / weights.sum(1)


def masked_max(x: Tensor, valid: Tensor) -> Tensor:
    """Maximum over the valid steps: (B, T, D) -> (B, D)."""
    return x.masked_fill(~valid.unsqueeze(-1), torch.finfo(x.dtype).min).amax(1)


def masked_softmax(scores: Tensor, valid: Tensor) -> Tensor:
    """Softmax over the valid steps: scores (B, T) -> weights (B, T), 0 where not valid."""
    return scores.masked_fill(~valid, torch.finfo(scores.dtype).min).softmax(1)


def uniform_weights(valid: Tensor) -> Tensor:
    """Every valid step counts the same: (B, T) bool -> (B, T)."""
    return valid.float() / valid.sum(1, keepdim=True)


def max_weights(x: Tensor, valid: Tensor) -> Tensor:
    """Share of the features whose maximum over time each step gave: (B, T, D) -> (B, T)."""
    winners = x.masked_fill(~valid.unsqueeze(-1), torch.finfo(x.dtype).min).argmax(1)
    return torch.zeros_like(x[..., 0]).scatter_add_(1, winners, torch.ones_like(winners, dtype=x.dtype)) / winners.shape[1]
