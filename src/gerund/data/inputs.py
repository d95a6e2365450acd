"""What a person may give as input: videos, folders, patterns, lists of paths, manifests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gerund.core.errors import DataError
from gerund.core.places import as_path
from gerund.core.texts import exists, is_table, named_file, read_lines
from gerund.core.types import Clip
from gerund.data.listing import list_videos
from gerund.data.manifest import read_manifest
from gerund.video.formats import is_frame_folder, is_hidden


def expand(inputs: Sequence[str | Path]) -> list[Clip]:
    """The clips that paths, folders, patterns, lists and manifests mean, in order. Raises DataError when one means nothing."""
    clips = [clip for each in inputs for clip in expand_one(as_path(each).expanduser())]
    if not clips:
        raise DataError("no input; give at least one video")
    return clips


def expand_one(path: Path) -> list[Clip]:
    if is_table(path):
        return read_manifest(path)
    if path.is_file() and path.suffix.lower() in (".txt", ".list"):
        files = [(line, named_file(path.parent, line)) for _, line in read_lines(path)]
        return [Clip(path=file) for line, file in files if exists(file) or not line.startswith("#")]
    if path.is_dir() and not is_frame_folder(path):
        listing = list_videos(path)
        if not listing.videos:
            raise DataError(f"{path}: no video in this folder ({listing.left_out() or 'it is empty'})")
        listing.tell()
        return [Clip(path=entry) for entry in listing.videos]
    if not path.exists() and any(sign in path.name for sign in "*?["):
        return fitting(path)
    if not path.exists():
        raise DataError(f"{path}: no such file")
    return [Clip(path=path)]


def fitting(pattern: Path) -> list[Clip]:
    """What everything that fits a pattern means, as if each were given by its name; hidden files do not fit, as in a shell."""
    found = sorted(path for path in pattern.parent.glob(pattern.name) if not is_hidden(path.name) or is_hidden(pattern.name))
    if not found:
        raise DataError(f"{pattern}: no file fits this pattern")
    return [clip for path in found for clip in expand_one(path)]
