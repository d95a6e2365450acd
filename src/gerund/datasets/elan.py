"""`elan`: annotation files (.eaf) of ELAN."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from gerund.datasets.files import ACTION_NAMES, annotation_files, attribute, find_video, labelled, number, read_xml
from gerund.errors import DataError
from gerund.progress import note
from gerund.types import Clip


def load(path: Path, *, split: int | None = None) -> list[Clip]:
    """One clip per aligned annotation of an .eaf file, or of all in a folder.

    The label is the annotation's text, or the tier's name where it is empty (one tier per action). A tier called action,
    activity, behaviour, label ... is used alone; otherwise all tiers are.
    """
    return [clip for file in annotation_files(path, ".eaf") for clip in clips_of(file)]


def clips_of(file: Path) -> list[Clip]:
    document = read_xml(file, "ANNOTATION_DOCUMENT")
    video, origin = media(document, file)
    slots = time_slots(document, file)
    clips = []
    for tier in tiers(document, file):
        name = tier.get("TIER_ID") or ""
        for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
            where = f"{file}: tier {name!r}, annotation {annotation.get('ANNOTATION_ID')!r}"
            times = []
            for end in ("TIME_SLOT_REF1", "TIME_SLOT_REF2"):
                slot = attribute(annotation, end, where)
                if slot not in slots:
                    raise DataError(f"{where}: time slot {slot!r} is not in TIME_ORDER, or has no time")
                times.append(slots[slot] + origin)
            label = (annotation.findtext("ANNOTATION_VALUE") or "").strip() or name
            clips.append(labelled(video, label, times[0], times[1], where))
    return clips


def tiers(document: ET.Element, file: Path) -> list[ET.Element]:
    """The tiers that hold classes, at least one."""
    found = [tier for tier in document.iter("TIER") if tier.find(".//ALIGNABLE_ANNOTATION") is not None]
    if not found:
        raise DataError(f"{file}: no tier with time-aligned annotations")
    named = [tier for tier in found if (tier.get("TIER_ID") or "").strip().lower() in ACTION_NAMES]
    if not named and len(found) > 1:
        names = ", ".join(tier.get("TIER_ID") or "" for tier in found)
        note(f"{file}: all tiers are used ({names}); call one of them 'action' to use it alone.")
    return named or found


def media(document: ET.Element, file: Path) -> tuple[Path, float]:
    """The video of the annotations, and the seconds at which their time 0 lies in it."""
    entries = list(document.iter("MEDIA_DESCRIPTOR"))
    entries.sort(key=lambda entry: not entry.get("MIME_TYPE", "video").startswith("video"))
    names = [entry.get(key) for entry in entries for key in ("RELATIVE_MEDIA_URL", "MEDIA_URL")]
    origin = number(entries[0].get("TIME_ORIGIN") or 0, f"{file}: TIME_ORIGIN") if entries else 0.0
    return find_video(file, names), origin / 1000


def time_slots(document: ET.Element, file: Path) -> dict[str, float]:
    """Seconds of every time slot; those without a time lie evenly between their neighbours, as ELAN shows them."""
    slots = list(document.iter("TIME_SLOT"))
    names = [attribute(slot, "TIME_SLOT_ID", file) for slot in slots]
    values = [slot.get("TIME_VALUE") for slot in slots]
    known = [i for i, value in enumerate(values) if value is not None]
    if not known:
        return {}
    times = [number(values[i], f"{file}: time slot {names[i]!r}") / 1000 for i in known]
    return dict(zip(names, np.interp(range(len(slots)), known, times).tolist(), strict=True))
