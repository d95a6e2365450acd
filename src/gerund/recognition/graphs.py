"""A model as two plain graphs, backbone and head, one writer for each format, and a reader that shows what they answer."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gerund.backbones import Backbone
from gerund.backbones.engines import BATCH_SIZE
from gerund.backbones.quantize import quantized_graph
from gerund.core.errors import GerundError, ModelError, UsageError, first_line
from gerund.core.openvino import core, save_graph
from gerund.heads import Head, loaded_head
from gerund.heads.graph import GraphHead
from gerund.heads.learned.base import module_behind
from gerund.heads.learned.ridge import RidgeModule
from gerund.heads.ridge import PrototypeHead
from gerund.recognition.folder import EXPORTED_FILES, sha256
from gerund.recognition.recognizer import Recognizer

EXPORT_FORMAT, EXPORT_FORMAT_VERSION = "gerund-export", 2
Network = Callable[..., np.ndarray]
"""A graph that runs: arrays in, one array out. The backbone takes frames (N, 3, H, W) uint8, the head tokens (B, T, D) and valid (B, T)."""


class FromBytes(nn.Module):
    """A backbone that takes frames (N, 3, H, W) uint8 as decoded and normalises them itself."""

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.module = backbone.module
        self.register_buffer("mean", 255 * torch.tensor(backbone.mean).view(1, -1, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(backbone.std).view(1, -1, 1, 1))

    def forward(self, frames: Tensor) -> Tensor:
        return self.module((frames.float() - self.mean) / self.std).float()


class AtFullLength(nn.Module):
    """A head that sees tokens (B, T, D) of any T up to `num_frames` padded to that length, which changes no answer of a head.

    So what is inside has one length: whether an exporter can follow a loop over time of free length (an LSTM's, say) differs from
    one version of torch to the next.
    """

    def __init__(self, head: nn.Module, num_frames: int) -> None:
        super().__init__()
        self.head, self.num_frames = head, num_frames

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        steps = torch.arange(self.num_frames, device=x.device)
        filled = steps.clamp(
            max=x.shape[1] - 1
        )  # the last step again and again, not valid; how much is missing is never computed
        return self.head(x[:, filled], valid[:, filled] & (steps < x.shape[1]))


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A module to export: an example of its inputs, their names with the sizes that are free, and for int8 frames to calibrate on."""

    name: str
    module: nn.Module
    example: tuple[Tensor, ...]
    inputs: dict[str, dict[int, Any]]
    output: str
    calibration: np.ndarray | None = None


def graphs(recognizer: Recognizer, calibration: np.ndarray | None) -> list[Graph]:
    resize, sampling = recognizer.backbone.resize, recognizer.sampling
    batch, time = torch.export.Dim("batch"), torch.export.Dim("time", min=1, max=sampling.num_frames)
    steps = max(1, sampling.num_frames // 2)
    free = {0: batch, 1: time} if sampling.num_frames > 1 else {0: batch}
    valid = torch.ones(3, steps, dtype=torch.bool)
    return [
        Graph(
            name="backbone",
            module=FromBytes(recognizer.backbone).eval(),
            example=(torch.zeros(2, 3, resize.height, resize.width, dtype=torch.uint8),),
            inputs={"frames": {0: batch}},
            output="features",
            calibration=calibration,
        ),
        Graph(
            name="head",
            module=AtFullLength(module_of(recognizer), sampling.num_frames).eval(),
            example=(torch.zeros(3, steps, sampling.token_dim(recognizer.backbone.feature_dim)), valid),
            inputs={"x": free, "valid": free},
            output="logits",
        ),
    ]


def module_of(recognizer: Recognizer) -> nn.Module:
    """A head as a module of torch. Raises UsageError for somebody's own whose class is not here."""
    head = recognizer.head
    if isinstance(head, PrototypeHead):
        return RidgeModule(head)
    return module_behind(learned_again(recognizer, head) if isinstance(head, GraphHead) else head)


def learned_again(recognizer: Recognizer, head: GraphHead) -> Head:
    """What a graph was made of: its class with its weights."""
    return loaded_head(
        recognizer.head_name,
        head.state(),
        token_dim=recognizer.sampling.token_dim(recognizer.backbone.feature_dim),
        num_classes=len(recognizer.labels),
        num_frames=recognizer.sampling.num_frames,
        options=recognizer.head_options,
    )


def write_graphs(recognizer: Recognizer, folder: Path, format_: str, calibration: np.ndarray | None) -> None:
    """Both graphs and config.json; with frames to calibrate on, the backbone in int8."""
    for graph in graphs(recognizer, calibration):
        write_graph(graph, folder, format_, f"{recognizer.backbone.name} with head {recognizer.head_name}: the {graph.name}")
    config = {
        "format": EXPORT_FORMAT,
        "format_version": EXPORT_FORMAT_VERSION,
        "network": format_,
        "precision": "f32" if calibration is None else "int8",
        "labels": recognizer.labels,
        "features": {"fps": recognizer.extractor.spec.fps, "resize": asdict(recognizer.backbone.resize)},
        "sampling": asdict(recognizer.sampling),
        "temperature": recognizer.temperature,
        "files": {name: sha256(folder / name) for name in EXPORTED_FILES[format_]},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_backbone_alone(backbone: Backbone, path: Path) -> None:
    """A backbone alone as a file .onnx or .xml, which takes normalised frames, and beside it what `graph` backbones need to know."""
    resize = backbone.resize
    if path.suffix == ".xml":
        save_graph(backbone.graph(BATCH_SIZE), path)
    else:
        frames = torch.zeros(2, 3, resize.height, resize.width)
        free = {"frames": {0: torch.export.Dim("batch")}}
        graph = Graph(name=path.stem, module=backbone.module, example=(frames,), inputs=free, output="features")
        write_graph(graph, path.parent, "onnx", f"backbone {backbone.name}")
    values = {"size": resize.height, "mean": backbone.mean, "std": backbone.std, "interpolation": resize.interpolation}
    path.with_suffix(".json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def write_graph(graph: Graph, folder: Path, format_: str, name: str) -> None:
    """Write a graph. Raises ModelError for one that the format does not take, UsageError without the package that writes it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what is its own affair
            WRITERS[format_](graph, folder)
    except ImportError as error:
        raise UsageError(f"--format {format_} needs the package {error.name}; pip install 'gerund[onnx]'") from None
    except GerundError:
        raise
    except Exception as error:  # the exporters document no exception types
        raise ModelError(f"{name} cannot be exported as {format_} ({type(error).__name__}: {first_line(error)})") from error


def write_torch(graph: Graph, folder: Path) -> None:
    """An archive without a pickle in it: the example, which torch would pickle, is left out."""
    program = torch.export.export(graph.module, graph.example, dynamic_shapes=tuple(graph.inputs.values()))
    program.example_inputs = None
    torch.export.save(program, folder / f"{graph.name}.pt2")


def write_onnx(graph: Graph, folder: Path) -> None:
    import onnxscript  # noqa: F401  (torch needs it, and would say so in its own words)

    program = torch.onnx.export(
        graph.module,
        graph.example,
        dynamo=True,
        dynamic_shapes=tuple(graph.inputs.values()),
        input_names=list(graph.inputs),
        output_names=[graph.output],
        verbose=False,
    )
    assert program is not None
    program.save(folder / f"{graph.name}.onnx", external_data=False)


def write_openvino(graph: Graph, folder: Path) -> None:
    """By way of ONNX, so that both formats hold the same graph."""
    import openvino as ov

    with tempfile.TemporaryDirectory(dir=folder) as between:
        write_onnx(graph, Path(between))
        model = ov.convert_model(Path(between) / f"{graph.name}.onnx")
        if graph.calibration is not None:
            model = quantized_graph(model, graph.calibration)
        ov.save_model(model, folder / f"{graph.name}.xml", compress_to_fp16=False)


WRITERS: dict[str, Callable[[Graph, Path], None]] = {"onnx": write_onnx, "openvino": write_openvino, "torch": write_torch}


def reopened(folder: Path, format_: str) -> tuple[Network, Network]:
    """Backbone and head as they were just written."""
    backbone, head = EXPORTED_FILES[format_][:2]
    return OPENERS[format_](folder / backbone), OPENERS[format_](folder / head)


def open_onnx(path: Path) -> Network:
    try:
        import onnxruntime
    except ImportError:
        raise UsageError("--format onnx needs the package onnxruntime; pip install 'gerund[onnx]'") from None
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))[0]


def open_openvino(path: Path) -> Network:
    compiled = core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda *arrays: compiled(list(arrays))[0]


def open_torch(path: Path) -> Network:
    """Only for a file of our own making: torch's loader trusts what it reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(path).module()

    def run(*arrays: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return module(*(torch.from_numpy(array) for array in arrays)).numpy()

    return run


OPENERS: dict[str, Callable[[Path], Network]] = {"onnx": open_onnx, "openvino": open_openvino, "torch": open_torch}
