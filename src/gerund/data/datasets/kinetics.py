"""`kinetics`: Kinetics-400 / 600 / 700 (Kay et al. 2017, arXiv:1705.06950) from its official CSV files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gerund.core.errors import DataError, VideoError
from gerund.core.progress import note
from gerund.core.texts import number, read_table
from gerund.core.types import Clip
from gerund.data.datasets.files import by_stem, files_like, folder_of_lists, home_of, report_missing, tell_used
from gerund.data.listing import list_videos
from gerund.video import probe

KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
KINETICS_SIDES = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}
LONGER = 1.5
"""Seconds by which a file called ID.mp4 may be longer than its segment before it is taken for the whole video."""


@dataclass(frozen=True, kw_only=True)
class KineticsRow:
    """One line of an official CSV."""

    label: str
    youtube_id: str
    start: float
    end: float
    split: str


def load(path: Path, *, split: int | None = None) -> list[Clip]:
    """Clips of one official CSV, or of all in a folder or its folder `annotations`; the videos may lie anywhere below that folder.

    A video is called ID_000010_000020.mp4 (the segment's seconds) or ID.mp4; the latter may be the segment or the whole video.
    Missing videos are counted and left out. A group is one YouTube video.
    """
    folder = (folder_of_lists(path, "*.csv") or path) if path.is_dir() else path.parent
    files = files_like(folder, "*.csv") if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: no official CSV file ({','.join(KINETICS_COLUMNS)}) in this folder")
    rows = list(dict.fromkeys(row for file in files for row in official_rows(file)))
    listing = list_videos(home_of(path if path.is_dir() else folder))
    videos = by_stem(listing)
    clips, missing = [], []
    for row in rows:
        trimmed = f"{row.youtube_id}_{int(row.start):06d}_{int(row.end):06d}"
        found = videos.get(trimmed) or videos.get(row.youtube_id)
        if found is None:
            missing.append(trimmed)
        else:
            clips.append(clip_in_file(row, found))
    report_missing(missing, len(rows), path)
    tell_used(listing, clips)
    return clips


def official_rows(file: Path) -> Iterator[KineticsRow]:
    table = read_table(file, KINETICS_COLUMNS)
    absent = [column for column in KINETICS_COLUMNS if column not in table.columns]
    if absent == ["label"]:
        note(f"{file}: has no labels (a withheld test set); left out.")
        return
    if absent:
        raise DataError(
            f"{file}:1: no column {absent[0]!r} (found: {', '.join(table.columns) or 'nothing'}); expected {','.join(KINETICS_COLUMNS)}"
        )
    for line, values in table.rows:
        where = f"{file}:{line}"
        empty = next((column for column in KINETICS_COLUMNS if not values.get(column)), None)
        if empty:
            raise DataError(f"{where}: column {empty!r} is empty")
        side = values["split"].lower()
        if side not in KINETICS_SIDES:
            raise DataError(f"{where}: column 'split': {values['split']!r} is not one of {', '.join(KINETICS_SIDES)}")
        start, end = (number(values[column], f"{where}: column {column!r}") for column in ("time_start", "time_end"))
        if end <= start:
            raise DataError(f"{where}: column 'time_end': {end:g} is not after time_start, {start:g}")
        yield KineticsRow(
            label=values["label"], youtube_id=values["youtube_id"], start=start, end=end, split=KINETICS_SIDES[side]
        )


def clip_in_file(row: KineticsRow, path: Path) -> Clip:
    """The whole file, unless it is ID.mp4 and clearly longer than the segment."""
    whole = Clip(path=path, label=row.label, split=row.split, group=row.youtube_id)
    if path.stem != row.youtube_id:
        return whole
    try:
        duration = probe(path).duration
    except VideoError:  # told when the clips are decoded
        return whole
    if duration is None or duration <= row.end - row.start + LONGER:
        return whole
    return Clip(path=path, label=row.label, start=row.start, end=row.end, split=row.split, group=row.youtube_id)
