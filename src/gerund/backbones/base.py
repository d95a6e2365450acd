"""What every backbone is: a frozen module with the preprocessing that its weights were made for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gerund.core.types import Fit, Resize


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A frozen network. `module` maps normalised frames (N * `window`, 3, H, W) float32 to features (N, `feature_dim`).

    An image network sees one frame at a time (`window` 1); a video network sees `window` successive ones, a new window starting
    every `stride` frames, and `architecture` is then all that its source needs to build it.

    It is made by `build` when first asked for: prediction with a compiled copy at hand never needs it. `mean` and `std` are per
    channel, for pixel values in 0..1. `origin` says where the weights come from; `digest` is theirs where it is known beforehand;
    `quantized` is the int8 copy in OpenVINO's format where there is one.
    """

    name: str
    build: Callable[[], nn.Module]
    resize: Resize
    mean: tuple[float, ...]
    std: tuple[float, ...]
    feature_dim: int
    origin: str
    digest: str | None = None
    quantized: Path | None = None
    window: int = 1
    stride: int = 1
    architecture: Mapping[str, Any] | None = None

    @cached_property
    def module(self) -> nn.Module:
        return self.build().eval().requires_grad_(False)

    @cached_property
    def weights_digest(self) -> str:
        """SHA-256 of all parameters and buffers."""
        return self.digest or weights_digest(self.module.state_dict())

    @cached_property
    def fingerprint(self) -> str:
        """Name and 16 hexadecimal digits: equal across processes and machines, different for other weights or preprocessing."""
        parts = (self.name, self.weights_digest, asdict(self.resize), self.mean, self.std)
        return f"{self.name}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"

    @property
    def file_name(self) -> str:
        """The fingerprint without what file names cannot hold."""
        return self.fingerprint.replace(":", "-").replace("/", "-")

    @property
    def config(self) -> dict[str, Any]:
        """All but the weights, as plain values; `rebuild` in the source's module turns it back into a backbone."""
        return {
            "name": self.name,
            "resize": asdict(self.resize),
            "mean": list(self.mean),
            "std": list(self.std),
            "feature_dim": self.feature_dim,
            "origin": self.origin,
            "weights_digest": self.weights_digest,
            "window": self.window,
            "stride": self.stride,
            "architecture": self.architecture,
        }


def weights_digest(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over tensors, with names, shapes and types, in the order of their names."""
    digest = hashlib.sha256()
    for key, tensor in sorted(state.items()):
        digest.update(f"{key}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def resize_of(config: Mapping[str, Any], image_size: int | None, fit: Fit | None) -> Resize:
    """The one input shape of a backbone, from a timm data config, with the user's overrides."""
    height, width = (image_size, image_size) if image_size else config["input_size"][-2:]
    bilinear = config["interpolation"] == "bilinear"
    return Resize(height=height, width=width, fit=fit or "squeeze", interpolation="bilinear" if bilinear else "bicubic")
