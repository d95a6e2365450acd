"""Where a backbone runs: OpenVINO on a CPU, torch on CUDA, MPS and everywhere else. uint8 frames in, float32 features out."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gerund.backbones.base import Backbone
from gerund.core.errors import UsageError, needs
from gerund.core.openvino import core, save_graph
from gerund.core.places import default_cache

BATCH_SIZE = 16
GPU_BATCH_SIZE = 128
PRECISIONS = ("auto", "bf16", "f32", "int8")


class Engine(Protocol):
    """A compiled backbone. Batches have one fixed shape, so a feature never depends on what else is computed beside it.

    `batch_size` counts features: a video backbone needs `window` frames for each.
    """

    batch_size: int

    def submit(self, batch: np.ndarray, done: Callable[[np.ndarray], None]) -> None:
        """Start one batch (batch_size * window, H, W, 3) uint8, best a view of planes; `done` gets the features (batch_size, D) float32.

        `done` may be called from another thread, and not in the order of submission.
        """

    def drain(self) -> None:
        """Wait until every submitted batch is done."""


def best_device() -> str:
    """`cuda`, `mps` or `cpu`: the fastest there is. Torch, which takes seconds to load, is asked only where there may be another."""
    if find_spec("torch") is None or not (sys.platform == "darwin" or shutil.which("nvidia-smi") or Path("/dev/kfd").exists()):
        return "cpu"
    from gerund.backbones.torch_engine import best_torch_device

    return best_torch_device()


def checked_device(device: str) -> str:
    """The device that is meant: `auto` is the fastest there is. Raises UsageError for one that is unknown, or not there."""
    if device in ("auto", "cpu"):
        return best_device() if device == "auto" else device
    with needs("torch", "torch", f"--device {device} runs in another engine"):
        from gerund.backbones.torch_engine import device_problem
    if problem := device_problem(device):
        raise UsageError(f"--device {device}: {problem}; leave the option out, or give --device cpu")
    return device


def resolve_precision(precision: str, device: str) -> str:
    """`auto` is bf16 where the hardware computes in it, else f32."""
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}")
    if precision == "int8" and device != "cpu":
        raise UsageError(f"--precision int8 runs on a CPU; with --device {device} choose bf16 or f32")
    if precision != "auto":
        return precision
    if device == "cpu":
        return "bf16" if "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    with needs("torch", "torch", f"--device {device} runs in another engine"):
        from gerund.backbones.torch_engine import has_bf16
    return "bf16" if has_bf16(device) else "f32"


def compile_engine(backbone: Backbone, *, device: str, precision: str, batch_size: int | None = None) -> Engine:
    """Compile a backbone for a device (`cpu`, `cuda`, `cuda:1`, `mps`) in a resolved precision (`bf16`, `f32`, `int8` if quantized)."""
    if device == "cpu":
        return OpenVinoEngine(backbone, precision=precision, batch_size=batch_size or max(1, BATCH_SIZE // backbone.window))
    with needs("torch", "torch", f"--device {device} runs in another engine"):
        from gerund.backbones.torch_engine import TorchEngine
    return TorchEngine(
        backbone, device=device, precision=precision, batch_size=batch_size or max(1, GPU_BATCH_SIZE // backbone.window)
    )


class OpenVinoEngine:
    """The network as a graph with uint8 input and the normalisation folded in."""

    def __init__(self, backbone: Backbone, *, precision: str, batch_size: int) -> None:
        import openvino as ov

        self.batch_size = batch_size
        if precision == "int8":
            assert backbone.quantized is not None
            source, rest = backbone.quantized, resolve_precision("auto", "cpu")
        else:
            source, rest = openvino_file(backbone, batch_size), precision
        hints = {"INFERENCE_PRECISION_HINT": rest, "PERFORMANCE_HINT": "THROUGHPUT"}
        compiled = core().compile_model(source, "CPU", hints)
        self.queue = ov.AsyncInferQueue(compiled)
        self.queue.set_callback(lambda request, done: done(request.get_output_tensor(0).data.copy()))

    def submit(self, batch: np.ndarray, done: Callable[[np.ndarray], None]) -> None:
        self.queue.start_async({0: np.ascontiguousarray(batch.transpose(0, 3, 1, 2))}, done)

    def drain(self) -> None:
        self.queue.wait_all()


def openvino_file(backbone: Backbone, batch_size: int) -> Path:
    """The network in OpenVINO's own format, made once per machine: converting may need torch, loading does not."""
    import openvino as ov

    path = default_cache() / "openvino" / f"{backbone.file_name}-{batch_size}-{ov.get_version()[:12]}.xml"
    if not path.is_file():
        save_graph(openvino_graph(backbone, batch_size), path)
    return path


def openvino_graph(backbone: Backbone, batch_size: int) -> Any:
    """The network as an OpenVINO model: uint8 (batch * window, 3, H, W) in, float32 (batch, D) out."""
    import openvino as ov
    from openvino.preprocess import PrePostProcessor

    graph = backbone.graph(batch_size)
    steps = PrePostProcessor(graph)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NCHW"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    scale = steps.input().preprocess().convert_element_type(ov.Type.f32)
    scale.mean([255 * value for value in backbone.mean]).scale([255 * value for value in backbone.std])
    return steps.build()
