"""`activitynet`: a JSON database of segments in long videos, as ActivityNet (Caba Heilbron et al. 2015), HACS and FineAction use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from gerund.core.errors import DataError
from gerund.core.progress import note
from gerund.core.texts import number, read_json
from gerund.data.annotations import Annotation
from gerund.data.datasets.files import by_stem, field, files_like, folder_of_lists, home_of, labelled, report_missing, tell_used
from gerund.data.listing import list_videos

ACTIVITYNET_SIDES = {"training": "train", "train": "train", "validation": "val", "val": "val", "testing": "test", "test": "test"}


def load(path: Path, *, split: int | None = None) -> list[Annotation]:
    """One annotation per segment; the videos, v_ID.mp4 or ID.mp4, may lie anywhere below the JSON file's folder (`annotations`: the one above).

    Videos without annotations (the withheld test set) are left out, missing ones and empty segments counted and left out.
    """
    file = path if path.is_file() else database_in(path)
    database = field(read_json(file), "database", dict, file)
    listing = list_videos(home_of(path if path.is_dir() else path.parent))
    videos = by_stem(listing)
    clips: list[Annotation] = []
    missing, total, empty = [], 0, 0
    for name, entry in database.items():
        where = f"{file}: video {name!r}"
        segments = field(entry, "annotations", list, where)
        total += bool(segments)
        found = videos.get(f"v_{name}") or videos.get(name)
        if segments and found is None:
            missing.append(name)
        elif found is not None:
            spans = [segment_clip(segment, entry, found, where) for segment in segments]
            clips += [clip for clip in spans if clip is not None]
            empty += spans.count(None)
    report_missing(missing, total, file)
    tell_used(listing, clips)
    if empty:
        note(f"{file}: {empty} segments are empty or lie beyond the end of their video; they are left out.")
    if not clips:
        raise DataError(f"{file}: no video has annotations")
    return clips


def database_in(folder: Path) -> Path:
    found = files_like(folder_of_lists(folder, "*.json") or folder, "*.json")
    if len(found) != 1:
        raise DataError(f"{folder}: {len(found)} JSON files in this folder; name the one with the 'database'")
    return found[0]


def segment_clip(segment: Any, entry: dict[str, Any], video: Path, where: str) -> Annotation | None:
    """A segment, ended where the video ends; None when nothing is left of it."""
    times = field(segment, "segment", list, where)
    if len(times) != 2:
        raise DataError(f"{where}: field 'segment' is {times}, not a start and an end")
    start, end = (number(time, f"{where}: field 'segment'") for time in times)
    if entry.get("duration"):
        end = min(end, number(entry["duration"], f"{where}: field 'duration'"))
    side = str(entry.get("subset", "")).lower()
    if side not in ACTIVITYNET_SIDES:
        raise DataError(f"{where}: field 'subset' is {entry.get('subset')!r}, not training, validation or testing")
    if end <= start:
        return None
    return replace(labelled(video, segment.get("label"), start, end, where), split=ACTIVITYNET_SIDES[side])
