"""Timelines as files of BORIS: the table of events that it exports and imports, and projects that it opens."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gerund.core.places import free_names
from gerund.core.printing import json_text
from gerund.core.types import Segment, Timeline
from gerund.data.datasets.boris_project import PROJECT_SUFFIX
from gerund.timelines.segments import subject_of
from gerund.video.header import rate_and_sound

PROJECT_VERSION = "7.0"
"""Of the format of projects: that of BORIS 7, 8 and 9."""
NO_SUBJECT = "No focal subject"
"""How BORIS calls the lack of a subject in its tables; in its projects it is an empty text."""
PLAYERS = range(1, 9)


def one_line(label: str) -> str:
    return " ".join(label.split())


def boris(timeline: Timeline, path: Path) -> str:
    """A table of events: a START and a STOP row per segment, of a point one row; tabs, or commas in a .csv. In a .boris, a project."""
    if path.suffix.lower() == PROJECT_SUFFIX:
        return boris_project([timeline], path)
    out = io.StringIO()
    table = csv.writer(out, delimiter="," if path.suffix.lower() == ".csv" else "\t", lineterminator="\n")
    table.writerow(
        ["Observation id", "Observation duration", "Media file name", "Subject", "Behavior", "Behavior type", "Time", "Comment"]
    )
    for segment in timeline.segments:
        subject = one_line(subject_of(segment) or NO_SUBJECT)
        points = (
            (("POINT", segment.start),) if segment.start == segment.end else (("START", segment.start), ("STOP", segment.end))
        )
        for kind, seconds in points:
            shared = [timeline.path.stem, f"{timeline.duration:.3f}", str(timeline.path.resolve()), subject]
            table.writerow([*shared, one_line(segment.label), kind, f"{seconds:.3f}", comment_of(segment)])
    return out.getvalue()


def comment_of(segment: Segment) -> str:
    return f"probability {segment.score:.3f}"


def boris_project(timelines: Sequence[Timeline], path: Path) -> str:
    """A project of BORIS with an observation per video, called like it.

    A label is a state event, or a point event where it never lasts; a point of a state starts and stops at once. BORIS knows one state of a
    subject and behaviour at a time, so segments of one label and subject that overlap are one. Videos are named from the project's folder
    where they lie in it.
    """
    segments = [segment for each in timelines for segment in each.segments]
    labels = dict.fromkeys(one_line(label) for each in timelines for label in each.labels)
    labels |= dict.fromkeys(one_line(segment.label) for segment in segments)
    lasting = {one_line(segment.label) for segment in segments if segment.start < segment.end}
    points = {one_line(segment.label) for segment in segments} - lasting
    subjects = sorted({one_line(subject) for segment in segments if (subject := subject_of(segment))})
    names = [place.name for place in free_names(Path(), "", [one_line(each.path.stem) for each in timelines])]
    project = {
        "time_format": "hh:mm:ss",
        "project_date": written_at(),
        "project_name": path.stem,
        "project_description": "written by gerund",
        "project_format_version": PROJECT_VERSION,
        "subjects_conf": numbered({"key": "", "name": subject, "description": ""} for subject in subjects),
        "behaviors_conf": numbered(behaviour(label, "Point event" if label in points else "State event") for label in labels),
        "observations": {name: observation(each, points, path) for name, each in zip(names, timelines, strict=True)},
        "behavioral_categories": [],
        "independent_variables": {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "converters": {},
    }
    return json_text(project, indent=1) + "\n"


def written_at() -> str:
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds")


def numbered(values: Any) -> dict[str, Any]:
    return {str(number): value for number, value in enumerate(values)}


def behaviour(label: str, kind: str) -> dict[str, str]:
    empty = dict.fromkeys(("key", "description", "category", "modifiers", "excluded", "coding map"), "")
    return empty | {"type": kind, "code": label}


def observation(timeline: Timeline, points: set[str], path: Path) -> dict[str, Any]:
    """One video and its events."""
    video, folder = timeline.path.resolve(), path.parent.resolve()
    media = video.relative_to(folder).as_posix() if video.is_relative_to(folder) else str(video)
    fps, sound = rate_and_sound(timeline.path)
    return {
        "file": {str(player): [media] if player == 1 else [] for player in PLAYERS},
        "type": "MEDIA",
        "date": written_at(),
        "description": "",
        "time offset": 0.0,
        "events": events_of(timeline.segments, points),
        "observation time interval": [0, 0],
        "independent_variables": {},
        "media_info": {
            "length": {media: round(timeline.duration, 3)},
            "fps": {media: round(fps, 3)},
            "hasVideo": {media: True},
            "hasAudio": {media: sound},
            "offset": {"1": 0.0},
        },
        "visualize_spectrogram": False,
        "visualize_waveform": False,
        "close_behaviors_between_videos": False,
    }


def events_of(segments: Sequence[Segment], points: set[str]) -> list[list[Any]]:
    """Time, subject, behaviour, modifiers and comment of each event, in order of time; what stops comes before what starts."""
    last: dict[tuple[str, str], list[list[Any]]] = {}
    events = []
    for each in sorted(segments, key=lambda segment: (segment.start, segment.end)):
        subject, label = one_line(subject_of(each) or ""), one_line(each.label)
        start, end = ([round(seconds, 3), subject, label, "", comment_of(each)] for seconds in (each.start, each.end))
        if label in points:
            events.append([start])
        elif (before := last.get((subject, label))) and start[0] < before[1][0]:
            before[1][0] = max(before[1][0], end[0])
        else:
            events.append([start, end])
            last[subject, label] = events[-1]
    return sorted((event for pair in events for event in pair), key=lambda event: event[0])
