"""What a person may give as input: videos, folders, patterns, lists of paths, manifests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gerund.errors import DataError
from gerund.manifest import read_manifest
from gerund.types import Clip
from gerund.video import is_frame_folder, is_video


def expand(inputs: Sequence[str | Path]) -> list[Clip]:
    """The clips that paths, folders, patterns, lists and manifests mean, in order. Raises DataError when one means nothing."""
    clips = [clip for each in inputs for clip in expand_one(Path(each).expanduser())]
    if not clips:
        raise DataError("no input; give at least one video")
    return clips


def expand_one(path: Path) -> list[Clip]:
    if path.suffix.lower() == ".csv":
        return read_manifest(path)
    if path.is_file() and path.suffix.lower() in (".txt", ".list"):
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        return [Clip(path=path.parent / line) for line in lines if line and not line.startswith("#")]
    if path.is_dir() and not is_frame_folder(path):
        found = sorted(entry for entry in path.rglob("*") if is_video(entry))
        if not found:
            raise DataError(f"{path}: no video in this folder")
        return [Clip(path=entry) for entry in found]
    if not path.exists() and any(sign in path.name for sign in "*?["):
        found = sorted(path.parent.glob(path.name))
        if not found:
            raise DataError(f"{path}: no file fits this pattern")
        return [Clip(path=entry) for entry in found]
    if not path.exists():
        raise DataError(f"{path}: no such file")
    return [Clip(path=path)]
