"""What a clip's tokens do over time, in numbers of fixed width, and how these are scaled before a readout is solved for."""

from __future__ import annotations

import numpy as np

STATISTICS = 4
"""Mean, standard deviation, maximum and trend, each as wide as a token."""
WHOLE_CLIP, TIMELINE = (1.0, 0.7, 1.0, 0.7), (1.0, 0.5, 1.0, 0.3)
"""How much each statistic counts where scales are shared: for answers about clips, and about windows of a timeline, which seldom begin where
an action does."""
SHARED_AT = 20.0
"""Clips at which a dimension's own deviation counts as much as that of its block."""


def token_statistics(x: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Mean, standard deviation, maximum and trend over the valid steps of signed square roots: (B, T, D) -> (B, 4 D).

    The trend is the mean product with time, which runs from -1 to 1 over the valid steps.
    """
    used = int(np.flatnonzero(valid.any(axis=0)).max(initial=0)) + 1
    x, valid = x[:, :used], valid[:, :used]  # steps that no clip has cost as much as the others
    here = valid[..., None]
    x = np.where(here, x, np.float32(0))  # padding may hold anything, even NaN
    x = np.sign(x) * np.sqrt(np.abs(x))
    count = valid.sum(1, dtype=np.float32)[:, None]
    mean = x.sum(1) / count
    variance = np.where(here, np.square(x - mean[:, None]), np.float32(0)).sum(1) / count
    time = np.where(valid, (2 * valid.cumsum(1, dtype=np.float32) - 1) / count - 1, np.float32(0))
    highest = np.where(here, x, np.finfo(np.float32).min).max(1)
    trend = (x * time[..., None]).sum(1) / count
    return np.concatenate([mean, np.sqrt(np.maximum(variance, np.float32(1e-12))), highest, trend], axis=1)


def row_moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (D,) of rows (N, D); a dimension that hardly moves is not blown up."""
    mean = rows.mean(0, dtype=np.float64)
    squares = np.square(rows, dtype=np.float64).mean(0)
    std = np.sqrt(np.maximum(squares - np.square(mean), 0)).astype(np.float32)
    return mean.astype(np.float32), with_floor(std)


def mixed_moments(rows: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale (4 D,) of statistics (N, 4 D): few clips share a scale within a block, of many each dimension has its own.

    A block is one statistic of one of the `parts` that a token joins. The variance of a dimension is shrunk towards the mean one of its
    block by SHARED_AT / (SHARED_AT + N), as James & Stein 1961 shrink means: of two clips no deviation can be told.
    """
    share = SHARED_AT / (SHARED_AT + len(rows))
    mean, own, block = block_variances(rows, parts)
    scale = np.sqrt(share * block + (1 - share) * own) / weights_of_blocks(WHOLE_CLIP, parts, rows.shape[1]) ** share
    return mean, with_floor(scale.astype(np.float32))


def block_moments(rows: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale (4 D,) of statistics (N, 4 D), one scale for each block, as timelines use them."""
    mean, _, block = block_variances(rows, parts)
    return mean, with_floor((np.sqrt(block) / weights_of_blocks(TIMELINE, parts, rows.shape[1])).astype(np.float32))


def block_variances(rows: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (W,) float32, variance of each dimension (W,), and of each the mean variance of its block (W,)."""
    mean = rows.mean(0, dtype=np.float64)
    own = np.maximum(np.square(rows, dtype=np.float64).mean(0) - np.square(mean), 0)
    blocks = own.reshape(STATISTICS * parts, -1)
    return mean.astype(np.float32), own, np.repeat(blocks.mean(1), blocks.shape[1])


def weights_of_blocks(weights: tuple[float, ...], parts: int, width: int) -> np.ndarray:
    """The weight of each dimension (W,)."""
    return np.repeat(weights, width // STATISTICS).astype(np.float64)


def with_floor(scale: np.ndarray) -> np.ndarray:
    """Scales (W,) of which none is far below the others."""
    return np.maximum(scale, scale.mean() * np.float32(0.05) + np.float32(1e-6))
