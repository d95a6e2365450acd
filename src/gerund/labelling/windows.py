"""Windows that slide over a video's feature rows, in statistics a readout takes; made once for each length, kept as bytes.

Lengths snap to a grid that grows by about the square root of 2, so that a new label seldom asks for another one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gerund.core.types import Features
from gerund.features.tokens import successive_differences
from gerund.heads.statistics import token_statistics
from gerund.timelines.timeline import EDGE_WEIGHT

WINDOW_LENGTHS = (4, 6, 8, 11, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Rows of a window: powers of 2 and, as whole numbers allow, of its square root."""
MOST_PARTS = 16
HOPS_PER_LENGTH = 4
AT_ONCE = 32
"""Windows whose tokens are in memory together: few enough to stay near the processor."""
WINDOWS_PER_BLOCK, DECODED_AT_ONCE = 256, 64
"""Windows that share a centre and a step, and of those that are scored together."""


def snapped(rows: float) -> int:
    """The length of the grid nearest to a number of rows, by ratio."""
    return min(WINDOW_LENGTHS, key=lambda length: abs(np.log(length / max(rows, 1e-9))))


def part_of(length: int) -> int:
    """Rows that are one token of a window: the least that make MOST_PARTS of it or fewer."""
    return next(part for part in range(1, length + 1) if length % part == 0 and length // part <= MOST_PARTS)


def window_starts(count: int, length: int) -> np.ndarray:
    """First rows (W,) of the windows over `count` rows, the last one ending with them; one alone where there are fewer."""
    part = part_of(length)
    hop = max(round(length / HOPS_PER_LENGTH / part), 1) * part
    last = max(count - length, 0)
    starts = np.arange(0, last + 1, hop)
    return starts if starts[-1] == last else np.append(starts, last)


def span_statistics(rows: np.ndarray, parts: int) -> np.ndarray:
    """Statistics (8 D,) of the rows (N, D) of one span, N > 0, in at most `parts` tokens."""
    edges = np.arange(min(parts, len(rows)) + 1) * len(rows) // min(parts, len(rows))
    both = np.concatenate([rows, successive_differences(rows)], axis=1)
    tokens = np.add.reduceat(both, edges[:-1], axis=0) / np.diff(edges)[:, None].astype(np.float32)
    return token_statistics(tokens[None], np.ones((1, len(tokens)), bool))[0]


def parts_in(length: int) -> int:
    """Tokens of a window."""
    return length // part_of(length)


@dataclass(frozen=True, eq=False)
class WindowStatistics:
    """Statistics of the windows of one video, (W, S) as bytes; `starts` (W,) are their first rows.

    Value = centre + step * code, with a centre and a step of each column for every WINDOWS_PER_BLOCK windows. A byte for each is enough: the error,
    at most half a 254th of the range, is lost among some 10,000 summands.
    """

    length: int
    starts: np.ndarray
    codes: np.ndarray
    centres: np.ndarray
    steps: np.ndarray

    def scores(self, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Linear scores (W, K) for weights (K, S), bias (K,)."""
        weight = weight.astype(np.float32)
        found = np.empty((len(self.codes), len(weight)), np.float32)
        values = np.empty((DECODED_AT_ONCE, weight.shape[1]), np.float32)
        for first in range(0, len(found), DECODED_AT_ONCE):
            block, codes = first // WINDOWS_PER_BLOCK, self.codes[first : first + DECODED_AT_ONCE]
            if first % WINDOWS_PER_BLOCK == 0:
                scaled, shift = (weight * self.steps[block]).T, weight @ self.centres[block] + bias
            values[: len(codes)] = codes
            found[first : first + len(codes)] = values[: len(codes)] @ scaled + shift
        return found

    def values(self, places: np.ndarray) -> np.ndarray:
        """Statistics (n, S) of some windows (n,)."""
        return self.centres[places // WINDOWS_PER_BLOCK] + self.steps[places // WINDOWS_PER_BLOCK] * self.codes[places]

    @property
    def bytes(self) -> int:
        return self.codes.nbytes + self.centres.nbytes + self.steps.nbytes


def windows_over(features: Features, length: int) -> WindowStatistics:
    """Statistics of all windows of a length over a video's rows, N > 0. A video shorter than a window is one, its last row repeated."""
    starts = window_starts(len(features), length)
    width, blocks = 8 * features.feature_dim, -(-len(starts) // WINDOWS_PER_BLOCK)
    codes = np.empty((len(starts), width), np.int8)
    centres, steps = np.empty((blocks, width), np.float32), np.empty((blocks, width), np.float32)
    for block in range(blocks):
        windows = slice(WINDOWS_PER_BLOCK * block, WINDOWS_PER_BLOCK * (block + 1))
        begin, end = int(starts[windows][0]), int(starts[windows][-1]) + length
        rows = np.asarray(features.data[begin : end + 1], np.float32)  # one more: the difference to it belongs to the last
        rows = np.pad(rows, ((0, max(end - begin - len(rows), 0)), (0, 0)), mode="edge")
        values = statistics_at(rows, starts[windows] - begin, length)
        low, high = values.min(0), values.max(0)
        centres[block], steps[block] = (low + high) / 2, np.maximum((high - low) / 254, 1e-9)
        values -= centres[block]
        values /= steps[block]
        codes[windows] = np.rint(values, out=values)
    return WindowStatistics(length, starts, codes, centres, steps)


def statistics_at(rows: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Statistics (W, 8 D) float32 of the windows of rows (N, D) at `starts` (W,)."""
    part = part_of(length)
    both = np.concatenate([rows, successive_differences(rows)], axis=1)
    found = np.empty((len(starts), 4 * both.shape[1]), np.float32)
    for offset in np.unique(starts % part):  # all windows but the last one begin at a whole number of parts
        usable = (len(both) - offset) // part * part
        tokens = both[offset : offset + usable].reshape(-1, part, both.shape[1]).mean(1)
        roots = np.sign(tokens) * np.sqrt(np.abs(tokens))
        mine = np.flatnonzero(starts % part == offset)
        for first in range(0, len(mine), AT_ONCE):
            portion = mine[first : first + AT_ONCE]
            found[portion] = sliding_statistics(roots, (starts[portion] - offset) // part, length // part)
    return found


def sliding_statistics(roots: np.ndarray, starts: np.ndarray, count: int) -> np.ndarray:
    """Mean, standard deviation, maximum and trend (W, 4 D) of `count` tokens' roots (M, D) from `starts` (W,) on, as `token_statistics`.

    A step at a time over a few windows: the root of a token is taken once, and nothing is copied for each window that it is in.
    """
    total, squares, trend = (np.zeros((len(starts), roots.shape[1]), np.float32) for _ in range(3))
    highest = np.full_like(total, -np.inf)
    times = (2 * np.arange(1, count + 1, dtype=np.float32) - 1) / np.float32(count) - 1
    for step, time in enumerate(times):
        x = roots[np.minimum(starts + step, len(roots) - 1)]
        total += x
        np.maximum(highest, x, out=highest)
        trend += time * x
        squares += np.square(x, out=x)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - np.square(mean), np.float32(1e-12)))
    return np.concatenate([mean, deviation, highest, trend / count], axis=1)


def over_rows(scores: np.ndarray, starts: np.ndarray, length: int, count: int) -> np.ndarray:
    """Scores of windows (W, K) as scores of rows (N, K), N = `count`: the mean over all that cover a row, those in whose middle it is most."""
    offsets = np.arange(length)
    weights = np.maximum(1 - np.abs((2 * offsets + 1) / length - 1), EDGE_WEIGHT)
    sums, total = np.zeros((count + length, scores.shape[1])), np.zeros((count + length, 1))
    for offset, weight in zip(offsets, weights, strict=True):
        sums[starts + offset] += weight * scores
        total[starts + offset] += weight
    return sums[:count] / total[:count]
