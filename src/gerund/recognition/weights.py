"""The weights in a model folder: those of the head, of the backbone, and of what tells the unknown, read and written with torch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from gerund.backbones import Backbone, quantized_digest, rebuild_backbone
from gerund.core import files
from gerund.core.errors import ModelError, UsageError
from gerund.features.cache import FeatureCache
from gerund.heads import Head, build_head
from gerund.recognition.calibration import Familiarity
from gerund.recognition.folder import BACKBONE_FILE, FAMILIARITY_FILE, HEAD_FILE, INT8_FILE, REMEDY, ModelConfig, check_whole


def read_tensors(path: Path, expected: str) -> dict[str, torch.Tensor]:
    """Tensors of a file whose SHA-256 is known. Raises ModelError when it is missing or damaged."""
    check_whole(path, expected)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ModelError(f"{path}: not a readable safetensors file ({error})") from None


def tensor_bytes(state: Mapping[str, torch.Tensor]) -> bytes:
    """A safetensors file of tensors, from wherever they are."""
    return save({key: value.detach().cpu().contiguous() for key, value in state.items()}, {"format": "pt"})


def read_familiarity(config: ModelConfig, folder: Path) -> Familiarity | None:
    """The sense of the unknown in a model folder, where it has one. Raises ModelError when it is missing or damaged."""
    if config.unknown_sha256 is None:
        return None
    tensors = read_tensors(folder / FAMILIARITY_FILE, config.unknown_sha256)
    return Familiarity.of_tensors({name: value.double().numpy().astype(np.float32) for name, value in tensors.items()})


def read_backbone(config: ModelConfig, folder: Path, *, fetch: bool) -> Backbone:
    """The backbone of a model folder, with the int8 copy that the model was trained with, if it was.

    `fetch` allows to fetch published weights that are not in the folder. Raises BackboneError or ModelError for others than those.
    """
    backbone = rebuild_backbone(config.backbone, folder / BACKBONE_FILE, fetch=fetch)
    if not config.precision.startswith("int8"):
        return backbone
    path = folder / INT8_FILE
    if not path.is_file() or config.precision != f"int8-{quantized_digest(path)}":
        raise ModelError(f"{path}: missing or damaged; {REMEDY}")
    return replace(backbone, quantized=path, digest=backbone.weights_digest)


def read_head(config: ModelConfig, folder: Path, state: Mapping[str, torch.Tensor], feature_dim: int) -> Head:
    """The head of a model folder with its weights, for a backbone's `feature_dim`. Raises ModelError when they do not fit.

    It is first built without memory, so that one which the weights do not fill is never built at all.
    """

    def built() -> Head:
        return build_head(
            config.head_name,
            token_dim=config.sampling.token_dim(feature_dim),
            num_classes=len(config.labels),
            num_frames=config.sampling.num_frames,
            options=config.head_options,
        )

    try:
        with torch.device("meta"):
            shape = built().state_dict()
    except UsageError as error:
        raise ModelError(f"{folder / 'config.json'}: does not describe a head ({error})") from None
    path = folder / HEAD_FILE
    for key in sorted({*shape, *state}):
        if key not in shape or key not in state or shape[key].shape != state[key].shape or shape[key].dtype != state[key].dtype:
            raise ModelError(
                f"{path}: {key} is not what a head {config.head_name} of this config.json has; is one of the two another model's?"
            )
        if not bool(torch.isfinite(state[key]).all()):
            raise ModelError(f"{path}: {key} has values that are not finite; {REMEDY}")
    head = built()
    head.load_state_dict(state)
    return head


def write_backbone(backbone: Backbone, cache: FeatureCache, folder: Path) -> None:
    """Put a backbone's weights into a model folder, as a hard link into this machine's store where the file system allows it."""
    if not backbone.name.startswith("pixels"):
        link(stored_weights(backbone, cache), folder / BACKBONE_FILE)


def stored_weights(backbone: Backbone, cache: FeatureCache) -> Path:
    """The backbone's weights in this machine's store, written once."""
    path = cache.folder.parent / "weights" / f"{backbone.weights_digest[:32]}.safetensors"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        files.tidy(path.parent)
        files.write_bytes(path, tensor_bytes({key: value.clone() for key, value in backbone.module.state_dict().items()}))
    return path


def link(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
