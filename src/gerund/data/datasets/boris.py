"""`boris`: projects (.boris) of BORIS, and event tables (.csv, .tsv, .xlsx) exported by it, tabular or aggregated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gerund.core.errors import DataError
from gerund.core.texts import LONGEST_SECONDS, TABLE_SUFFIXES, key, number, read_table, table_text
from gerund.data.annotations import Annotation
from gerund.data.datasets.boris_project import PROJECT_SUFFIX, project_rows
from gerund.data.datasets.files import annotation_files, find_video, labelled

MEDIA = ("Media file name", "Media file path", "Media file")
KIND = ("Behavior type", "Status")
OFFSET = ("Time offset (s)", "Time offset")
LENGTHS = ("Media duration (s)", "Media duration")
NO_MEDIA = ("", "na", "not found", "none")
"""What BORIS writes in the column of the media file where it found none, as for events at 0 s before version 8.9.17."""
BORIS_COLUMNS = (*MEDIA, *KIND, *OFFSET, *LENGTHS, *"Source;Observation id;Subject;Behavior;Time;Start (s);Stop (s)".split(";"))
BORIS_NUMBERS = (*OFFSET, *LENGTHS, "Time", "Start (s)", "Stop (s)")
NOBODY = "no focal subject"
"""What BORIS writes where an event has no subject."""
SLACK = 0.01
"""Seconds by which rounding may put an event before the start of its video."""


@dataclass(frozen=True, kw_only=True)
class BorisRow:
    """One line of a table: where it stands, its values, and those of the lines above the header."""

    where: str
    values: dict[str, str]

    def get(self, columns: Sequence[str]) -> str:
        return next((self.values[column] for column in columns if self.values.get(column)), "")

    def need(self, *columns: str) -> str:
        if not (found := self.get(columns)):
            raise DataError(f"{self.where}: column {columns[0]!r} is missing or empty")
        return found

    def seconds(self, column: str) -> float:
        return number(self.need(column), f"{self.where}: column {column!r}", least=-LONGEST_SECONDS)


def load(path: Path, *, split: int | None = None) -> list[Annotation]:
    """One annotation per state event (a START and its STOP, or a row with both) and per point event of a table or project, or all in a folder.

    BORIS adds the observation's time offset to its times; here it is taken off. The times of an observation over several files run
    on from one to the next; the lengths of the files in the table tell where each begins.
    """
    return [clip for file in annotation_files(path, PROJECT_SUFFIX, *TABLE_SUFFIXES) for clip in boris_clips(file)]


def boris_clips(file: Path) -> list[Annotation]:
    if file.suffix.lower() == PROJECT_SUFFIX:
        rows, aggregate = [BorisRow(where=where, values=values) for where, values in project_rows(file)], False
    else:
        rows, aggregate = event_rows(file)
    several_files(rows)
    clips = []
    for row, start, end in aggregated(rows) if aggregate else paired(rows):
        for name, first, last in in_files(row, start, end):
            video, label, subject = find_video(file, [name]), row.need("Behavior"), named_subject(row)
            clips.append(labelled(video, label, round(first, 6), round(last, 6), row.where, subject=subject))
    return clips


def named_subject(row: BorisRow) -> str | None:
    name = row.get(("Subject",))
    return None if name.lower() == NOBODY else name


def event_rows(file: Path) -> tuple[list[BorisRow], bool]:
    """Every event, and whether the table is aggregated; older versions write lines about the observation above the header."""
    text = table_text(file)
    lines = re.split(r"\r\n?|\n", text)
    wanted = (key("Time"), key("Start (s)"))
    cells = [[key(cell.strip(' "')) for cell in re.split(r"[\t,;]", line)] for line in lines]
    head = next((i for i, row in enumerate(cells) if key("Behavior") in row and any(name in row for name in wanted)), None)
    if head is None:
        raise DataError(f"{file}: no header with the columns Behavior and Time; export events as tabular CSV or TSV")
    table = read_table(file, BORIS_COLUMNS, numbers=BORIS_NUMBERS, text="\n".join(lines[head:]), above=head)
    if not table.rows:
        raise DataError(f"{file}:{head + 1}: no events below the header")
    above = told_above(lines[:head])
    return [BorisRow(where=f"{file}:{line}", values=above | values) for line, values in table.rows], "Start (s)" in table.columns


def told_above(lines: Sequence[str]) -> dict[str, str]:
    """The time offset and the media file that older versions write above the header."""
    pairs = [[cell.strip(' "') for cell in re.split(r"[\t,;]", line, maxsplit=1)] for line in lines]
    told = {}
    for name, value in (pair for pair in pairs if len(pair) == 2):
        if key(name) in map(key, OFFSET):
            told[OFFSET[0]] = re.split(r"[\t,;]", value)[0].strip(' "')
        elif key(name) == key("Player #1"):
            told["Source"] = value.strip('\t,; "')
    return told


def media_of(row: BorisRow) -> list[str]:
    """The files of the first player: `a.mp4;b.mp4` of `player #1:a.mp4;b.mp4|player #2:c.mp4`; what lies beside plays at once."""
    first = re.split(r"\|\s*player #", row.get(("Source",)), maxsplit=1, flags=re.IGNORECASE)[0]
    files = [part.strip() for part in re.sub(r"(?i)^\s*player #\d+\s*:", "", first).split(";")]
    return [name for name in files if name.lower() not in NO_MEDIA]


def media_name(row: BorisRow) -> str:
    """The file that a row names; where it names none, the only one of its source."""
    name = next((row.values[column] for column in MEDIA if row.values.get(column, "").lower() not in NO_MEDIA), "")
    name = re.sub(r"(?i)^\s*player #\d+\s*:", "", name).split(";")[0].strip() or next(iter(media_of(row)), "")
    if not name:
        raise DataError(f"{row.where}: column {MEDIA[0]!r} is missing or empty")
    return name


def lengths_of(row: BorisRow) -> list[float]:
    """Seconds of each file of the first player, [] if the table does not tell them all."""
    parts = row.get(LENGTHS).split("|")[0].split(";")
    told = [number(part, f"{row.where}: column {LENGTHS[0]!r}") for part in parts if re.search(r"\d", part)]
    return told if len(told) == len(media_of(row)) else []


def in_files(row: BorisRow, start: float, end: float) -> Iterator[tuple[str, float, float]]:
    """The files that an event lies in, with its start and end in each, without the observation's offset."""
    offset = number(row.get(OFFSET) or 0, f"{row.where}: column {OFFSET[0]!r}", least=-LONGEST_SECONDS)
    start, stop = round(start - offset, 6), round(end - offset, 6)
    if start < -SLACK:
        raise DataError(
            f"{row.where}: the event lies {-start:g} s before the start of its video (its time offset is {offset:g} s)"
        )
    start, stop = max(0.0, start), max(0.0, stop)
    names, lengths, begin = media_of(row), lengths_of(row), 0.0
    for name, length in list(zip(names, lengths, strict=True))[:-1] if len(names) > 1 else []:
        if start < begin + length and (stop > begin or start >= begin):
            yield name, max(start, begin) - begin, min(stop, begin + length) - begin
        begin += length
    if start >= begin or stop > begin:
        last = names[-1] if len(names) > 1 else media_name(row)
        yield last, max(start, begin) - begin, stop - begin


def aggregated(rows: Sequence[BorisRow]) -> Iterator[tuple[BorisRow, float, float]]:
    for row in rows:
        point = row.need(*KIND).upper() == "POINT"
        yield row, row.seconds("Start (s)"), row.seconds("Start (s)" if point else "Stop (s)")


def paired(rows: Sequence[BorisRow]) -> Iterator[tuple[BorisRow, float, float]]:
    """States from their START and STOP rows: the same observation, subject, behaviour and modifiers."""
    started: dict[tuple[str, ...], tuple[BorisRow, float]] = {}
    for row in rows:
        time, kind, name = row.seconds("Time"), row.need(*KIND).upper(), row.need("Behavior")
        modifiers = [text for column, text in row.values.items() if column.startswith("Modifier")]
        same = (row.get(("Observation id",)), row.get(("Subject",)), name, *modifiers)
        if kind == "POINT":
            yield row, time, time
        elif kind == "START":
            if same in started:
                line = started[same][0].where.rpartition(":")[2]
                raise DataError(f"{row.where}: {name!r} starts again, though the one of line {line} has not stopped")
            started[same] = (row, time)
        elif kind == "STOP":
            if same not in started:
                raise DataError(f"{row.where}: {name!r} stops without having started")
            first, start = started.pop(same)
            yield first, start, time
        else:
            raise DataError(f"{row.where}: column {KIND[0]!r} is {kind!r}, not START, STOP or POINT")
    for (_, _, name, *_), (row, _) in started.items():
        raise DataError(f"{row.where}: {name!r} starts but never stops; close it in BORIS")


def several_files(rows: Sequence[BorisRow]) -> None:
    """Refuse an observation over several files of which the table does not tell where each begins."""
    first: dict[str, str] = {}
    for row in rows:
        if len(media_of(row)) > 1 and lengths_of(row):
            continue
        name = media_name(row)
        known = first.setdefault(row.get(("Observation id",)), name)
        if known != name or len(media_of(row)) > 1:
            other = name if known != name else media_of(row)[1]
            raise DataError(
                f"{row.where}: one observation over two files ({known}, {other}), whose times run on, and no column {LENGTHS[0]!r} "
                "with the length of each; make one observation per file in BORIS"
            )
