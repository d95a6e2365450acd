"""The backbone of a model folder: its graph, which runs anywhere, and its weights, with which torch can go on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gerund.backbones.base import Backbone, check_digest
from gerund.backbones.graph import graph_for, read_graph
from gerund.backbones.lite import timm_name
from gerund.core.errors import BackboneError, needs
from gerund.core.types import Resize

if TYPE_CHECKING:
    from torch import nn

GRAPH_FILE, WEIGHTS_FILE = "backbone.xml", "backbone.safetensors"


def saved(config: Mapping[str, Any], folder: Path, *, has_graph: bool) -> Backbone | None:
    """The backbone of a folder, by its graph, its weights, or both; None of a folder with neither. Raises BackboneError for others."""
    graph, weights = folder / GRAPH_FILE, folder / WEIGHTS_FILE
    resize = Resize(**config["resize"])
    if not has_graph and not weights.is_file():
        return None
    if not has_graph:
        with needs("torch", "torch", f"{folder}: a model of before, without the graph of its backbone {config['name']}"):
            read_state(config, weights, held(weights))
    return Backbone(
        name=config["name"],
        resize=resize,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        feature_dim=config["feature_dim"],
        origin=config["origin"],
        draw=partial(graph_for, read_graph(graph), graph, resize, config.get("window", 1)) if has_graph else None,
        build=partial(rebuilt_module, config, resize, weights, held(weights))
        if weights.is_file() and find_spec("torch")
        else None,
        digest=config["weights_digest"],
        window=config.get("window", 1),
        stride=config.get("stride", 1),
        architecture=config.get("architecture"),
    )


def held(path: Path) -> np.ndarray:
    """The bytes of a file, mapped: they are there as long as they are wanted, whatever becomes of the file's name."""
    return np.memmap(path, np.uint8, mode="r")


def read_state(config: Mapping[str, Any], weights: Path, data: np.ndarray) -> dict[str, Any]:
    """The weights of a folder. Raises BackboneError for others than the model was trained with, and for some that are not finite."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    from gerund.backbones.conversion import weights_digest

    try:
        state = load(data.tobytes())
    except SafetensorError as error:
        raise BackboneError(f"{weights}: not a readable safetensors file ({error})") from None
    check_digest(weights_digest(state), config, str(weights))
    bad = next((key for key, value in state.items() if value.is_floating_point() and not bool(torch.isfinite(value).all())), None)
    if bad is not None:
        raise BackboneError(f"{weights}: {bad} has values that are not finite; copy the model again or train it again")
    return state


def rebuilt_module(config: Mapping[str, Any], resize: Resize, weights: Path, data: np.ndarray) -> nn.Module:
    """The network in torch with the weights of the folder; nothing is fetched."""
    state = read_state(config, weights, data)
    if config.get("architecture") is not None:
        from gerund.backbones.hf import rebuild as rebuild_video_model

        return rebuild_video_model(config["architecture"], config["window"], state, weights)
    from gerund.backbones.timm import rebuild

    return rebuild(timm_name(config["name"]), resize.height, state, weights)
