"""Any network as a graph: NET.onnx or NET.xml (OpenVINO), with NET.json beside it: {"size": 224, "mean": [...], "std": [...]}.

The graph takes normalised frames (N, 3, S, S) float32 and gives features (N, D); mean and deviation are per channel, for pixel values in 0..1.
"interpolation", bicubic or bilinear, is how frames are scaled; bicubic where nothing is said. `gerund export --backbone-only` writes both files.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

from gerund.backbones.base import Backbone
from gerund.core.errors import BackboneError, UsageError, first_line
from gerund.core.fields import INTERPOLATIONS, Fields, json_of
from gerund.core.openvino import core
from gerund.core.types import Fit, Resize


def load(name: str, *, weights: Path | None, pretrained: bool, image_size: int | None, fit: Fit | None) -> Backbone:
    """The network in a file. Raises UsageError for options that it cannot follow, BackboneError for a graph that is no backbone."""
    path = Path(name)
    for flag, given in (("--weights", weights), ("--image-size", image_size)):
        if given is not None:
            raise UsageError(f"{flag} {given}: a graph has its own; leave the option out")
    resize, mean, std = input_of(path.with_suffix(".json"), fit)
    network = read_graph(path)
    return Backbone(
        name=f"graph:{path.stem}",
        draw=partial(graph_for, network, path, resize, 1),
        resize=resize,
        mean=mean,
        std=std,
        feature_dim=width_of(network, path, resize),
        origin=path.name,
        digest=digest_of(path),
    )


def input_of(path: Path, fit: Fit | None) -> tuple[Resize, tuple[float, ...], tuple[float, ...]]:
    """The input of a graph, as the file beside it says."""
    if not path.is_file():
        raise BackboneError(f'{path}: missing; it says how pictures are prepared: {{"size": 224, "mean": [...], "std": [...]}}')
    values = json_of(path, BackboneError)
    if not isinstance(values, dict):
        raise BackboneError(f"{path}: not an object of size, mean and std")
    fields = Fields(values, str(path), BackboneError)
    side, std = fields.whole("size", 8, 2048), fields.numbers("std", 3)
    if min(std) <= 0:
        raise fields.wrong("std", list(std), "above 0")
    scaling = fields.choice("interpolation", INTERPOLATIONS, "bicubic")
    resize = Resize(height=side, width=side, fit=fit or "squeeze", interpolation=scaling)
    return resize, tuple(fields.numbers("mean", 3)), tuple(std)


def read_graph(path: Path) -> Any:
    """A graph. Raises BackboneError for a file that is none."""
    if not path.is_file():
        raise BackboneError(f"--backbone {path}: no such file")
    try:
        return core().read_model(path)
    except Exception as error:  # OpenVINO documents no exception types
        raise BackboneError(f"{path}: not readable as a graph ({first_line(error)})") from None


def width_of(graph: Any, path: Path, resize: Resize) -> int:
    """The width D of a graph's features. Raises BackboneError for a graph that is no backbone, saying what it is."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise BackboneError(f"{path}: {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; a backbone has one of each")
    taken, given = graph.input(0).get_partial_shape(), graph.output(0).get_partial_shape()
    if taken.rank.is_dynamic or len(taken) != 4 or taken[1].is_dynamic or taken[1].get_length() != 3:
        raise BackboneError(f"{path}: takes {taken}; a backbone takes frames (N, 3, H, W)")
    if taken[2].is_dynamic or taken[3].is_dynamic:
        raise BackboneError(f"{path}: takes pictures of any size ({taken}); export it with one size")
    if (taken[2].get_length(), taken[3].get_length()) != (resize.height, resize.width):
        raise BackboneError(f"{path}: takes {taken}, but {path.with_suffix('.json').name} says size {resize.height}")
    if given.rank.is_dynamic or len(given) != 2 or given[1].is_dynamic:
        raise BackboneError(f"{path}: gives {given}; a backbone gives features (N, D), pooled")
    return given[1].get_length()


def graph_for(network: Any, path: Path, resize: Resize, window: int, count: int) -> Any:
    """The network of a file for `count` features at once. Raises BackboneError where it holds for another number only."""
    graph = network.clone()
    try:
        graph.reshape({0: [count * window, 3, resize.height, resize.width]})
        if graph.output(0).get_shape()[0] == count:
            return graph
    except Exception:  # as above; what it says is of no use to whoever made the graph
        pass
    raise BackboneError(f"{path}: cannot be run with {count} pictures at once; export it with a free first dimension")


def digest_of(path: Path) -> str:
    """SHA-256 of a graph with its weights."""
    digest = hashlib.sha256(path.read_bytes())
    if path.suffix == ".xml" and path.with_suffix(".bin").is_file():
        digest.update(path.with_suffix(".bin").read_bytes())
    return digest.hexdigest()
