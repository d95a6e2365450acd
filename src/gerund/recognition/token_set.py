"""Tokens of many clips in one array, as heads learn from them."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gerund.core.errors import TrainingError
from gerund.core.types import Clip
from gerund.data.manifest import group_of
from gerund.features.extractor import Extraction
from gerund.features.tokens import tokens
from gerund.recognition.recognizer import Recognizer

TOKEN_MEMORY = 2**31
"""Bytes that all versions of the training clips' tokens may take together."""
TOKEN_BYTES = np.dtype(np.float16).itemsize


@dataclass(frozen=True)
class TokenSet:
    """Tokens of N clips in one array: `data` (V, N, T, D) float16 in V versions, the plain one first, then mirrored and jittered ones.

    `valid` (V, N, T) bool, `targets` (N,) int64, `groups` (N,) int64 with an equal number for clips of one group.
    """

    data: np.ndarray
    valid: np.ndarray
    targets: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    def of(self, chosen: np.ndarray | Sequence[int], versions: int | None = None) -> TokenSet:
        """Some of the clips, by index or mask; `versions` 1 leaves only the plain tokens."""
        rows = np.asarray(chosen)
        return TokenSet(self.data[:versions, rows], self.valid[:versions, rows], self.targets[rows], self.groups[rows])


def token_set(
    recognizer: Recognizer,
    views: Sequence[Extraction],
    clips: Sequence[Clip],
    *,
    draws: int = 0,
    rng: np.random.Generator | None = None,
) -> TokenSet:
    """Tokens of clips, plain under each view, then jittered `draws` times; fewer times when they would not fit in memory.

    Plain ones that do not fit lie in a file, memory-mapped.
    """
    index = {label: number for number, label in enumerate(recognizer.labels)}
    steps, width = recognizer.sampling.num_frames, recognizer.sampling.token_dim(recognizer.backbone.feature_dim)
    fitting = TOKEN_MEMORY // (len(clips) * steps * width * TOKEN_BYTES)
    versions = max(1, min(len(views) + draws, fitting))
    data = room((versions, len(clips), steps, width), recognizer.extractor.cache.folder)
    valid = np.empty(data.shape[:3], bool)
    for number, clip in enumerate(clips):
        for version in range(versions):
            features = views[version % len(views)].features[clip.path]
            made = tokens(features, clip, recognizer.sampling, jitter=None if version < len(views) else rng)
            data[version, number], valid[version, number] = made
        if not np.isfinite(data[0, number]).all():
            raise TrainingError("the features of some clips are not finite; extract them again with --precision f32")
    numbers = {group: number for number, group in enumerate(dict.fromkeys(map(group_of, clips)))}
    return TokenSet(
        data,
        valid,
        np.array([index[clip.label or ""] for clip in clips], np.int64),
        np.array([numbers[group_of(clip)] for clip in clips], np.int64),
    )


def room(shape: tuple[int, ...], folder: Path) -> np.ndarray:
    """An array of float16, not initialised; one of more than TOKEN_MEMORY is a mapped file in `folder` that ends with this process."""
    if math.prod(shape) * TOKEN_BYTES <= TOKEN_MEMORY:
        return np.empty(shape, np.float16)
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".tokens-", dir=folder)
    os.close(handle)
    data = np.memmap(name, np.float16, "w+", shape=shape)
    with contextlib.suppress(OSError):  # Windows keeps the name of an open file
        Path(name).unlink()
    return data
