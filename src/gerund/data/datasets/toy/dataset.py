"""The toy set on disk: real compressed video files, written once, whole or not at all."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np

from gerund import video
from gerund.core.errors import DataError, UsageError
from gerund.core.files import beside
from gerund.core.types import Clip
from gerund.data.datasets.toy.film import perform
from gerund.data.datasets.toy.movement import ACTIONS
from gerund.data.manifest import read_manifest, write_manifest

PERFORMERS, CLIPS_PER_ACTION = 24, 3
TOY_MANIFEST = "manifest.csv"
"""Written last: a folder that holds it is complete."""


def load(path: Path, *, split: int | None = None) -> list[Clip]:
    """The toy set in the folder `path`: 720 clips, train and test; written first if it is not there yet (20 s, 25 MB).

    `split` is there because every data set has it; this one has a single official split, by performer.
    Raises DataError when the folder holds something else, or lost some of its videos.
    """
    return read_or_make(path, performers=PERFORMERS, clips_per_action=CLIPS_PER_ACTION)


def load_small(path: Path, *, split: int | None = None) -> list[Clip]:
    """A toy set of 90 clips: nine performers do each action once; otherwise as `load`."""
    return read_or_make(path, performers=9, clips_per_action=1)


def read_or_make(path: Path, *, performers: int, clips_per_action: int) -> list[Clip]:
    """The toy set in a folder, of whatever size it is there, or made now. Raises DataError."""
    if not (path / TOY_MANIFEST).is_file():
        return make(path, performers=performers, clips_per_action=clips_per_action)
    clips = read_manifest(path / TOY_MANIFEST)
    missing = [clip.path for clip in clips if not clip.path.is_file()]
    if missing:
        lost = f"{len(missing)} of {len(clips)} videos are missing (first: {missing[0]})"
        raise DataError(f"{path}: {lost}; delete the folder, and it is made anew")
    return clips


def make(
    path: Path,
    *,
    seed: int = 0,
    performers: int = PERFORMERS,
    clips_per_action: int = CLIPS_PER_ACTION,
    size: tuple[int, int] = (120, 160),
    fps: float = 25.0,
) -> list[Clip]:
    """Write the set and return its clips: a video per performer, action and take; `size` is (height, width) in pixels.

    Every third performer is test, the others train. The folder appears whole or not at all: everything is written into
    a hidden folder next to it, which is then renamed. Raises DataError when `path` holds something already.
    """
    if performers < 2:
        raise UsageError(f"performers = {performers}: at least 2, one to train on and one to test on")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"{path}: not empty, and without a {TOY_MANIFEST} no toy set; delete it or choose another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = beside(path.parent.resolve() / path.name)
    shutil.rmtree(folder, ignore_errors=True)
    takes = list(product(range(performers), ACTIONS, range(clips_per_action)))
    clips = [clip_of_take(folder, *take) for take in takes]

    def record(clip: Clip, take: tuple[int, str, int]) -> None:
        performer, action, number = take
        write_clip(clip.path, perform(action, performer, seed=seed, take=number, size=size, fps=fps), fps=fps)

    try:
        for action in ACTIONS:
            (folder / action).mkdir(parents=True)
        # Threads, because worker processes would need a guarded __main__; encoding and scaling release the GIL.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(record, clips, takes))
        write_manifest(clips, folder / TOY_MANIFEST)
        publish(folder, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return read_manifest(path / TOY_MANIFEST)


def clip_of_take(folder: Path, performer: int, action: str, take: int) -> Clip:
    """Split and container depend on the performer alone, so that they say nothing about the action."""
    suffix = ".avi" if performer % 4 == 1 else ".mp4"
    name = f"performer{performer:02d}"
    return Clip(
        path=folder / action / f"{name}-{take}{suffix}",
        label=action,
        split="test" if performer % 3 == 1 else "train",
        group=name,
    )


def write_clip(path: Path, frames: np.ndarray, *, fps: float) -> None:
    """H.264 for .mp4, MPEG-4 part 2 for .avi; both at a quality that hides which frames were key frames."""
    if path.suffix == ".avi":
        video.write(path, frames, fps=fps, codec="mpeg4", options={"b": "1500k"})
    else:
        # Without mbtree=0, x264 (vectorised code, one thread) gave 6 different files in 12 writings of the same frames.
        options = {"crf": "21", "preset": "veryfast", "x264-params": "mbtree=0"}
        video.write(path, frames, fps=fps, options=options)


def publish(folder: Path, path: Path) -> None:
    """Give a finished folder its name; when another process was faster, its set (the same) stays."""
    try:
        folder.replace(path)
    except OSError:
        if not (path / TOY_MANIFEST).is_file():
            raise
