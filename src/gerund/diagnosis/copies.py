"""Copies of a video among many: re-encoded, resized, mirrored, at another frame rate. Found by fingerprints, arithmetic only.

A fingerprint holds the mean grey picture of each of a video's equal parts, so that copies are compared at the same relative
times. Two videos of one scene share the background; what tells them apart is when and where something moves. So the
background (the mean of all parts) is taken away first and the rest is correlated.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

SAME_LENGTH = 0.05
"""Copies have nearly the same seconds, or the same number of frames (when written at another rate)."""
SAME_SCENE = 0.95
"""Correlation of coarse mean pictures; copies of real clips have 0.99 and more."""
SAME_MOVEMENT_COARSE = 0.8
SAME_MOVEMENT = 0.94
"""Correlation of what moves. Measured on 250 real clips: copies at half size, mirrored, at low quality or at half the frame rate
have at least 0.965; the likest siblings of about one length (two clips cut from one source video) have at most 0.917."""
LEAST_MOVEMENT = 1.0
"""Grey levels (standard deviation over the parts) below which there is too little movement to compare."""
COMPARED_AT_ONCE = 2048


class Copy(NamedTuple):
    """Two videos, by index (first < second), that show the same; `mirrored` when left and right are swapped."""

    first: int
    second: int
    mirrored: bool
    similarity: float


class Fingerprints:
    """Fingerprints of N videos, kept in a temporary file; in memory stays less than a kilobyte of each. A context manager."""

    COARSE, ROUGH = 8, 4

    def __init__(self, count: int, shape: tuple[int, int, int]) -> None:
        self.file = tempfile.TemporaryFile(prefix="gerund-")  # noqa: SIM115  closed by __exit__
        self.pictures = np.memmap(self.file, np.uint8, "w+", shape=(max(count, 1), *shape))
        self.seconds = np.zeros(count)
        self.frames = np.zeros(count)
        self.scene = np.zeros((count, self.COARSE * self.COARSE // 2), np.float32)
        self.movement = np.zeros((count, shape[0] * self.ROUGH * self.ROUGH // 2), np.float32)

    def __enter__(self) -> Fingerprints:
        return self

    def __exit__(self, *_: object) -> None:
        del self.pictures
        self.file.close()

    def add(self, index: int, fingerprint: np.ndarray, *, seconds: float, frames: int) -> None:
        """Store the fingerprint (parts, side, side) uint8 of video `index`; one with too little movement is left out of the search."""
        moving = movement(fingerprint)
        if moving.std() < LEAST_MOVEMENT:
            return
        self.pictures[index] = fingerprint
        self.seconds[index], self.frames[index] = seconds, frames
        self.scene[index] = unit(even(shrunk(fingerprint.mean(axis=0), self.COARSE)))
        self.movement[index] = unit(even(shrunk(moving, self.ROUGH)))

    def copies(self) -> list[Copy]:
        """All pairs of copies, in order."""
        pairs = {pair for lengths in (self.seconds, self.frames) for pair in self.alike(lengths)}
        found = (self.compare(first, second) for first, second in sorted(pairs))
        return [copy for copy in found if copy.similarity >= SAME_MOVEMENT]

    def alike(self, lengths: np.ndarray) -> Iterator[tuple[int, int]]:
        """Pairs of nearly one length whose coarse pictures, which do not tell left from right, are alike."""
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] > 0]
        limits = np.searchsorted(lengths[order], lengths[order] * (1 + SAME_LENGTH), side="right")
        for top in range(0, len(order), COMPARED_AT_ONCE):
            rows = order[top : top + COMPARED_AT_ONCE]
            for left in range(top, int(limits[min(top + COMPARED_AT_ONCE, len(order)) - 1]), COMPARED_AT_ONCE):
                columns = order[left : left + COMPARED_AT_ONCE]
                scene = self.scene[rows] @ self.scene[columns].T
                place = left + np.arange(len(columns))
                own = top + np.arange(len(rows))[:, None]
                scene[(place <= own) | (place >= limits[top : top + len(rows), None])] = 0
                found = np.argwhere(scene > SAME_SCENE)
                first, second = rows[found[:, 0]], columns[found[:, 1]]
                similar = np.einsum("nd,nd->n", self.movement[first], self.movement[second]) > SAME_MOVEMENT_COARSE
                for pair in zip(first[similar].tolist(), second[similar].tolist(), strict=True):
                    yield min(pair), max(pair)

    def compare(self, first: int, second: int) -> Copy:
        one, other = movement(self.pictures[first]), movement(self.pictures[second])
        straight = float(unit(one) @ unit(other))
        swapped = float(unit(one) @ unit(other[..., ::-1]))
        return Copy(first, second, swapped > straight, max(straight, swapped))


def movement(fingerprint: np.ndarray) -> np.ndarray:
    """What differs from the mean of all parts."""
    pictures = fingerprint.astype(np.float32)
    return pictures - pictures.mean(axis=0)


def shrunk(pictures: np.ndarray, side: int) -> np.ndarray:
    """Pictures (..., S, S) as block means (..., side, side)."""
    block = pictures.shape[-1] // side
    return pictures.reshape(*pictures.shape[:-2], side, block, side, block).mean(axis=(-3, -1))


def even(pictures: np.ndarray) -> np.ndarray:
    """The half of pictures that a mirror leaves as it is."""
    half = pictures.shape[-1] // 2
    return (pictures + pictures[..., ::-1])[..., :half]


def unit(values: np.ndarray) -> np.ndarray:
    """Values as one row of mean 0 and length 1 (all 0 when they are all equal), so that products are correlations."""
    row = values.astype(np.float32).ravel()
    row = row - row.mean()
    length = float(np.linalg.norm(row))
    return row / length if length else row
