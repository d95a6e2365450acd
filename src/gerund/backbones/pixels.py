"""The backbone that needs no download: the frame itself as a small grey image, its brightness and contrast taken out."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from gerund.backbones.base import Backbone
from gerund.core.errors import UsageError
from gerund.core.types import Fit, Resize

DEFAULT_SIZE = 32


class GreyPixels(nn.Module):
    """RGB in 0..1 (N, 3, S, S) -> grey values (N, S * S), each frame with mean 0 and standard deviation 1."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        weights = torch.tensor([0.299, 0.587, 0.114], dtype=frames.dtype, device=frames.device)  # ITU-R BT.601 luma
        grey = (frames * weights.view(1, 3, 1, 1)).sum(1).flatten(1)
        grey = grey - grey.mean(1, keepdim=True)
        return grey / (grey.square().mean(1, keepdim=True) + 1e-4).sqrt()


def load(size: str, *, weights: Path | None, pretrained: bool, image_size: int | None, fit: Fit | None) -> Backbone:
    """`pixels`, or `pixels:SIZE` for SIZE x SIZE grey values."""
    if weights is not None:
        raise UsageError(f"--weights {weights}: the pixels backbone has no weights; leave the option out")
    if size and not (size.isdigit() and 4 <= int(size) <= 256):
        raise UsageError(f"--backbone pixels:{size}: the size is a whole number from 4 to 256")
    side = int(size) if size else image_size or DEFAULT_SIZE
    return Backbone(
        name=f"pixels:{side}",
        build=GreyPixels,
        resize=Resize(height=side, width=side, fit=fit or "squeeze", interpolation="area"),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        feature_dim=side * side,
        origin="none needed",
    )
