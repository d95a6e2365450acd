"""Where a backbone runs: OpenVINO on a CPU, torch on CUDA, MPS and everywhere else. uint8 frames in, float32 features out."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from gerund.backbones.base import Backbone
from gerund.core.errors import UsageError
from gerund.core.files import scratch
from gerund.core.openvino import core
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
    """`cuda`, `mps` or `cpu`: the fastest there is."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


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
    return "bf16" if device != "cuda" or torch.cuda.is_bf16_supported() else "f32"


def compile_engine(backbone: Backbone, *, device: str, precision: str, batch_size: int | None = None) -> Engine:
    """Compile a backbone for a device (`cpu`, `cuda`, `cuda:1`, `mps`) in a resolved precision (`bf16`, `f32`, `int8` if quantized)."""
    if device == "cpu":
        return OpenVinoEngine(backbone, precision=precision, batch_size=batch_size or max(1, BATCH_SIZE // backbone.window))
    return TorchEngine(
        backbone, device=device, precision=precision, batch_size=batch_size or max(1, GPU_BATCH_SIZE // backbone.window)
    )


class OpenVinoEngine:
    """The torch module converted once, with uint8 input and the normalisation folded into the graph."""

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
    """The network in OpenVINO's own format, made once per machine: converting needs torch and timm, loading does not."""
    import openvino as ov

    path = default_cache() / "openvino" / f"{backbone.file_name}-{batch_size}-{ov.get_version()[:12]}.xml"
    if not path.is_file():
        with scratch(path) as folder:
            partial = folder / path.name
            ov.save_model(openvino_graph(backbone, batch_size), partial, compress_to_fp16=False)
            partial.with_suffix(".bin").replace(path.with_suffix(".bin"))
            partial.replace(path)
    return path


def openvino_graph(backbone: Backbone, batch_size: int) -> Any:
    """The network as an OpenVINO model: uint8 (batch * window, 3, H, W) in, float32 (batch, D) out."""
    import openvino as ov
    from openvino.preprocess import PrePostProcessor

    shape = (batch_size * backbone.window, 3, backbone.resize.height, backbone.resize.width)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter uses torch's tracer, which torch has deprecated
        graph = ov.convert_model(backbone.module, example_input=torch.zeros(shape), input=[ov.PartialShape(list(shape))])
    steps = PrePostProcessor(graph)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NCHW"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    scale = steps.input().preprocess().convert_element_type(ov.Type.f32)
    scale.mean([255 * value for value in backbone.mean]).scale([255 * value for value in backbone.std])
    return steps.build()


class TorchEngine:
    """Torch in channels_last for image networks, autocast where asked for. On CUDA the copies of one batch overlap with the arithmetic of another."""

    IN_FLIGHT = 3
    """Batches that are queued on the device before the first answer is waited for."""

    def __init__(self, backbone: Backbone, *, device: str, precision: str, batch_size: int) -> None:
        self.batch_size = batch_size
        self.device = torch.device(device)
        self.cuda = self.device.type == "cuda"
        # a video network's weights have five dimensions, and channels_last knows four
        self.layout = torch.channels_last if backbone.window == 1 else torch.contiguous_format
        self.module = backbone.build().eval().requires_grad_(False).to(self.device).to(memory_format=self.layout)
        self.bf16 = precision == "bf16"
        self.mean = 255 * torch.tensor(backbone.mean, device=self.device).view(1, 3, 1, 1)
        self.std = 255 * torch.tensor(backbone.std, device=self.device).view(1, 3, 1, 1)
        self.waiting: deque[tuple[torch.Tensor, Any, Callable[[np.ndarray], None]]] = deque()

    @torch.inference_mode()
    def submit(self, batch: np.ndarray, done: Callable[[np.ndarray], None]) -> None:
        planes = torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))
        planes = planes.pin_memory().to(self.device, non_blocking=True) if self.cuda else planes.to(self.device, copy=True)
        frames = ((planes.float() - self.mean) / self.std).to(memory_format=self.layout)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            features = self.module(frames)
        answer = features.float().to("cpu", non_blocking=self.cuda)
        event = torch.cuda.Event() if self.cuda else None
        if event is not None:
            event.record()
        self.waiting.append((answer, event, done))
        while len(self.waiting) >= self.IN_FLIGHT:
            self.finish_one()

    def finish_one(self) -> None:
        answer, event, done = self.waiting.popleft()
        if event is not None:
            event.synchronize()
        done(answer.numpy())

    def drain(self) -> None:
        while self.waiting:
            self.finish_one()
