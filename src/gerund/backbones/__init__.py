"""Frozen networks: a frame in (or a window of frames), one feature vector out. A new source = one file + one line here.

`lite`, `pixels` and `graph` run in OpenVINO alone; `timm`, `hf` and other devices than the processor need torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gerund.backbones.base import FINE_TUNED, Backbone, check_digest
from gerund.backbones.engines import Engine, best_device, checked_device, compile_engine, resolve_precision
from gerund.backbones.quantize import quantize, quantized_digest
from gerund.backbones.saved import WEIGHTS_FILE, saved
from gerund.core.addresses import addressed
from gerund.core.errors import BackboneError, UsageError, needs
from gerund.core.places import as_path
from gerund.core.types import FITS, Fit, Resize

__all__ = [
    "BACKBONES",
    "PRESETS",
    "Backbone",
    "Engine",
    "best_device",
    "checked_device",
    "compile_engine",
    "load_backbone",
    "quantize",
    "quantized_digest",
    "rebuild_backbone",
    "resolve_precision",
    "weights_licence",
]

BACKBONES = {
    "lite": "gerund.backbones.lite:load",
    "pixels": "gerund.backbones.pixels:load",
    "graph": "gerund.backbones.graph:load",
    "timm": "gerund.backbones.timm:load",
    "hf": "gerund.backbones.hf:load",
}
LITE = ("lite", "lite1", "lite2")
DEFAULT = "lite"
PRESETS = {"fast": "lite", "balanced": "lite2", "best": "vit_base_patch14_reg4_dinov2.lvd142m"}


def load_backbone(
    name: str = DEFAULT,
    *,
    weights: str | Path | None = None,
    pretrained: bool = True,
    image_size: int | None = None,
    fit: Fit | None = None,
) -> Backbone:
    """A backbone by preset (fast, balanced, best), by source (`lite`, `pixels:48`, `timm:NAME`, `hf:FOLDER`, a file .onnx or .xml) or timm name.

    Frames are squeezed into the square input unless `fit` says otherwise: nothing at the sides is lost (docs/log.md has the figures).
    `weights` is a local file; otherwise `pretrained` fetches the published weights, once. `image_size` in pixels and `fit` override
    what the weights were made for. Raises UsageError for an unknown name, BackboneError for weights that are missing or do not fit.
    """
    if fit is not None and fit not in FITS:
        raise UsageError(f"unknown fit {fit!r}; choose one of {', '.join(FITS)}")
    if image_size is not None and not 8 <= image_size <= 2048:
        raise UsageError(f"--image-size {image_size}: a side of 8 to 2048 pixels is possible")
    source, model = source_of(PRESETS.get(name, name))
    with needs("torch", "torch", f"--backbone {name} is a network of timm"), needs("timm", "torch", f"--backbone {name} is its"):
        load = loader(source)
    return load(model, weights=as_path(weights), pretrained=pretrained, image_size=image_size, fit=fit)


def source_of(name: str) -> tuple[str, str]:
    """Which source a name means, and what it is called there."""
    source, colon, model = name.partition(":")
    if source in LITE and not colon:
        return "lite", source
    if Path(name).suffix in (".onnx", ".xml"):
        return "graph", name
    return (source, model) if source in BACKBONES else ("timm", name)


def loader(source: str) -> Callable[..., Backbone]:
    """What loads the backbones of a source; a module of torch is imported when one of its own is asked for."""
    found = BACKBONES[source]
    return addressed(found) if isinstance(found, str) else found


def rebuild_backbone(config: Mapping[str, Any], folder: Path, *, has_graph: bool = False, fetch: bool = True) -> Backbone:
    """The backbone that a model was trained with, from its `config` and what its folder has: the weights for torch, and, with `has_graph`, its graph.

    Without either, weights that timm publishes are fetched again, if `fetch` allows it; nobody else is asked. Raises BackboneError when
    there is nothing to build it of, or something else than the model was trained with.
    """
    in_folder = saved(config, folder, has_graph=has_graph)
    if in_folder is not None:
        return in_folder
    if source_of(config["name"])[0] in ("lite", "pixels"):
        return known_backbone(config)
    return published(config, folder / WEIGHTS_FILE, fetch=fetch)


def published(config: Mapping[str, Any], weights: Path, *, fetch: bool) -> Backbone:
    """A backbone that is not in the folder of its model: with the weights that timm publishes, or that were drawn by lot."""
    if config["origin"] == "pretrained" and not fetch:
        raise BackboneError(f"{weights}: missing, and the model should be whole; copy it again, with everything in its folder")
    from_file = config["origin"].endswith((".safetensors", ".pth", ".pt", ".bin", ".onnx", ".xml"))
    if from_file or source_of(config["name"])[0] in ("hf", "graph"):
        raise BackboneError(
            f"{weights}: missing, and the model was trained with weights from a file ({config['origin']}); put them there"
        )
    return known_backbone(config, pretrained=config["origin"] == "pretrained")


def known_backbone(config: Mapping[str, Any], **options: Any) -> Backbone:
    """A backbone by its name, which must have the weights that a model was trained with."""
    resize = Resize(**config["resize"])
    size = None if config["name"].startswith(("pixels", "hf:")) else resize.height
    backbone = load_backbone(config["name"], image_size=size, fit=resize.fit, **options)
    check_digest(backbone.weights_digest, config, backbone.name)
    return backbone


def weights_licence(backbone: Backbone) -> str:
    """What is known about the licence of a backbone's weights, in words."""
    if backbone.origin.startswith(FINE_TUNED):
        return weights_licence(replace(backbone, origin=backbone.origin.partition(" from ")[2]))
    if backbone.name in LITE:
        return "Apache-2.0 (EfficientNet-Lite, trained on ImageNet)"
    if backbone.origin == "pretrained":
        from gerund.backbones.timm import licence

        return f"{licence(backbone.name) or 'not listed by timm'} (of the weights published for timm)"
    if backbone.origin == "none needed" or backbone.origin.startswith("random"):
        return "none needed (no trained weights)"
    return f"that of the file {backbone.origin}; look it up before passing the model on"
