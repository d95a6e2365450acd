"""Frozen networks: a frame in (or a window of frames), one feature vector out. A new source = one file + one line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gerund.backbones import hf, pixels, timm
from gerund.backbones.base import Backbone, weights_digest
from gerund.backbones.engines import Engine, best_device, compile_engine, resolve_precision
from gerund.backbones.quantize import quantize, quantized_digest
from gerund.backbones.timm import last_stage
from gerund.core.errors import BackboneError, UsageError
from gerund.core.types import FITS, Fit, Resize

__all__ = [
    "BACKBONES",
    "PRESETS",
    "Backbone",
    "Engine",
    "best_device",
    "compile_engine",
    "last_stage",
    "load_backbone",
    "quantize",
    "quantized_digest",
    "rebuild_backbone",
    "resolve_precision",
    "weights_licence",
]

BACKBONES = {"pixels": pixels.load, "timm": timm.load, "hf": hf.load}

PRESETS = {"fast": "mobilenetv2_100", "balanced": "convnext_tiny.in12k_ft_in1k", "best": "vit_base_patch14_reg4_dinov2.lvd142m"}


def load_backbone(
    name: str = "fast",
    *,
    weights: Path | None = None,
    pretrained: bool = True,
    image_size: int | None = None,
    fit: Fit | None = None,
) -> Backbone:
    """A backbone by preset (fast, balanced, best), by source (`pixels`, `pixels:48`, `timm:NAME`, `hf:FOLDER`) or by timm name.

    Frames are squeezed into the square input unless `fit` says otherwise: nothing at the sides is lost (docs/log.md has the figures).
    `weights` is a local file; otherwise `pretrained` fetches the published weights, once. `image_size` in pixels and `fit` override
    what the weights were made for. Raises UsageError for an unknown name, BackboneError for weights that are missing or do not fit.
    """
    if fit is not None and fit not in FITS:
        raise UsageError(f"unknown fit {fit!r}; choose one of {', '.join(FITS)}")
    if image_size is not None and not 8 <= image_size <= 2048:
        raise UsageError(f"--image-size {image_size}: a side of 8 to 2048 pixels is possible")
    name = PRESETS.get(name, name)
    source, _, model = name.partition(":")
    if source not in BACKBONES:
        source, model = "timm", name
    return BACKBONES[source](model, weights=weights, pretrained=pretrained, image_size=image_size, fit=fit)


def rebuild_backbone(config: Mapping[str, Any], weights: Path, *, fetch: bool = True) -> Backbone:
    """The backbone that a model was trained with, from its `config` and the weights bundled with it.

    Without the bundled file, weights that timm publishes are fetched again, if `fetch` allows it; nobody else is asked. Raises
    BackboneError when there are none, or others.
    """
    resize = Resize(**config["resize"])
    shape = {"resize": resize, "mean": tuple(config["mean"]), "std": tuple(config["std"]), "origin": config["origin"]}
    if not weights.is_file():
        if config["origin"] == "pretrained" and not fetch:
            raise BackboneError(
                f"{weights}: missing, and the model should be whole; copy it again, with everything in its folder"
            )
        if config["origin"].endswith((".safetensors", ".pth", ".pt", ".bin")) or config["name"].startswith("hf:"):
            raise BackboneError(
                f"{weights}: missing, and the model was trained with weights from a file ({config['origin']}); put them there"
            )
        size = None if config["name"].startswith(("pixels", "hf:")) else resize.height
        backbone = load_backbone(config["name"], pretrained=config["origin"] == "pretrained", image_size=size)
        check_digest(backbone.weights_digest, config, backbone.name)
        return replace(backbone, **shape)
    state = timm.read_weights(weights)  # mapped, so that it is there when built, whatever becomes of the file's name
    check_digest(weights_digest(state), config, str(weights))
    bad = next((key for key, value in state.items() if value.is_floating_point() and not bool(torch.isfinite(value).all())), None)
    if bad is not None:
        raise BackboneError(f"{weights}: {bad} has values that are not finite; copy the model again or train it again")
    return Backbone(
        name=config["name"],
        build=lambda: rebuild_module(config, resize, state, weights),
        window=config.get("window", 1),
        stride=config.get("stride", 1),
        architecture=config.get("architecture"),
        feature_dim=config["feature_dim"],
        digest=config["weights_digest"],
        **shape,
    )


def rebuild_module(config: Mapping[str, Any], resize: Resize, state: dict[str, Tensor], source: Path) -> nn.Module:
    if config.get("architecture") is not None:
        return hf.rebuild(config["architecture"], config["window"], state, source)
    return timm.rebuild(config["name"], resize.height, state, source)


def check_digest(found: str, config: Mapping[str, Any], source: str) -> None:
    if found != config["weights_digest"]:
        raise BackboneError(f"{source}: not the weights that the model was trained with; is the file damaged?")


def weights_licence(backbone: Backbone) -> str:
    """What is known about the licence of a backbone's weights, in words."""
    if backbone.origin == "pretrained":
        return f"{timm.licence(backbone.name) or 'not listed by timm'} (of the weights published for timm)"
    if backbone.origin == "none needed" or backbone.origin.startswith("random"):
        return "none needed (no trained weights)"
    return f"that of the file {backbone.origin}; look it up before passing the model on"
