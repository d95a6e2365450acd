"""From a network of torch to a graph, and the digest that both go by."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def converted(module: nn.Module, shape: tuple[int, ...]) -> Any:
    """A module as an OpenVINO model for frames (N, 3, H, W) of one shape."""
    import openvino as ov

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter uses torch's tracer, which torch has deprecated
        return ov.convert_model(module, example_input=torch.zeros(shape), input=[ov.PartialShape(list(shape))])


def weights_digest(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over tensors, with names, shapes and types, in the order of their names."""
    digest = hashlib.sha256()
    for key, tensor in sorted(state.items()):
        digest.update(f"{key}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
