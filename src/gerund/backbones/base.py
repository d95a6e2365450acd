"""What every backbone is: a frozen network with the preprocessing that its weights were made for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gerund.core.errors import BackboneError, UsageError
from gerund.core.types import Fit, Resize

if TYPE_CHECKING:
    from torch import nn

FINE_TUNED = "fine-tuned"
"""How the origin of weights begins that were trained on from others; what follows ` from ` is the origin of those."""


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A frozen network: normalised frames (N * `window`, 3, H, W) float32 in, features (N, `feature_dim`) out.

    An image network sees one frame at a time (`window` 1); a video network sees `window` successive ones, a new window starting
    every `stride` frames, and `architecture` is then all that its source needs to build it.

    `draw` makes it as an OpenVINO model for N features at once, `build` as a module of torch, each when first asked for; a source has
    the one, the other or both. `mean` and `std` are per channel, for pixel values in 0..1. `origin` says where the weights come from;
    `digest` is theirs where it is known beforehand; `quantized` is the int8 copy in OpenVINO's format where there is one;
    `installed` says that the weights are part of the installation, so that no model folder needs a copy.
    """

    name: str
    resize: Resize
    mean: tuple[float, ...]
    std: tuple[float, ...]
    feature_dim: int
    origin: str
    draw: Callable[[int], Any] | None = None
    build: Callable[[], nn.Module] | None = None
    digest: str | None = None
    quantized: Path | None = None
    window: int = 1
    stride: int = 1
    architecture: Mapping[str, Any] | None = None
    installed: bool = False

    @cached_property
    def module(self) -> nn.Module:
        """The network in torch. Raises UsageError for one that is only a graph."""
        if self.build is None:
            raise UsageError(f"backbone {self.name} is a graph for a CPU, no network of torch; choose another for this")
        return self.build().eval().requires_grad_(False)

    def graph(self, count: int) -> Any:
        """The network as an OpenVINO model for `count` features at once."""
        if self.draw is not None:
            return self.draw(count)
        from gerund.backbones.conversion import converted

        return converted(self.module, (count * self.window, 3, self.resize.height, self.resize.width))

    @cached_property
    def weights_digest(self) -> str:
        """SHA-256 of all parameters and buffers."""
        if self.digest is not None:
            return self.digest
        from gerund.backbones.conversion import weights_digest

        return weights_digest(self.module.state_dict())

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


def resize_of(config: Mapping[str, Any], image_size: int | None, fit: Fit | None) -> Resize:
    """The one input shape of a backbone, from a timm data config, with the user's overrides."""
    height, width = (image_size, image_size) if image_size else config["input_size"][-2:]
    bilinear = config["interpolation"] == "bilinear"
    return Resize(height=height, width=width, fit=fit or "squeeze", interpolation="bilinear" if bilinear else "bicubic")


def check_digest(found: str, config: Mapping[str, Any], source: str) -> None:
    """Raise BackboneError for weights that are not those a model was trained with."""
    if found != config["weights_digest"]:
        raise BackboneError(f"{source}: not the weights that the model was trained with; is the file damaged?")
