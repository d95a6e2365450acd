"""What stats, agree and cut look at: the bouts of each video, from a model, from timelines written before, or from people's labels."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gerund.core.errors import DataError, UsageError, VideoError
from gerund.core.progress import note
from gerund.core.texts import TABLE_SUFFIXES, named_file, number, read_lines, read_table
from gerund.core.types import Segment, Timeline
from gerund.data.annotations import Annotation, confirmed
from gerund.data.datasets import load_annotations
from gerund.data.datasets.background import BACKGROUND
from gerund.data.datasets.files import head_columns, is_of_boris
from gerund.recognition.evaluate import is_model
from gerund.timelines.timeline import timeline
from gerund.video import probe
from gerund.video.header import picture_span
from gerund.video.rate import TIME_SLACK

TRAITS = ("group", "split", "by")
"""Columns of a manifest that videos can be grouped by, beside those of a table of videos."""


@dataclass(frozen=True, kw_only=True)
class Bout(Segment):
    """A found or labelled span of one subject; a point event has end == start. What people labelled has the score 1."""

    subject: str | None = None

    @property
    def seconds(self) -> float:
        return self.end - self.start

    @property
    def is_point(self) -> bool:
        return self.start == self.end


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One video: its bouts in order of time, without background, and how long it is in seconds; or why it could not be read.

    Bouts of one label and subject do not overlap. `traits` are what the video can be grouped by, column -> value.
    """

    path: Path
    bouts: Sequence[Bout] = ()
    duration: float = 0.0
    traits: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None

    @property
    def subjects(self) -> list[str | None]:
        """Who is seen, in order of their names; [None] where nobody is named."""
        named = sorted({bout.subject for bout in self.bouts if bout.subject is not None})
        return [*named, None] if not named or any(bout.subject is None for bout in self.bouts) else [*named]


def observe(what: Sequence[str | Path], *, device: str = "auto", cache: str | Path | None = None) -> list[Observation]:
    """The videos of a model and videos, or of files: timelines written before, annotation files, manifests. Each once.

    Raises UsageError for nothing, DataError for what cannot be read, and for a video that stands in two files.
    """
    if not what:
        raise UsageError("nothing is given: name a model and videos, or files with labels")
    if is_model(what[0]):
        if len(what) == 1:
            raise UsageError(f"{what[0]}: a model; name the videos to look at too")
        return [of_timeline(each) for each in timeline(what[0], what[1:], device=device, cache=cache)]
    found = [(each, str(file)) for file in what for each in read_observations(file)]
    homes: dict[Path, str] = {}
    for each, file in found:
        if homes.setdefault(each.path, file) != file:
            raise DataError(
                f"{each.path}: stands in {homes[each.path]} and in {file}; give one of them, or compare the two (agree)"
            )
    return [each for each, _ in found]


def of_timeline(found: Timeline) -> Observation:
    bouts = [Bout(start=each.start, end=each.end, label=each.label, score=each.score) for each in found.segments]
    return Observation(path=found.path, bouts=bouts, duration=found.duration, error=found.error)


def read_observations(data: str | Path) -> list[Observation]:
    """The videos of a file: what `timeline --json` and `--csv` print, .eaf, tables of BORIS, a manifest; or of `name:path`."""
    path = Path(data).expanduser()
    kind = kind_of(path)
    if kind == "json":
        return list(printed_json(path))
    if kind == "csv":
        return printed_csv(path)
    name = f"{kind}:{path}" if kind else str(data)
    return of_annotations(confirmed(load_annotations(name), data))


def kind_of(path: Path) -> str | None:
    """What a file is: json or csv, as `timeline` prints them; the name of a data set; or None for whatever `load_dataset` makes of it."""
    suffix = path.suffix.lower()
    if not path.is_file() or suffix not in (".json", ".jsonl", ".eaf", *TABLE_SUFFIXES):
        return None
    if suffix == ".eaf":
        return "elan"
    if suffix in (".json", ".jsonl"):
        head = next((line for _, line in read_lines(path)), "")
        return "json" if re.search(r'"segments"\s*:', head) or '"database"' not in path.read_text("utf-8-sig") else "activitynet"
    columns = head_columns(path)
    if "path" in columns or {"label", "start"} <= columns:  # a manifest whose videos stand under another name is told so
        return "csv" if "score" in columns else None
    return "boris" if is_of_boris(columns) else "per-frame"


def printed_json(path: Path) -> Iterator[Observation]:
    """The lines that `timeline --json` prints."""
    for line, text in read_lines(path):
        where = f"{path}:{line}"
        try:
            values = json.loads(text)
            rows = [(each["start"], each["end"], each["label"], each["score"]) for each in values["segments"]]
            video, error = named_file(path.parent, values["path"]), values.get("error")
        except (ValueError, TypeError, KeyError) as problem:
            raise DataError(f"{where}: not a line that timeline --json prints ({problem!r})") from None
        bouts = sorted((bout_in(*row, where=where) for row in rows), key=lambda bout: bout.start)
        yield Observation(
            path=video, bouts=bouts, duration=number(values.get("duration", 0), f"{where}: 'duration'"), error=error
        )


def bout_in(start: Any, end: Any, label: Any, score: Any, *, where: str) -> Bout:
    if not isinstance(label, str) or not label:
        raise DataError(f"{where}: the label is {label!r}, not a name")
    first, last = number(start, f"{where}: 'start'"), number(end, f"{where}: 'end'")
    return Bout(start=first, end=max(first, last), label=label, score=number(score, f"{where}: 'score'", most=1.0))


def printed_csv(path: Path) -> list[Observation]:
    """The table that `timeline --csv` prints. It does not tell how long the videos are: they are asked, or end with their last bout."""
    table = read_table(path, Timeline.columns, numbers=("start", "end", "score"))
    if missing := next((name for name in ("start", "end", "label") if name not in table.columns), None):
        raise DataError(f"{path}:1: no column {missing!r} (found: {', '.join(table.columns)}), as timeline --csv prints it")
    bouts: dict[Path, list[Bout]] = defaultdict(list)
    errors: dict[Path, str] = {}
    for line, row in table.rows:
        video = named_file(path.parent, row.get("path", ""))
        if row.get("error"):
            errors[video] = row["error"]
        else:
            start, end, label, score = (row.get(name) for name in ("start", "end", "label", "score"))
            bouts[video].append(bout_in(start, end, label, score, where=f"{path}:{line}"))
    return [*with_lengths(bouts), *(Observation(path=video, error=error) for video, error in errors.items())]


def of_annotations(found: Iterable[Annotation]) -> list[Observation]:
    """Labels of people, by video. Spans of one label and subject that overlap are one bout; those that only touch are two.

    Raises DataError for a span without a label.
    """
    bouts: dict[Path, list[Bout]] = defaultdict(list)
    traits: dict[Path, dict[str, str]] = defaultdict(dict)
    for each in found:
        if each.label is None:
            raise DataError(f"{each.path}: no label; numbers need one for every span")
        traits[each.path] |= {name: value for name in TRAITS if (value := getattr(each, name)) is not None}
        own = bouts[each.path]
        if each.label != BACKGROUND:
            end = math.inf if each.end is None else each.end
            own.append(Bout(start=each.start, end=end, label=each.label, score=1.0, subject=each.subject))
    return with_lengths({path: joined_bouts(own) for path, own in bouts.items()}, traits)


def with_lengths(
    bouts: Mapping[Path, Sequence[Bout]], traits: Mapping[Path, Mapping[str, str]] | None = None
) -> list[Observation]:
    """Videos whose files tell how long they are; one that is not there ends with its last bout, and a line says so."""
    found, unknown = [], []
    for path, own in bouts.items():
        length = video_seconds(path)
        if length is None:
            unknown.append(path)
            length = max((bout.end if bout.end < math.inf else bout.start + 1 for bout in own), default=0.0)
        found.append(
            Observation(path=path, bouts=before(own, length, path), duration=length, traits=(traits or {}).get(path, {}))
        )
    if unknown:
        note(
            f"{len(unknown)} of {len(found)} videos cannot tell how long they are (first {unknown[0]}): each ends with its last label."
        )
    return found


def video_seconds(path: Path) -> float | None:
    """How long a video is; None where it cannot be read."""
    try:
        return probe(path).duration or picture_span(path)[1] or None
    except VideoError:
        return None


def before(bouts: Sequence[Bout], length: float, path: Path) -> list[Bout]:
    """Bouts that end with the video; those that begin beyond its end are left out, and a line says so."""
    late = [bout for bout in bouts if bout.start > length + TIME_SLACK]
    if late:
        note(
            f"{path}: {len(late)} labelled spans begin after its end, {length:.2f} s (first at {late[0].start:.2f} s): left out."
        )
    kept = sorted((bout for bout in bouts if bout.start <= length + TIME_SLACK), key=lambda bout: bout.start)
    return [replace(bout, start=min(bout.start, length), end=min(bout.end, length)) for bout in kept]


def joined_bouts(bouts: Iterable[Bout]) -> list[Bout]:
    """Bouts in order of time, those of one label and subject that overlap made one."""
    found: list[Bout] = []
    last: dict[tuple[str, str | None], int] = {}
    for bout in sorted(bouts, key=lambda each: (each.start, each.end)):
        place = last.get((bout.label, bout.subject))
        if place is not None and bout.start < found[place].end:
            found[place] = replace(found[place], end=max(found[place].end, bout.end))
        else:
            last[bout.label, bout.subject] = len(found)
            found.append(bout)
    return found
