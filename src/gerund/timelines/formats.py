"""Timelines as files of other tools: subtitles, ActivityNet, ELAN, BORIS. What is written, `gerund.data.datasets` reads back."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gerund.core.places import files_for
from gerund.core.printing import json_text
from gerund.core.progress import note
from gerund.core.types import Timeline
from gerund.data.datasets.background import BACKGROUND
from gerund.data.datasets.boris_project import PROJECT_SUFFIX
from gerund.timelines.boris_files import boris, boris_project, one_line
from gerund.timelines.elan_file import elan
from gerund.timelines.segments import subject_of
from gerund.video.header import picture_times
from gerund.video.rate import TIME_SLACK

SRT_TAG = re.compile(r"<(?=[\s/]*(?:b|i|u|s|font)\b)", re.IGNORECASE)
"""Where a tag begins that formats text in SubRip files."""


class FileFormat(NamedTuple):
    """A way to write a timeline: the suffixes it may have, the usual one first, and the text of the file.

    `together` is the text of one file for several videos, where the format has such a thing: a project, with PROJECT_SUFFIX.
    """

    suffixes: tuple[str, ...]
    text: Callable[[Timeline, Path], str]
    together: Callable[[Sequence[Timeline], Path], str] | None = None

    def holds_all(self, place: Path) -> bool:
        """Whether `place` is one file for all videos."""
        return self.together is not None and place.suffix.lower() == PROJECT_SUFFIX


def texts_of(kind: FileFormat, flag: str, place: Path, timelines: Sequence[Timeline]) -> Iterator[tuple[Path, str]]:
    """The files that an option asks for at a place, and their texts: one of all videos, or one of each. Raises as `files_for` does."""
    names = [each.path.stem for each in timelines]
    if kind.together is not None and kind.holds_all(place):
        (file,) = files_for(flag, place, (PROJECT_SUFFIX,), names[:1])
        yield file, kind.together(timelines, file)
    else:
        for each, file in zip(timelines, files_for(flag, place, kind.suffixes, names), strict=True):
            yield file, kind.text(each, file)


def clock(seconds: float, point: str) -> str:
    """01:02:03.456, with `point` before the milliseconds."""
    thousandths = round(1000 * seconds)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def srt_text(label: str) -> str:
    """A label as one line of a SubRip cue. The format can escape nothing, so what players act on is written a little differently."""
    text = one_line(label).replace("-->", "->").replace("{\\", "{ \\")
    return SRT_TAG.sub("\u2039", text)


def srt(timeline: Timeline, path: Path) -> str:
    """SubRip subtitles."""
    return "".join(
        f"{number}\n{clock(each.start, ',')} --> {clock(each.end, ',')}\n{srt_text(each.label)}\n\n"
        for number, each in enumerate(timeline.segments, start=1)
    )


def vtt(timeline: Timeline, path: Path) -> str:
    """WebVTT subtitles."""
    cues = (
        f"{clock(each.start, '.')} --> {clock(each.end, '.')}\n{vtt_text(one_line(each.label))}\n\n" for each in timeline.segments
    )
    return "WEBVTT\n\n" + "".join(cues)


def vtt_text(label: str) -> str:
    return label.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def activitynet(timeline: Timeline, path: Path) -> str:
    """The database of ActivityNet (Caba Heilbron et al. 2015) with this one video, under its name without suffix, and scores."""
    annotations = [
        {"segment": [round(each.start, 3), round(each.end, 3)], "label": each.label, "score": round(each.score, 6)}
        for each in timeline.segments
    ]
    entry = {"duration": round(timeline.duration, 3), "subset": "training", "annotations": annotations}
    values = {"version": "gerund", "database": {timeline.path.stem.removeprefix("v_"): entry}}
    return json_text(values, indent=2) + "\n"


def csv_text(timeline: Timeline, path: Path) -> str:
    """The table that `gerund timeline --csv` prints."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(timeline.columns)
    table.writerows(timeline.as_rows())
    return out.getvalue()


def per_frame(timeline: Timeline, path: Path) -> str:
    """A row per picture of the video and a column per label, 1 while it is on: DeepEthogram's labels, with its column `background`.

    A picture has the labels that are on when it comes on screen. Subjects are lost, and a point is a picture long; a line says so.
    """
    times = np.array(picture_times(timeline.path))
    labels = list(dict.fromkeys([*timeline.labels, *(each.label for each in timeline.segments)]))
    labels = [label for label in labels if label != BACKGROUND]
    on = np.zeros((len(times), len(labels)), int)
    for each in timeline.segments:
        if each.label == BACKGROUND:
            continue
        first, end = np.searchsorted(times, (each.start - TIME_SLACK, each.end - TIME_SLACK)).tolist()
        if each.start == each.end:
            end = max(1, int(np.searchsorted(times, each.start + TIME_SLACK)))
            first = end - 1
        on[first:end, labels.index(each.label)] = 1
    if any(subject_of(each) for each in timeline.segments):
        note(f"{path}: a table per picture holds no subjects; they are left out.")
    if any(each.start == each.end for each in timeline.segments):
        note(f"{path}: a table per picture holds no point events; each is a picture long.")
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["", BACKGROUND, *labels])
    table.writerows([number, int(not row.any()), *row.tolist()] for number, row in enumerate(on))
    return out.getvalue()


def per_step(timeline: Timeline, path: Path) -> str:
    """A row per time step: its time in seconds, and the probability of each label."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["time", *(f"Probability_{one_line(label)}" for label in timeline.labels)])
    table.writerows(
        [f"{time:.6f}", *(f"{score:.6f}" for score in row)] for time, row in zip(timeline.pts, timeline.scores, strict=True)
    )
    return out.getvalue()


TIMELINE_FORMATS: dict[str, FileFormat] = {
    "srt": FileFormat((".srt",), srt),
    "vtt": FileFormat((".vtt",), vtt),
    "activitynet": FileFormat((".json",), activitynet),
    "elan": FileFormat((".eaf",), elan),
    "boris": FileFormat((".tsv", ".csv", PROJECT_SUFFIX), boris, boris_project),
    "per_frame": FileFormat((".csv",), per_frame),
    "per_step": FileFormat((".csv",), per_step),
}
