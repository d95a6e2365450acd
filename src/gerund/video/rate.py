"""Which pictures a rate wants: the one on screen at each step, and which packets must be decoded to see it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
USUAL_FPS = 25.0
"""Frames per second of a video that does not say."""
TIME_SLACK = 1e-3
"""Seconds by which containers that count in milliseconds (WebM, FLV, MPEG-TS) round a frame's time."""


def at_rate(
    timed: Iterable[tuple[float, Item]],
    fps: float | None,
    *,
    lasts: Callable[[Item], float] = lambda item: 0.0,
    ended: Callable[[float], None] = lambda end: None,
) -> Iterator[tuple[float, Item]]:
    """Keep the items on screen at 0, 1/fps, 2/fps ... seconds, each at most once; `timed` holds (pts, item) in order of pts.

    An item is on screen from its own pts until the next one's, the last one for the seconds it `lasts`, or where that says nothing for
    as long as the one before it. `ended` is told when that is over. A video slower than `fps` therefore keeps every frame and repeats
    none. Where no instant meets any item, the last one is kept. None keeps everything.
    """
    held: tuple[float, Item] | None = None
    step, kept = 0.0, False
    for pts, item in timed:
        if fps is None:
            yield pts, item
        if held is not None:
            step = pts - held[0]
            if fps is not None and wanted_between(held[0], pts, fps):
                kept = True
                yield held
        held = (pts, item)
    if held is not None:
        end = held[0] + (lasts(held[1]) or step or 1 / (fps or USUAL_FPS))
        if fps is not None and (not kept or wanted_between(held[0], end, fps)):
            yield held
        ended(end)


def wanted_between(start: float, end: float, fps: float) -> bool:
    """Whether some instant k / fps lies in [start, end), up to the rounding of container times."""
    return math.ceil((start - TIME_SLACK) * fps) < (end - TIME_SLACK) * fps


PACKET_UNUSED, PACKET_REFERENCE, PACKET_WANTED = 0, 1, 2
LEAST_GAP = 16
"""Packets in a row that must be unused before they are left out: starting anew at the next key frame has a price."""


def packet_needs(pts: np.ndarray, keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """What each packet of a video stream is needed for, when only the frames at the `wanted` pts are asked for: (N,) uint8.

    `pts` (N,) and `keys` (N,) bool are in decoding order. PACKET_WANTED: its frame is asked for. PACKET_REFERENCE: others may be built
    on it; if they are not, a decoder may skip it. PACKET_UNUSED: it stands after the last wanted frame of its group of pictures.
    A frame shown before its own key frame may be built on the group before, which is then needed too.
    """
    count = len(pts)
    places = np.flatnonzero(np.isin(pts, wanted))
    starts = np.flatnonzero(keys)
    group = np.searchsorted(starts, places, side="right") - 1
    group = np.maximum(group - (pts[places] < pts[starts[group]]), 0)
    covered = np.zeros(count + 1, np.int64)
    np.add.at(covered, starts[group], 1)
    np.add.at(covered, places + 1, -1)
    used = np.cumsum(covered[:-1]) > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[True], used, [True]]).astype(np.int8)))
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        if end - first < LEAST_GAP:
            used[first:end] = True
    needs = np.where(used, PACKET_REFERENCE, PACKET_UNUSED).astype(np.uint8)
    needs[places] = PACKET_WANTED
    return needs
