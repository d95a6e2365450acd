"""Tokens of many clips in one array, as heads learn from them."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gerund.core.errors import TrainingError
from gerund.core.types import Clip, Features
from gerund.data.manifest import group_of
from gerund.features.extractor import Extraction
from gerund.features.tokens import Sampling, clip_rows, row_tokens, tokens
from gerund.heads.ridge import MOST_SOLVED_ROWS, WINDOWS_HELP_BELOW
from gerund.heads.statistics import token_statistics
from gerund.recognition.recognizer import Recognizer

TOKEN_MEMORY = 2**31
"""Bytes that all versions of the training clips' tokens may take together."""
INNER_WINDOWS = {2: 3, 4: 7}
"""Windows inside a clip: how many of a half, and of a quarter of its length."""
HALVES = {2: 3}
"""Those of many clips."""
TOKEN_BYTES = np.dtype(np.float16).itemsize


@dataclass(frozen=True)
class TokenSet:
    """Tokens of N clips in one array: `data` (V, N, T, D) float16 in V versions, the plain one first, then mirrored and jittered ones.

    `valid` (V, N, T) bool, `targets` (N,) int64, `groups` (N,) int64 with an equal number for clips of one group. `parts` says how many
    features of equal width a token joins; `windows` (N, M, 4 D) float32 has the statistics of M windows inside each clip, where a head in
    closed form has use for them.
    """

    data: np.ndarray
    valid: np.ndarray
    targets: np.ndarray
    groups: np.ndarray
    parts: int = 1
    windows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def of(self, chosen: np.ndarray | Sequence[int], versions: int | None = None) -> TokenSet:
        """Some of the clips, by index or mask; `versions` 1 leaves only the plain tokens."""
        rows = np.asarray(chosen)
        windows = None if self.windows is None else self.windows[rows]
        return TokenSet(
            self.data[:versions, rows], self.valid[:versions, rows], self.targets[rows], self.groups[rows], self.parts, windows
        )


def token_set(
    recognizer: Recognizer,
    views: Sequence[Extraction],
    clips: Sequence[Clip],
    *,
    draws: int = 0,
    rng: np.random.Generator | None = None,
    inside: bool | None = None,
) -> TokenSet:
    """Tokens of clips, plain under each view that has their video, then jittered `draws` times; fewer times when they would not fit in memory.

    Plain ones that do not fit lie in a file, memory-mapped. `inside` says whether windows inside the clips are looked at too, None that the
    recogniser's head decides. Raises TrainingError for features that are not finite, with the clip.
    """
    index = {label: number for number, label in enumerate(recognizer.labels)}
    steps, width = recognizer.sampling.num_frames, recognizer.sampling.token_dim(recognizer.backbone.feature_dim)
    fitting = TOKEN_MEMORY // (len(clips) * steps * width * TOKEN_BYTES)
    versions = max(1, min(len(views) + draws, fitting))
    inside = recognizer.head.in_closed_form if inside is None else inside
    data = room((versions, len(clips), steps, width), recognizer.extractor.cache.folder)
    valid = np.empty(data.shape[:3], bool)
    for number, clip in enumerate(clips):
        seen = [view.features[clip.path] for view in views if clip.path in view.features]
        for version in range(versions):
            features = seen[version % len(seen)]
            made = tokens(features, clip, recognizer.sampling, jitter=None if version < len(views) else rng)
            data[version, number], valid[version, number] = made
        if not np.isfinite(data[0, number]).all():
            raise TrainingError(f"{clip.shown}: its features are not finite; extract them again with --precision f32")
    numbers = {group: number for number, group in enumerate(dict.fromkeys(map(group_of, clips)))}
    return TokenSet(
        data,
        valid,
        np.array([index[clip.label or ""] for clip in clips], np.int64),
        np.array([numbers[group_of(clip)] for clip in clips], np.int64),
        parts=1 + recognizer.sampling.motion,
        windows=inner_windows(recognizer, views[0], clips) if inside else None,
    )


def inner_windows(recognizer: Recognizer, extraction: Extraction, clips: Sequence[Clip]) -> np.ndarray | None:
    """Statistics (N, M, 4 D) of windows inside clips, those of half their length first; None of so many clips that they do not help."""
    few = len(clips) < WINDOWS_HELP_BELOW * len(recognizer.labels) and 3 * len(clips) <= MOST_SOLVED_ROWS
    if not (few and recognizer.sampling.motion):
        return None
    counts = INNER_WINDOWS if len(clips) * (1 + sum(INNER_WINDOWS.values())) <= MOST_SOLVED_ROWS else HALVES
    return np.stack([window_statistics(extraction.features[clip.path], clip, recognizer.sampling, counts) for clip in clips])


def window_statistics(features: Features, clip: Clip, sampling: Sampling, counts: Mapping[int, int]) -> np.ndarray:
    """Statistics (M, 4 D) of windows spread evenly over a clip: `counts` of a half, a quarter of its length; a row at least."""
    rows = np.asarray(features.data[clip_rows(features, clip)], dtype=np.float32)
    made = []
    for part, count in counts.items():
        length = max(1, round(len(rows) / part))
        starts = np.linspace(0, len(rows) - length, count).round().astype(int)
        made += [row_tokens(rows[start : start + length], sampling) for start in starts]
    return token_statistics(*map(np.stack, zip(*made, strict=True)))


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
