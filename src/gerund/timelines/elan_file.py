"""Timelines as documents of ELAN: labels as a controlled vocabulary, and how sure the model is in a tier below."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from gerund.core.errors import DataError
from gerund.core.types import Segment, Timeline
from gerund.timelines.segments import subject_of, subjects_of

NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
POINT_MILLISECONDS = 1
"""ELAN has no annotation without a length; this is how long a point is in it."""
MIME_TYPES = {".mp4": "video/mp4", ".mov": "video/quicktime", ".mpg": "video/mpeg", ".mpeg": "video/mpeg"}
VOCABULARY, UNDETERMINED = "actions", "und"
ACTION_TYPE, SCORE_TYPE = "action", "score"
ASSOCIATION = "Symbolic_Association"


def elan(timeline: Timeline, path: Path) -> str:
    """An ELAN document (EAF 3.0) with the tier `action`, or one for each subject, `action@Kim`; a point lasts a millisecond.

    Labels are the entries of a controlled vocabulary, so that ELAN offers them. Where a model is not certain of everything, each annotation
    has its score in a tier below (`score`, `score@Kim`), with three decimals, so that sorting by it puts the least sure first.
    """
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
    segments = list(enumerate(timeline.segments, start=1))
    order = ET.SubElement(document, "TIME_ORDER")
    for number, segment in segments:
        start, end = round(1000 * segment.start), round(1000 * segment.end)
        for slot, milliseconds in zip(slots_of(number), (start, max(end, start + POINT_MILLISECONDS)), strict=True):
            ET.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(milliseconds))
    entries = {label: f"entry{place}" for place, label in enumerate(vocabulary_of(timeline))}
    scored = any(segment.score < 1 for segment in timeline.segments)
    for subject in subjects_of(timeline) or [None]:
        own = [(number, segment) for number, segment in segments if subject_of(segment) == subject]
        add_actions(document, subject, own, entries, path)
        if scored:
            add_scores(document, subject, own, path)
    add_types(document, entries, path)
    ET.indent(document)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(document, encoding="unicode")}\n'


def vocabulary_of(timeline: Timeline) -> list[str]:
    """All labels that there are, those of the model first."""
    return list(dict.fromkeys([*timeline.labels, *(segment.label for segment in timeline.segments)]))


def slots_of(number: int) -> tuple[str, str]:
    return f"ts{2 * number - 1}", f"ts{2 * number}"


def tier_of(kind: str, subject: str | None, path: Path) -> dict[str, str]:
    """The attributes of a tier: its name, type and participant."""
    if subject is None:
        return {"LINGUISTIC_TYPE_REF": kind, "TIER_ID": kind}
    name = xml_text(subject, path)
    return {"LINGUISTIC_TYPE_REF": kind, "PARTICIPANT": name, "TIER_ID": f"{kind}@{name}"}


def add_actions(
    document: ET.Element, subject: str | None, segments: Sequence[tuple[int, Segment]], entries: dict[str, str], path: Path
) -> None:
    tier = ET.SubElement(document, "TIER", tier_of(ACTION_TYPE, subject, path))
    for number, segment in segments:
        first, last = slots_of(number)
        aligned = ET.SubElement(
            ET.SubElement(tier, "ANNOTATION"),
            "ALIGNABLE_ANNOTATION",
            ANNOTATION_ID=f"a{number}",
            CVE_REF=entries[segment.label],
            TIME_SLOT_REF1=first,
            TIME_SLOT_REF2=last,
        )
        ET.SubElement(aligned, "ANNOTATION_VALUE").text = xml_text(segment.label, path)


def add_scores(document: ET.Element, subject: str | None, segments: Sequence[tuple[int, Segment]], path: Path) -> None:
    parent = tier_of(ACTION_TYPE, subject, path)["TIER_ID"]
    tier = ET.SubElement(document, "TIER", tier_of(SCORE_TYPE, subject, path) | {"PARENT_REF": parent})
    for number, segment in segments:
        refers = ET.SubElement(
            ET.SubElement(tier, "ANNOTATION"), "REF_ANNOTATION", ANNOTATION_ID=f"s{number}", ANNOTATION_REF=f"a{number}"
        )
        ET.SubElement(refers, "ANNOTATION_VALUE").text = f"{segment.score:.3f}"


def add_types(document: ET.Element, entries: dict[str, str], path: Path) -> None:
    """What follows the tiers: their types, the language of the labels (not known), the constraint of the scores, and the labels."""
    plain = {"GRAPHIC_REFERENCES": "false"}
    ET.SubElement(
        document,
        "LINGUISTIC_TYPE",
        plain | {"CONTROLLED_VOCABULARY_REF": VOCABULARY, "LINGUISTIC_TYPE_ID": ACTION_TYPE, "TIME_ALIGNABLE": "true"},
    )
    ET.SubElement(
        document,
        "LINGUISTIC_TYPE",
        plain | {"CONSTRAINTS": ASSOCIATION, "LINGUISTIC_TYPE_ID": SCORE_TYPE, "TIME_ALIGNABLE": "false"},
    )
    ET.SubElement(document, "LANGUAGE", LANG_ID=UNDETERMINED, LANG_LABEL="undetermined (und)")
    ET.SubElement(document, "CONSTRAINT", STEREOTYPE=ASSOCIATION, DESCRIPTION="1-1 association with a parent annotation")
    vocabulary = ET.SubElement(document, "CONTROLLED_VOCABULARY", CV_ID=VOCABULARY)
    ET.SubElement(vocabulary, "DESCRIPTION", LANG_REF=UNDETERMINED)
    for label, name in entries.items():
        entry = ET.SubElement(vocabulary, "CV_ENTRY_ML", CVE_ID=name)
        ET.SubElement(entry, "CVE_VALUE", DESCRIPTION="", LANG_REF=UNDETERMINED).text = xml_text(label, path)


def xml_text(label: str, path: Path) -> str:
    if found := NO_XML.search(label):
        raise DataError(f"{path}: XML cannot hold the character {found[0]!r} of the label {label!r}; choose another format")
    return label
