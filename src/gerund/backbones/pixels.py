"""The backbone without weights: the frame itself as a small grey image, its brightness and contrast taken out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gerund.backbones.base import Backbone
from gerund.core.errors import UsageError
from gerund.core.types import Fit, Resize

if TYPE_CHECKING:
    from torch import nn

DEFAULT_SIZE = 32
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""


def load(size: str, *, weights: Path | None, pretrained: bool, image_size: int | None, fit: Fit | None) -> Backbone:
    """`pixels`, or `pixels:SIZE` for SIZE x SIZE grey values."""
    if weights is not None:
        raise UsageError(f"--weights {weights}: the pixels backbone has no weights; leave the option out")
    if size and not (size.isdigit() and 4 <= int(size) <= 256):
        raise UsageError(f"--backbone pixels:{size}: the size is a whole number from 4 to 256")
    side = int(size) if size else image_size or DEFAULT_SIZE
    return Backbone(
        name=f"pixels:{side}",
        draw=lambda count: grey_graph(count, side),
        build=grey_module,
        resize=Resize(height=side, width=side, fit=fit or "squeeze", interpolation="area"),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        feature_dim=side * side,
        origin="none needed",
        digest=hashlib.sha256().hexdigest(),
        installed=True,
    )


def grey_graph(count: int, side: int) -> Any:
    """RGB in 0..1 (N, 3, S, S) -> grey values (N, S * S), each frame with mean 0 and standard deviation 1."""
    import openvino as ov
    from openvino import opset13 as ops

    frames = ops.parameter([count, 3, side, side], np.float32, name="frames")
    luma = ops.constant(np.array(LUMA, np.float32).reshape(1, 3, 1, 1))
    grey = ops.reduce_sum(ops.multiply(frames, luma), ops.constant([1]), keep_dims=False)
    grey = ops.reshape(grey, ops.constant([count, side * side]), special_zero=False)
    grey = ops.subtract(grey, ops.reduce_mean(grey, ops.constant([1]), keep_dims=True))
    variance = ops.reduce_mean(ops.multiply(grey, grey), ops.constant([1]), keep_dims=True)
    spread = ops.sqrt(ops.add(variance, ops.constant(np.array(1e-4, np.float32))))
    return ov.Model([ops.divide(grey, spread)], [frames])


def grey_module() -> nn.Module:
    from gerund.backbones.torch_engine import GreyPixels

    return GreyPixels()
