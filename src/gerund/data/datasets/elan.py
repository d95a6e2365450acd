"""`elan`: annotation files (.eaf) of ELAN."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from gerund.core.errors import DataError
from gerund.core.progress import note
from gerund.core.texts import LONGEST_SECONDS, number
from gerund.data.annotations import Annotation
from gerund.data.datasets.files import ACTION_NAMES, annotation_files, attribute, find_video, labelled, read_xml, video_beside

POINT_LENGTH = 0.001 + 1e-9
"""Seconds: ELAN has no annotation without a length, so one of a millisecond is a point event."""
ALIGNED, REFERRING = "ALIGNABLE_ANNOTATION", "REF_ANNOTATION"

TimeSpan = tuple[float, float]


def load(path: Path, *, split: int | None = None) -> list[Annotation]:
    """One annotation per annotation of an .eaf file, or of all in a folder.

    The label is the annotation's text, or the tier's name where it is empty (one tier per action). A tier called action,
    activity, behaviour, label ... is used alone; otherwise all tiers are. The subject is the tier's participant, as in `action@Kim`.
    Annotations that refer to others have the times of these, several of one shared out evenly; time slots without a time lie evenly
    between those of their own tier, as ELAN shows them.
    """
    clips = [clip for file in annotation_files(path, ".eaf") for clip in elan_clips(file)]
    if not clips:
        raise DataError(f"{path}: the tiers that hold the classes are empty")
    return clips


def elan_clips(file: Path) -> list[Annotation]:
    document = read_xml(file, "ANNOTATION_DOCUMENT")
    units = next((header.get("TIME_UNITS") for header in document.iter("HEADER")), None) or "milliseconds"
    if units != "milliseconds":
        raise DataError(f"{file}: its times are {units}, not milliseconds; save it anew in ELAN")
    video, origin = media(document, file)
    spans, words = spans_of(document, file), vocabulary(document)
    clips = []
    for tier in tiers(document, file):
        name = tier.get("TIER_ID") or ""
        subject = tier.get("PARTICIPANT") or name.partition("@")[2]
        for annotation in entries_of(tier):
            start, end = spans[attribute(annotation, "ANNOTATION_ID", file)]
            text = annotation.findtext("ANNOTATION_VALUE") or words.get(annotation.get("CVE_REF") or "", "")
            where = place(file, tier, annotation)
            end = start if end - start <= POINT_LENGTH else end
            clips.append(labelled(video, text.strip() or name, start + origin, end + origin, where, subject=subject.strip()))
    return clips


def entries_of(tier: ET.Element) -> Iterator[ET.Element]:
    """The annotations of a tier, of both kinds."""
    for each in tier.iter():
        if each.tag in (ALIGNED, REFERRING):
            yield each


def place(file: Path, tier: ET.Element, annotation: ET.Element) -> str:
    return f"{file}: tier {tier.get('TIER_ID') or ''!r}, annotation {annotation.get('ANNOTATION_ID')!r}"


def tiers(document: ET.Element, file: Path) -> list[ET.Element]:
    """The tiers that hold classes; those that are called so also where they are empty."""
    found = list(document.iter("TIER"))
    used = [tier for tier in found if next(entries_of(tier), None) is not None]
    if not used:
        raise DataError(f"{file}: no tier with annotations")
    named = [tier for tier in found if (tier.get("TIER_ID") or "").partition("@")[0].strip().lower() in ACTION_NAMES]
    if named and not set(named) & set(used):
        note(f"{file}: the tier {named[0].get('TIER_ID')!r} is empty; the file gives no clips.")
    if not named and len(used) > 1:
        names = ", ".join(tier.get("TIER_ID") or "" for tier in used)
        note(f"{file}: all tiers are used ({names}); call one of them 'action' to use it alone.")
    return named or used


def media(document: ET.Element, file: Path) -> tuple[Path, float]:
    """The video of the annotations, and the seconds at which their time 0 lies in it."""
    entries = list(document.iter("MEDIA_DESCRIPTOR"))
    entries.sort(key=lambda entry: not entry.get("MIME_TYPE", "video").startswith("video"))
    names = [[entry.get(key) for key in ("RELATIVE_MEDIA_URL", "MEDIA_URL")] for entry in entries]
    for entry, each in zip(entries, names, strict=True):
        if found := video_beside(file, each):
            return found, number(entry.get("TIME_ORIGIN") or 0, f"{file}: TIME_ORIGIN", most=1000 * LONGEST_SECONDS) / 1000
    return find_video(file, [name for each in names for name in each]), 0.0


def spans_of(document: ET.Element, file: Path) -> dict[str, TimeSpan]:
    """Start and end of every annotation in seconds, those of a tier after those of the tier that it depends on."""
    order, times = time_slots(document, file)
    spans: dict[str, TimeSpan] = {}
    for tier in parents_first(list(document.iter("TIER")), file):
        aligned = list(tier.iter(ALIGNED))
        ends = [
            [slot_of(annotation, end, order, place(file, tier, annotation)) for end in ("TIME_SLOT_REF1", "TIME_SLOT_REF2")]
            for annotation in aligned
        ]
        times |= between({slot for slots in ends for slot in slots}, order, times, f"{file}: tier {tier.get('TIER_ID')!r}")
        for annotation, (start, end) in zip(aligned, ends, strict=True):
            spans[attribute(annotation, "ANNOTATION_ID", file)] = times[start], times[end]
        spans |= shared_out(tier, spans, file)
    return spans


def parents_first(found: Sequence[ET.Element], file: Path) -> list[ET.Element]:
    """The tiers in such an order that one comes after the tier that it depends on (PARENT_REF)."""
    below: dict[str | None, list[ET.Element]] = defaultdict(list)
    for tier in found:
        below[tier.get("PARENT_REF") or None].append(tier)
    ordered = list(below.pop(None, []))
    for tier in ordered:  # which grows while it is gone through
        ordered += below.pop(tier.get("TIER_ID"), [])
    if below:
        lost = next(iter(below.values()))[0]
        raise DataError(
            f"{file}: tier {lost.get('TIER_ID')!r} depends on {lost.get('PARENT_REF')!r}, which is not there or depends on it"
        )
    return ordered


def time_slots(document: ET.Element, file: Path) -> tuple[dict[str, int], dict[str, float]]:
    """The place of every time slot in their order, and the seconds of those that have a time."""
    slots = list(document.iter("TIME_SLOT"))
    order = {attribute(slot, "TIME_SLOT_ID", file): index for index, slot in enumerate(slots)}
    times = {}
    for slot in slots:
        name, value = attribute(slot, "TIME_SLOT_ID", file), slot.get("TIME_VALUE")
        if value is not None:
            times[name] = number(value, f"{file}: time slot {name!r}", most=1000 * LONGEST_SECONDS) / 1000
    return order, times


def slot_of(annotation: ET.Element, end: str, order: Mapping[str, int], where: str) -> str:
    slot = attribute(annotation, end, where)
    if slot not in order:
        raise DataError(f"{where}: time slot {slot!r} is not in TIME_ORDER")
    return slot


def between(slots: set[str], order: Mapping[str, int], times: Mapping[str, float], where: str) -> dict[str, float]:
    """TimeSpan of a tier's slots without a time: evenly between those of the tier that have one."""
    chain = sorted(slots, key=lambda slot: order[slot])
    known = [index for index, slot in enumerate(chain) if slot in times]
    if chain and (not known or known[0] > 0 or known[-1] < len(chain) - 1):
        lost = chain[0] if not known or known[0] > 0 else chain[-1]
        raise DataError(f"{where}: time slot {lost!r} has no time, nor has one before and one after it in this tier")
    spread = np.interp(range(len(chain)), known, [times[chain[index]] for index in known]).tolist() if chain else []
    return {slot: spread[index] for index, slot in enumerate(chain) if slot not in times}


def shared_out(tier: ET.Element, spans: Mapping[str, TimeSpan], file: Path) -> dict[str, TimeSpan]:
    """Spans of a tier's annotations that refer to others: the other's, in equal parts where several refer to the same."""
    groups: dict[str, list[ET.Element]] = defaultdict(list)
    for annotation in tier.iter(REFERRING):
        where = place(file, tier, annotation)
        parent = attribute(annotation, "ANNOTATION_REF", where)
        if parent not in spans:
            raise DataError(f"{where}: it refers to {parent!r}, which is no annotation of a tier above")
        groups[parent].append(annotation)
    found = {}
    for parent, members in groups.items():
        start, end = spans[parent]
        edges = np.linspace(start, end, len(members) + 1).tolist()
        for index, annotation in enumerate(in_turn(members, f"{file}: tier {tier.get('TIER_ID')!r}")):
            found[attribute(annotation, "ANNOTATION_ID", file)] = edges[index], edges[index + 1]
    return found


def in_turn(members: Sequence[ET.Element], where: str) -> list[ET.Element]:
    """Annotations of one parent in the order that PREVIOUS_ANNOTATION tells; as they are written where it tells none."""
    if not any(annotation.get("PREVIOUS_ANNOTATION") for annotation in members):
        return list(members)
    after = {annotation.get("PREVIOUS_ANNOTATION"): annotation for annotation in members}
    ordered: list[ET.Element] = []
    while len(ordered) < len(members):
        following = after.pop(ordered[-1].get("ANNOTATION_ID") if ordered else None, None)
        if following is None:
            raise DataError(f"{where}: its annotations do not follow each other (PREVIOUS_ANNOTATION)")
        ordered.append(following)
    return ordered


def vocabulary(document: ET.Element) -> dict[str, str]:
    """The texts of the entries of controlled vocabularies."""
    entries = document.iter("CV_ENTRY_ML")
    return {entry.get("CVE_ID") or "": (entry.findtext("CVE_VALUE") or "").strip() for entry in entries}
