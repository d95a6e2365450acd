"""`frames`: videos that are folders of images (rawframes), below one folder per class, or named by lists `folder count label`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gerund.core.errors import DataError
from gerund.core.texts import exists, named_file
from gerund.core.types import Clip
from gerund.data.datasets import folder
from gerund.data.datasets.files import there
from gerund.data.datasets.text_list import ListRow, lists_in, load_lists
from gerund.video.formats import FRAME_FOLDER_FPS, frame_images


def load(path: Path, *, split: int | None = None, classes: Path | None = None) -> list[Clip]:
    """Clips of a list, of the lists in a folder (train.txt, val.txt ...), or of every folder of images below LABEL folders.

    A line of a list is `folder label`, `folder count label` or `folder offset count label`; a folder with more images than that
    is cut, one with fewer is an error. Images follow each other at 25 per second.
    """
    if path.is_file() or lists_in(path):
        return load_lists(path, classes, in_a_root, frame_clip)
    return folder.clips_below(path, images_only=True)


def in_a_root(folders: Sequence[Path], text: str) -> bool:
    places = (named_file(folder, text) for folder in folders)
    return any(exists(place) and place.is_dir() for place in places)


def frame_clip(path: Path, row: ListRow, where: str) -> Clip | None:
    """The listed images of a folder; None when there is no such folder."""
    if not there(path) or not path.is_dir():
        return None
    present = len(frame_images(path))
    offset, count = (0, 0, *(row.counts or (present,)))[-2:]
    if not 0 < offset + count <= present:
        raise DataError(f"{where}: {offset + count} images are listed, but {path} holds {present}")
    end = None if offset + count == present else (offset + count) / FRAME_FOLDER_FPS
    return Clip(path=path, label=row.label, start=offset / FRAME_FOLDER_FPS, end=end)
