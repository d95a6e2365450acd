"""`boris`: event tables (.csv, .tsv) exported by BORIS, tabular or aggregated."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from gerund.datasets.files import annotation_files, find_video, labelled, number, read_text
from gerund.errors import DataError
from gerund.types import Clip

MEDIA = ("Media file name", "Media file path", "Media file", "Source")
KIND = ("Behavior type", "Status")
POINT_SECONDS = 1.0
"""A point event has no length: its clip is this long, with the event in the middle."""

Row = dict[str, str]


def load(path: Path, *, split: int | None = None) -> list[Clip]:
    """One clip per state event (a START and its STOP, or a row with both) and per point event of a table, or all in a folder."""
    return [clip for file in annotation_files(path, ".csv", ".tsv") for clip in clips_of(file)]


def clips_of(file: Path) -> list[Clip]:
    rows = list(event_rows(file))
    clips = []
    for line, row, start, end in aggregated(rows, file) if "Start (s)" in rows[0][1] else paired(rows, file):
        video = find_video(file, [media_name(value(row, MEDIA, file, line))])
        clips.append(labelled(video, value(row, ("Behavior",), file, line), start, end, f"{file}:{line}"))
    several_files(rows, file)
    return clips


def event_rows(file: Path) -> Iterator[tuple[int, Row]]:
    """Line number and values of every event; older versions write lines about the observation above the header."""
    lines = read_text(file).replace("\r\n", "\n").split("\n")
    head = next((i for i, line in enumerate(lines) if "Behavior" in line and ("Time" in line or "Start (s)" in line)), None)
    if head is None:
        raise DataError(f"{file}: no header with the columns Behavior and Time; export events as tabular CSV or TSV")
    separator = max("\t,;", key=lines[head].count)
    try:
        table = list(csv.reader(lines[head:], delimiter=separator))
    except csv.Error as error:
        raise DataError(f"{file}: not readable as a table ({error})") from None
    found = [(head + i, row) for i, row in enumerate(table[1:], start=2) if any(row)]
    if not found:
        raise DataError(f"{file}:{head + 1}: no events below the header")
    for line, row in found:
        yield line, dict(zip(table[0], row, strict=False))


def value(row: Row, columns: Sequence[str], file: Path, line: int) -> str:
    found = next((row[column].strip() for column in columns if (row.get(column) or "").strip()), None)
    if found is None:
        raise DataError(f"{file}:{line}: column {columns[0]!r} is missing or empty")
    return found


def media_name(text: str) -> str:
    """`a.mp4`, also when it is written as `player #1:a.mp4;`."""
    first = text.split(";")[0].strip()
    return first.partition(":")[2].strip() if first.lower().startswith("player #") else first


def aggregated(rows: list[tuple[int, Row]], file: Path) -> Iterator[tuple[int, Row, float, float]]:
    for line, row in rows:
        start = number(value(row, ("Start (s)",), file, line), f"{file}:{line}: column 'Start (s)'")
        if value(row, KIND, file, line).upper() == "POINT":
            yield line, row, *around(start)
        else:
            yield line, row, start, number(value(row, ("Stop (s)",), file, line), f"{file}:{line}: column 'Stop (s)'")


def paired(rows: list[tuple[int, Row]], file: Path) -> Iterator[tuple[int, Row, float, float]]:
    """States from their START and STOP rows: the same observation, subject, behaviour and modifiers."""
    started: dict[tuple[str, ...], tuple[int, Row, float]] = {}
    for line, row in rows:
        time = number(value(row, ("Time",), file, line), f"{file}:{line}: column 'Time'")
        kind = value(row, KIND, file, line).upper()
        name = value(row, ("Behavior",), file, line)
        modifiers = [text for column, text in row.items() if column.startswith("Modifier")]
        key = (row.get("Observation id") or "", row.get("Subject") or "", name, *modifiers)
        if kind == "POINT":
            yield line, row, *around(time)
        elif kind == "START":
            if key in started:
                raise DataError(f"{file}:{line}: {name!r} starts again, though the one of line {started[key][0]} has not stopped")
            started[key] = (line, row, time)
        elif kind == "STOP":
            if key not in started:
                raise DataError(f"{file}:{line}: {name!r} stops without having started")
            first, start_row, start = started.pop(key)
            yield first, start_row, start, time
        else:
            raise DataError(f"{file}:{line}: column {KIND[0]!r} is {kind!r}, not START, STOP or POINT")
    for (_, _, name, *_), (line, _, _) in started.items():
        raise DataError(f"{file}:{line}: {name!r} starts but never stops; close it in BORIS")


def around(time: float) -> tuple[float, float]:
    start = max(0.0, time - POINT_SECONDS / 2)
    return start, start + POINT_SECONDS


def several_files(rows: list[tuple[int, Row]], file: Path) -> None:
    """Refuse an observation over several files: BORIS counts its time on from one to the next."""
    first: dict[str, str] = {}
    for line, row in rows:
        name = media_name(value(row, MEDIA, file, line))
        known = first.setdefault(row.get("Observation id") or "", name)
        if known != name:
            raise DataError(
                f"{file}:{line}: one observation over two files ({known}, {name}), whose times run on; "
                "make one observation per file in BORIS"
            )
