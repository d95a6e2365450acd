"""A block of the feature cache, as a file: read, checked, and told whose it is."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from gerund.core.errors import CacheError
from gerund.core.types import FeatureSpec

DIGEST_LENGTH = 32
BLOCK = re.compile(r"(\w+)-(\d{5,})\.safetensors")


@dataclass(frozen=True)
class StackedRows:
    """The rows (N, D) float16 of a video's blocks, read from disk when sliced."""

    blocks: tuple[Path, ...]
    edges: tuple[int, ...]
    feature_dim: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.edges[-1], self.feature_dim

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        start, stop, step = rows.indices(self.edges[-1])
        parts = [np.empty((0, self.feature_dim), np.float16)]
        for path, low, high in zip(self.blocks, self.edges[:-1], self.edges[1:], strict=True):
            if max(start, low) < min(stop, high):
                with safe_open(path, framework="np") as block:
                    parts.append(block.get_slice("data")[max(start - low, 0) : min(stop, high) - low])
        return np.concatenate(parts)[::step]


def blocks_in(folder: Path) -> list[Path]:
    """The blocks of a spec's folder, in order; what is being written has another name."""
    return sorted(path for path in folder.glob("*.safetensors") if BLOCK.fullmatch(path.name))


def block_label(block: Any) -> dict[str, Any]:
    """Checksum, last and spec of an open block."""
    label = json.loads((block.metadata() or {}).get("gerund", "{}"))
    return label if isinstance(label, dict) and isinstance(label.get("spec", {}), dict) else {}


def block_spec(path: Path) -> dict[str, Any]:
    """The spec that a block was made under; empty when the file is damaged."""
    try:
        with safe_open(path, framework="np") as block:
            return block_label(block).get("spec", {})
    except (SafetensorError, OSError, ValueError, RecursionError):
        return {}


def read_block(path: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    """Data (n, D), pts (n,) and whether the block is the last.

    Raises FileNotFoundError, or CacheError when it is damaged, or is another's block under this name.
    """
    if path.is_dir():
        raise CacheError(f"{path}: a folder in the place of a cache block")
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        with safe_open(path, framework="np") as block:
            label = block_label(block)
            tensors: dict[str, np.ndarray] = {"data": block.get_tensor("data"), "pts": block.get_tensor("pts")}
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise CacheError(f"{path}: damaged cache block ({error})") from None
    last = label.get("last") is True
    if label.get("checksum") != checksum(tensors, last):
        raise CacheError(f"{path}: damaged cache block (its checksum does not fit)")
    if not belongs(label, path):
        raise CacheError(f"{path}: the cache block of another video, place or setting")
    return tensors["data"], tensors["pts"], last


def belongs(label: dict[str, Any], path: Path) -> bool:
    """Whether a block's label fits the name of its file and folder; blocks of before say nothing of their video."""
    name = BLOCK.fullmatch(path.name)
    owner = (label.get("video"), label.get("index"))
    if owner != (None, None) and (name is None or owner != (name[1], int(name[2]))):
        return False
    try:
        return FeatureSpec(**label.get("spec", {})).digest == path.parent.name
    except TypeError:
        return False


def checksum(tensors: dict[str, np.ndarray], last: bool) -> str:
    """Over the values and what the header says of them, since a damaged header can turn float16 into int16."""
    digest = hashlib.sha256(str(last).encode())
    for key, tensor in sorted(tensors.items()):
        digest.update(f"{key}{tensor.shape}{tensor.dtype}".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()[:DIGEST_LENGTH]
