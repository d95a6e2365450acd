"""An int8 copy of a backbone (NNCF, post-training, calibrated on the user's own frames): smaller numbers, more frames per second."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gerund.backbones.base import Backbone
from gerund.backbones.engines import BATCH_SIZE, compile_engine, core, openvino_file
from gerund.core.errors import UsageError
from gerund.core.openvino import save_graph
from gerund.core.places import default_cache


def quantize(backbone: Backbone, frames: np.ndarray) -> tuple[Backbone, float]:
    """The backbone with an int8 copy calibrated on frames (N, H, W, 3) uint8, and the mean cosine of its features to those in f32.

    Equal frames give the same copy, which is kept. Raises UsageError when NNCF is not installed.
    """
    check_nncf()
    planes = full_batches(frames)
    name = f"{backbone.file_name}-int8-{hashlib.sha256(planes.data).hexdigest()[:16]}.xml"
    path = default_cache() / "openvino" / name
    if not path.is_file():
        small = quantized_graph(core().read_model(openvino_file(backbone, BATCH_SIZE)), planes)
        save_graph(small, path)
    made = replace(backbone, quantized=path, digest=backbone.weights_digest)
    return made, cosine_to_f32(made, planes[:BATCH_SIZE].transpose(0, 2, 3, 1))


def check_nncf() -> None:
    """Raise UsageError when NNCF is not installed."""
    try:
        import nncf  # noqa: F401
    except ImportError:
        raise UsageError("int8 needs NNCF; pip install 'gerund[int8]'") from None


def full_batches(frames: np.ndarray) -> np.ndarray:
    """Frames (N, H, W, 3) as planes (M, 3, H, W), M a multiple of BATCH_SIZE: a rest is left out, too few are repeated."""
    planes = np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
    planes = planes[: max(1, len(planes) // BATCH_SIZE) * BATCH_SIZE]
    return np.resize(planes, (max(len(planes), BATCH_SIZE), *planes.shape[1:]))


def quantized_graph(model: Any, planes: np.ndarray) -> Any:
    """An OpenVINO model in int8, calibrated on planes (M, 3, H, W) uint8, M a multiple of BATCH_SIZE."""
    for name in ("nncf", "torch.utils.cpp_extension"):  # the other one says, when nncf loads it, that there is no CUDA
        logging.getLogger(name).setLevel(logging.ERROR)
    import nncf

    batches = planes.reshape(-1, BATCH_SIZE, *planes.shape[1:])
    with contextlib.redirect_stdout(io.StringIO()):  # its bars would stand among the results
        return nncf.quantize(model, nncf.Dataset(list(batches)), subset_size=len(batches), preset=nncf.QuantizationPreset.MIXED)


def cosine_to_f32(backbone: Backbone, batch: np.ndarray) -> float:
    """Mean cosine between the int8 and the f32 features of a batch of frames."""
    return float(cosines(backbone, backbone, batch, precision="int8").mean())


def cosines(exact: Backbone, other: Backbone, batch: np.ndarray, *, precision: str = "f32") -> np.ndarray:
    """Cosines (N,) between the features of a batch of frames (N, H, W, 3), N = BATCH_SIZE, by one backbone in f32 and by another."""
    found: list[np.ndarray] = []
    for backbone, chosen in ((exact, "f32"), (other, precision)):
        engine = compile_engine(backbone, device="cpu", precision=chosen)
        engine.submit(batch, found.append)
        engine.drain()
    first, second = found
    return np.asarray((first * second).sum(1) / (np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)))


def quantized_digest(path: Path) -> str:
    """16 hexadecimal digits of an int8 copy's content."""
    return hashlib.sha256(path.read_bytes() + path.with_suffix(".bin").read_bytes()).hexdigest()[:16]
