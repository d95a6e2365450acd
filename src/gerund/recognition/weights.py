"""The weights in a model folder: those of the head, of the backbone, and of what tells the unknown, read and written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as save_arrays

from gerund.backbones import Backbone, quantized_digest, rebuild_backbone
from gerund.backbones.engines import BATCH_SIZE
from gerund.core import files
from gerund.core.errors import ModelError, UsageError
from gerund.core.openvino import save_graph
from gerund.features.cache import FeatureCache
from gerund.features.tokens import Sampling
from gerund.heads import Head, in_closed_form, is_address, loaded_head
from gerund.heads.graph import GraphHead
from gerund.recognition.calibration import Familiarity
from gerund.recognition.folder import (
    BACKBONE_FILE,
    FAMILIARITY_FILE,
    HEAD_FILE,
    HEAD_GRAPH,
    INT8_FILE,
    REMEDY,
    ModelConfig,
    check_whole,
)


def read_arrays(path: Path, expected: str) -> dict[str, np.ndarray]:
    """Arrays of a safetensors file whose SHA-256 is known. Raises ModelError when it is missing or damaged."""
    check_whole(path, expected)
    try:
        return load_file(path)
    except (SafetensorError, KeyError, ValueError) as error:  # KeyError: a type that numpy does not have
        raise ModelError(f"{path}: not a readable safetensors file ({error})") from None


def array_bytes(arrays: Mapping[str, np.ndarray], **metadata: str) -> bytes:
    """A safetensors file of arrays, whose writer takes memory as it lies: a transposed array would be another one."""
    return save_arrays({name: np.asarray(value, order="C") for name, value in arrays.items()}, metadata or None)


def read_familiarity(config: ModelConfig, folder: Path) -> Familiarity | None:
    """The sense of the unknown in a model folder, where it has one. Raises ModelError when it is missing or damaged."""
    if config.unknown_sha256 is None:
        return None
    arrays = read_arrays(folder / FAMILIARITY_FILE, config.unknown_sha256)
    return Familiarity.of_tensors({name: value.astype(np.float32) for name, value in arrays.items()})


def read_backbone(config: ModelConfig, folder: Path, *, fetch: bool) -> Backbone:
    """The backbone of a model folder, with the int8 copy that the model was trained with, if it was.

    `fetch` allows to fetch published weights that are not in the folder. Raises BackboneError or ModelError for others than those.
    """
    has_graph = "backbone.xml" in config.files
    for name in ("backbone.xml", "backbone.bin", BACKBONE_FILE):
        if name in config.files or (has_graph and name == "backbone.bin"):
            check_whole(folder / name, config.files.get(name, ""))
    backbone = rebuild_backbone(config.backbone, folder, has_graph=has_graph, fetch=fetch)
    if not config.precision.startswith("int8"):
        return backbone
    path = folder / INT8_FILE
    if not path.is_file() or config.precision != f"int8-{quantized_digest(path)}":
        raise ModelError(f"{path}: missing or damaged; {REMEDY}")
    return replace(backbone, quantized=path, digest=backbone.weights_digest)


def read_head(config: ModelConfig, folder: Path, state: Mapping[str, np.ndarray], feature_dim: int) -> Head:
    """The head of a model folder with its weights, for a backbone's `feature_dim`. Raises ModelError when they do not fit.

    One that is learned in torch is first built without memory, so that one which the weights do not fill is never built at all.
    Somebody's own is run as the graph that was saved with it: no module that a model names is imported for that.
    """
    path = folder / HEAD_FILE
    options = {
        "token_dim": config.sampling.token_dim(feature_dim),
        "num_classes": len(config.labels),
        "num_frames": config.sampling.num_frames,
        "options": config.head_options,
    }
    for key, value in state.items():
        if not np.isfinite(value).all():
            raise ModelError(f"{path}: {key} has values that are not finite; {REMEDY}")
    try:
        if HEAD_GRAPH in config.files and runs_as_graph(config.head_name):
            for name in ("head.xml", "head.bin"):
                check_whole(folder / name, config.files.get(name, ""))
            return GraphHead(folder / HEAD_GRAPH, state)
        return loaded_head(config.head_name, state, **options)
    except UsageError as error:
        raise ModelError(f"{folder / 'config.json'}: does not describe a head ({error})") from None
    except ValueError as error:
        raise ModelError(
            f"{path}: {error} is not what a head {config.head_name} of this config.json has; is one of the two another model's?"
        ) from None


def runs_as_graph(head_name: str) -> bool:
    """Whether a head answers as the graph beside its weights: without torch, and where it is somebody's own."""
    return is_address(head_name) or (not in_closed_form(head_name) and find_spec("torch") is None)


def write_backbone(backbone: Backbone, cache: FeatureCache, folder: Path) -> None:
    """Put a backbone into a model folder, as hard links into this machine's store where the file system allows it.

    One that is part of the installation stays there.
    """
    if backbone.installed:
        return
    graph = stored_graph(backbone, cache)
    for suffix in (".xml", ".bin"):
        link(graph.with_suffix(suffix), folder / f"backbone{suffix}")
    if backbone.build is not None:
        link(stored_weights(backbone, cache), folder / BACKBONE_FILE)


def write_head_graph(head: Head, sampling: Sampling, feature_dim: int, folder: Path) -> None:
    """Put a head that was learned in torch into a model folder as a graph; one in closed form needs none."""
    if isinstance(head, GraphHead):
        for suffix in (".xml", ".bin"):
            shutil.copyfile(head.path.with_suffix(suffix), (folder / HEAD_GRAPH).with_suffix(suffix))
    elif not head.in_closed_form:
        from gerund.heads.learned.base import LearnedHead

        if isinstance(head, LearnedHead):
            save_graph(head.graph(sampling.num_frames, sampling.token_dim(feature_dim)), folder / HEAD_GRAPH)


def stored_graph(backbone: Backbone, cache: FeatureCache) -> Path:
    """The backbone as a graph in this machine's store, written once."""
    path = cache.folder.parent / "weights" / f"{backbone.file_name}.xml"
    if not path.is_file():
        save_graph(backbone.graph(max(1, BATCH_SIZE // backbone.window)), path)
    return path


def stored_weights(backbone: Backbone, cache: FeatureCache) -> Path:
    """The backbone's weights in this machine's store, written once."""
    path = cache.folder.parent / "weights" / f"{backbone.weights_digest[:32]}.safetensors"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        files.tidy(path.parent)
        files.write_bytes(path, tensor_bytes(backbone))
    return path


def tensor_bytes(backbone: Backbone) -> bytes:
    """A safetensors file of a backbone's weights, from wherever they are."""
    from safetensors.torch import save

    state = backbone.module.state_dict()
    return save({key: value.detach().cpu().contiguous().clone() for key, value in state.items()}, {"format": "pt"})


def link(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
