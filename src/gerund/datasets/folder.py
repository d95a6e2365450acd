"""`folder`: one folder per class, with videos or folders of frame images in it; train / val / test folders above are splits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gerund.errors import DataError
from gerund.types import Clip
from gerund.video import is_video

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def load(path: Path, *, split: int | None = None) -> list[Clip]:
    """One clip per video of `path/LABEL/...`, or of `path/train/LABEL/...` and its like. Raises DataError when there is none."""
    if not path.is_dir():
        raise DataError(f"{path}: not a folder; give a folder with one sub-folder per class, or a .csv")
    below = folders(path)
    named = [folder.name for folder in below if folder.name.lower() in SPLIT_FOLDERS]
    if len(named) > 1 and len(named) < len(below):
        other = next(folder.name for folder in below if folder.name not in named)
        raise DataError(f"{path}: {' and '.join(named)} look like splits, but {other} beside them does not; move it elsewhere")
    if named and len(named) == len(below):
        clips = [clip for folder in below for clip in class_clips(folder, SPLIT_FOLDERS[folder.name.lower()])]
    else:
        clips = class_clips(path, None)
    if not clips:
        inside = (
            "videos lie directly in it" if any(is_video(entry) for entry in path.iterdir()) else "no video in its sub-folders"
        )
        raise DataError(f"{path}: no clips found ({inside}); expected {path.name}/LABEL/video.mp4, one sub-folder per class")
    return clips


def folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def class_clips(path: Path, split: str | None) -> list[Clip]:
    return [Clip(path=video, label=folder.name, split=split) for folder in folders(path) for video in videos_below(folder)]


def videos_below(path: Path) -> Iterator[Path]:
    """All videos of a folder and the folders in it, in order of their names; a folder of frame images is one video."""
    for entry in sorted(path.iterdir()):
        if entry.name.startswith("."):
            continue
        if is_video(entry):
            yield entry
        elif entry.is_dir():
            yield from videos_below(entry)
