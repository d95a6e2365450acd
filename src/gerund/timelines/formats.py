"""Timelines as files of other tools: subtitles, ActivityNet, ELAN, BORIS. What is written, `gerund.data.datasets` reads back."""

from __future__ import annotations

import csv
import io
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gerund.core.errors import DataError
from gerund.core.printing import json_text
from gerund.core.progress import note
from gerund.core.types import Segment, Timeline
from gerund.data.datasets.background import BACKGROUND
from gerund.video.header import picture_times
from gerund.video.rate import TIME_SLACK

NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
SRT_TAG = re.compile(r"<(?=[\s/]*(?:b|i|u|s|font)\b)", re.IGNORECASE)
"""Where a tag begins that formats text in SubRip files."""
POINT_MILLISECONDS = 1
"""ELAN has no annotation without a length; this is how long a point is in it."""
MIME_TYPES = {".mp4": "video/mp4", ".mov": "video/quicktime", ".mpg": "video/mpeg", ".mpeg": "video/mpeg"}


class FileFormat(NamedTuple):
    """A way to write a timeline: the suffixes it may have, the usual one first, and the text of the file."""

    suffixes: tuple[str, ...]
    text: Callable[[Timeline, Path], str]


def clock(seconds: float, point: str) -> str:
    """01:02:03.456, with `point` before the milliseconds."""
    thousandths = round(1000 * seconds)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def one_line(label: str) -> str:
    return " ".join(label.split())


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


def elan(timeline: Timeline, path: Path) -> str:
    """An ELAN document (EAF 3.0) with the tier `action`, or one for each subject, `action@Kim`; a point lasts a millisecond."""
    document = ET.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "gerund",
            "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    header = ET.SubElement(document, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    video = timeline.path.resolve()
    relative = Path(os.path.relpath(video, path.parent.resolve())).as_posix()
    kind = MIME_TYPES.get(video.suffix.lower(), "video/*")
    ET.SubElement(header, "MEDIA_DESCRIPTOR", MEDIA_URL=video.as_uri(), MIME_TYPE=kind, RELATIVE_MEDIA_URL=f"./{relative}")
    order = ET.SubElement(document, "TIME_ORDER")
    tiers = {subject: elan_tier(document, subject, path) for subject in subjects_of(timeline) or [None]}
    for number, segment in enumerate(timeline.segments, start=1):
        slots = (f"ts{2 * number - 1}", f"ts{2 * number}")
        start, end = round(1000 * segment.start), round(1000 * segment.end)
        for slot, milliseconds in zip(slots, (start, max(end, start + POINT_MILLISECONDS)), strict=True):
            ET.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(milliseconds))
        annotation = ET.SubElement(tiers[subject_of(segment)], "ANNOTATION")
        aligned = ET.SubElement(
            annotation, "ALIGNABLE_ANNOTATION", ANNOTATION_ID=f"a{number}", TIME_SLOT_REF1=slots[0], TIME_SLOT_REF2=slots[1]
        )
        ET.SubElement(aligned, "ANNOTATION_VALUE").text = xml_text(segment.label, path)
    ET.SubElement(document, "LINGUISTIC_TYPE", GRAPHIC_REFERENCES="false", LINGUISTIC_TYPE_ID="default-lt", TIME_ALIGNABLE="true")
    ET.indent(document)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(document, encoding="unicode")}\n'


def elan_tier(document: ET.Element, subject: str | None, path: Path) -> ET.Element:
    if subject is None:
        return ET.SubElement(document, "TIER", LINGUISTIC_TYPE_REF="default-lt", TIER_ID="action")
    name = xml_text(subject, path)
    return ET.SubElement(document, "TIER", LINGUISTIC_TYPE_REF="default-lt", PARTICIPANT=name, TIER_ID=f"action@{name}")


def subject_of(segment: Segment) -> str | None:
    """Whom a segment shows; only those that people labelled say so."""
    return getattr(segment, "subject", None)


def subjects_of(timeline: Timeline) -> list[str | None]:
    """Everybody who is named, and None where a segment names nobody."""
    return sorted({subject_of(each) for each in timeline.segments}, key=lambda name: (name is None, name))


def xml_text(label: str, path: Path) -> str:
    if found := NO_XML.search(label):
        raise DataError(f"{path}: XML cannot hold the character {found[0]!r} of the label {label!r}; choose another format")
    return label


def boris(timeline: Timeline, path: Path) -> str:
    """The table of events that BORIS exports and imports: a START and a STOP row per segment, of a point one row; tabs, or commas in a .csv."""
    out = io.StringIO()
    table = csv.writer(out, delimiter="," if path.suffix.lower() == ".csv" else "\t", lineterminator="\n")
    table.writerow(
        ["Observation id", "Observation duration", "Media file name", "Subject", "Behavior", "Behavior type", "Time", "Comment"]
    )
    for segment in timeline.segments:
        subject = one_line(subject_of(segment) or "No focal subject")
        points = (
            (("POINT", segment.start),) if segment.start == segment.end else (("START", segment.start), ("STOP", segment.end))
        )
        for kind, seconds in points:
            shared = [timeline.path.stem, f"{timeline.duration:.3f}", str(timeline.path.resolve()), subject]
            table.writerow([*shared, one_line(segment.label), kind, f"{seconds:.3f}", f"probability {segment.score:.3f}"])
    return out.getvalue()


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
    "boris": FileFormat((".tsv", ".csv"), boris),
    "per_frame": FileFormat((".csv",), per_frame),
    "per_step": FileFormat((".csv",), per_step),
}
