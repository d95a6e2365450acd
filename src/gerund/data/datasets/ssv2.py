"""`ssv2`: Something-Something V2 (Goyal et al. 2017, arXiv:1706.04261) from its JSON files."""

from __future__ import annotations

from pathlib import Path

from gerund.core.errors import DataError
from gerund.core.texts import read_json
from gerund.core.types import Clip
from gerund.data.datasets.files import by_stem, field, files_like, home_of, report_missing, tell_used
from gerund.data.listing import list_videos

SSV2_FILES = {"train": ("*train.json", "train"), "validation": ("*validation.json", "val")}


def load(path: Path, *, split: int | None = None) -> list[Clip]:
    """Clips of the train and validation files; labels are the templates without brackets, as in the labels file.

    JSON files and videos (ID.webm) may lie anywhere below `path`. The published test set has no labels and is left out.
    """
    names = field({"labels": read_json(only(path, "*labels.json"))}, "labels", dict, only(path, "*labels.json"))
    listing = list_videos(home_of(path))
    videos = by_stem(listing)
    clips, missing = [], []
    for pattern, side in SSV2_FILES.values():
        file = only(path, pattern)
        entries = read_json(file)
        if not isinstance(entries, list):
            raise DataError(f"{file}: expected a list of clips with 'id' and 'template'")
        for index, entry in enumerate(entries):
            where = f"{file}: entry {index + 1}"
            label = field(entry, "template", str, where).replace("[", "").replace("]", "").strip()
            if label not in names:
                raise DataError(f"{where}: template {label!r} is not in the labels file")
            video = str(field(entry, "id", str | int, where))
            if video in videos:
                clips.append(Clip(path=videos[video], label=label, split=side))
            else:
                missing.append(f"{video}.webm")
    report_missing(missing, len(clips) + len(missing), path)
    tell_used(listing, clips)
    return clips


def only(path: Path, pattern: str) -> Path:
    """The first file of a pattern at or below a folder."""
    found = files_like(path, pattern) or files_like(path, f"*/{pattern}")
    if not found:
        raise DataError(f"{path}: no {pattern} in it; expected the published labels, train and validation files")
    return found[0]
