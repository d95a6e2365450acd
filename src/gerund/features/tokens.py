"""Index arithmetic: which frames of a video are kept, and how a span of features becomes what a head sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gerund.core.errors import ClipError, UsageError
from gerund.core.fields import Fields
from gerund.core.types import Clip, Features, Rows
from gerund.video.rate import TIME_SLACK, USUAL_FPS, Item

Take = Literal["mean", "middle", "first"]
TAKES: tuple[Take, ...] = ("mean", "middle", "first")
MOST_STEPS = 10_000
"""No model has more time steps."""
MOST_STILL_ROWS = 60_000
"""Rows that pictures standing still may make of a video at most: two hours at 8 per second."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a clip's dense rows become T = `num_frames` tokens.

    `take`: each of the T parts gives its `mean`, or its `middle` row; `first` takes the first T rows and ignores the rest.
    `motion` joins the mean absolute difference between successive rows of the part.
    """

    num_frames: int = 16
    take: Take = "mean"
    motion: bool = True

    def __post_init__(self) -> None:
        if self.num_frames < 1:
            raise UsageError(f"num_frames is {self.num_frames}; a clip needs at least 1 time step")
        if self.take not in TAKES:
            raise UsageError(f"unknown take {self.take!r}; choose one of {', '.join(TAKES)}")

    def token_dim(self, feature_dim: int) -> int:
        """Width D' of a token, for features of width D."""
        return feature_dim * (2 if self.motion else 1)


def sampling_in(fields: Fields) -> Sampling:
    """The sampling that a model's config.json describes."""
    return Sampling(
        num_frames=fields.whole("num_frames", 1, MOST_STEPS), take=fields.choice("take", TAKES), motion=fields.flag("motion")
    )


@dataclass(frozen=True)
class RepeatedRows:
    """Rows (M, D) of which each is `stored` once and shown as often as `behind` (M,) names it, in order."""

    stored: Rows
    behind: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.behind), self.stored.shape[1]

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        behind = self.behind[rows]
        if not len(behind):
            return self.stored[0:0]
        first = int(behind.min())
        return self.stored[first : int(behind.max()) + 1][behind - first]


def on_screen(data: Rows, pts: np.ndarray, end: float | None, step: float | None) -> Features:
    """Features in which what stands still counts for as long as it does: the row of a picture that is on screen for n steps is there n
    times, spread over that time. `data` (N, D) and `pts` (N,) as stored, `end` of the video in seconds (None where nobody knows).

    A step is `step` seconds, one of the rate the rows were made at (None: USUAL_FPS), or in a slower video what nine of ten rows last
    at least. So rows at a constant rate, whatever it is, are there once. At most MOST_STILL_ROWS rows are made of them.
    """
    if end is None or not len(pts):
        return Features(data, pts)
    lasting = np.diff(pts, append=end)
    unit = max(step or 1 / USUAL_FPS, float(np.quantile(lasting, 0.1, method="lower")), float(lasting.sum()) / MOST_STILL_ROWS)
    counts = np.maximum(1, np.floor(lasting / unit + TIME_SLACK)).astype(np.int64)
    if counts.max() == 1:
        return Features(data, pts, end)
    behind = np.repeat(np.arange(len(pts)), counts)
    within = np.arange(len(behind)) - np.repeat(np.cumsum(counts) - counts, counts)
    return Features(RepeatedRows(data, behind), pts[behind] + within * (lasting / counts)[behind], end)


def stored_rows(features: Features) -> np.ndarray:
    """Which stored row each row shows (N,)."""
    return features.data.behind if isinstance(features.data, RepeatedRows) else np.arange(len(features))


def clip_rows(features: Features, clip: Clip) -> slice:
    """The rows of a video whose time lies in the clip's span; the nearest row when none does.

    Raises ClipError when the video has no rows, or the span starts after its end or is over before its first picture.
    """
    pts = features.pts
    if len(pts) == 0:
        raise ClipError(f"{clip.path}: no frame was decoded, so there is nothing to look at")
    if clip.start > features.end + TIME_SLACK:
        raise ClipError(beyond_end(clip, features.end))
    end = math.inf if clip.end is None else clip.end
    first_step = (features.end if len(pts) == 1 else float(pts[1])) - float(pts[0])
    if end < pts[0] - first_step:
        raise ClipError(f"{clip.path}: the clip ends at {end:g} s, but the first picture comes at {pts[0]:.2f} s")
    first, last = np.searchsorted(pts, [clip.start - TIME_SLACK, end - TIME_SLACK])
    if first >= last:
        middle = clip.start if clip.end is None else (clip.start + clip.end) / 2
        first = int(np.abs(pts - middle).argmin())
        last = first + 1
    return slice(int(first), int(last))


def beyond_end(clip: Clip, end: float) -> str:
    return f"{clip.path}: the clip starts at {clip.start:g} s, but the video ends at {end:.2f} s"


def tokens(
    features: Features, clip: Clip, sampling: Sampling, *, jitter: np.random.Generator | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What a head sees of a clip: data (T, D') float32 and valid (T,) bool, T = `sampling.num_frames`.

    The span is cut into T equal parts and each gives one token, a row or the mean of its rows (segment sampling, Wang et al.
    2016, arXiv:1608.00859, sec. 3.1). A span with fewer than T rows gives one token for each row and pads the tail with zeros,
    `valid` False. With `jitter`, the parts' borders move at random and `middle` becomes a random row of each part. With
    `sampling.motion`, D' = 2 D: each part's mean absolute difference between successive rows follows.
    Raises ClipError when the clip has no rows.
    """
    return row_tokens(np.asarray(features.data[clip_rows(features, clip)], dtype=np.float32), sampling, jitter)


def row_tokens(rows: np.ndarray, sampling: Sampling, jitter: np.random.Generator | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The same of a span's rows (N, D) float32, N > 0."""
    if sampling.take == "first":
        rows = rows[: sampling.num_frames]
    edges = part_edges(len(rows), sampling.num_frames, jitter)
    data = part_means(rows, edges) if sampling.take == "mean" else rows[picked_rows(edges, jitter)]
    if sampling.motion:
        data = np.concatenate([data, part_means(successive_differences(rows), edges)], axis=1)
    valid = np.arange(sampling.num_frames) < len(data)
    return np.pad(data, ((0, sampling.num_frames - len(data)), (0, 0))), valid


def step_edges(features: Features, clip: Clip, sampling: Sampling) -> np.ndarray:
    """The rows of a video behind each valid token of a clip: step i is made of rows edges[i] .. edges[i + 1] - 1."""
    rows = clip_rows(features, clip)
    count = rows.stop - rows.start
    return rows.start + part_edges(
        min(count, sampling.num_frames) if sampling.take == "first" else count, sampling.num_frames, None
    )


def step_times(features: Features, clip: Clip, sampling: Sampling) -> np.ndarray:
    """The middle of each valid token of `tokens`, in seconds of the video (S,), S <= T."""
    return features.pts[picked_rows(step_edges(features, clip, sampling), None)]


def part_edges(num_rows: int, num_parts: int, jitter: np.random.Generator | None) -> np.ndarray:
    """Borders of min(num_parts, num_rows) parts, none empty: part i holds rows edges[i] .. edges[i + 1] - 1."""
    parts = min(num_parts, num_rows)
    if jitter is None:
        return np.arange(parts + 1) * num_rows // parts
    inner = np.arange(1, parts) + jitter.uniform(-0.5, 0.5, parts - 1)
    inner = np.floor(inner * num_rows / parts).astype(np.int64)
    inner = np.clip(inner, np.arange(1, parts), num_rows - np.arange(parts - 1, 0, -1))
    return np.concatenate([[0], np.maximum.accumulate(inner - np.arange(1, parts)) + np.arange(1, parts), [num_rows]])


def picked_rows(edges: np.ndarray, jitter: np.random.Generator | None) -> np.ndarray:
    """One row of each part: the middle one, or with `jitter` a random one."""
    if jitter is None:
        return (edges[:-1] + edges[1:] - 1) // 2
    return jitter.integers(edges[:-1], edges[1:])


def part_means(rows: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean of the rows of each part: (N, D) -> (parts, D)."""
    return np.add.reduceat(rows, edges[:-1], axis=0) / np.diff(edges).astype(rows.dtype)[:, None]


def successive_differences(rows: np.ndarray) -> np.ndarray:
    """|row[i + 1] - row[i]| for every row (N, D); the last row repeats the difference before it, a lone row has none (zero)."""
    if len(rows) == 1:
        return np.zeros_like(rows)
    differences = np.abs(np.diff(rows, axis=0))
    return np.concatenate([differences, differences[-1:]])


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` items, evenly spread over all of them."""
    places = np.linspace(0, len(items) - 1, min(count, len(items)))
    return [items[round(place)] for place in places]


def as_stored(data: np.ndarray) -> np.ndarray:
    """Features as float16, the largest values cut to what it can hold."""
    limit = np.finfo(np.float16).max
    return np.clip(data, -limit, limit).astype(np.float16)
