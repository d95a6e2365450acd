"""Spans of different labels that overlap in one video: a recogniser answers one label at a time, so training refuses or resolves them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from gerund.core.errors import DataError
from gerund.core.progress import note
from gerund.core.types import Clip
from gerund.data.annotations import Annotation, AnyClip
from gerund.video.rate import TIME_SLACK

Overlap = Literal["first", "longest"]


def of_subject(found: Sequence[AnyClip], subject: str, where: object) -> list[AnyClip]:
    """The spans of one subject. Raises DataError when there is none."""
    chosen = [each for each in found if getattr(each, "subject", None) == subject]
    if not chosen:
        known = sorted({each.subject for each in found if isinstance(each, Annotation) and each.subject})
        raise DataError(f"{where}: no span of the subject {subject!r} ({', '.join(known) or 'none is named'})")
    if len(chosen) < len(found):
        note(f"{where}: {len(chosen)} spans of {subject!r} are used; left out: {len(found) - len(chosen)} of others.")
    return chosen


def apart(found: Sequence[AnyClip], overlap: Overlap | None) -> list[AnyClip]:
    """The spans without those of different labels at one time; point events may lie anywhere.

    With `overlap`, the span that begins first, or the longest, keeps its time, and others what is left of theirs. Raises DataError for
    overlapping spans of different subjects, and of one subject without `overlap`.
    """
    by_video: dict[Path, list[AnyClip]] = defaultdict(list)
    for each in found:
        by_video[each.path].append(each)
    kept: list[AnyClip] = []
    changed = 0
    for own in by_video.values():
        pair = overlapping(own)
        if pair is None:
            kept += own
            continue
        refuse(pair, own, overlap)
        resolved = without_overlaps(own, overlap or "first")
        changed += len([each for each in own if each not in resolved])
        kept += resolved
    if changed:
        note(f"--overlap {overlap}: {changed} spans give time up to others.")
    return kept


def tell_overlaps(found: Sequence[Clip]) -> None:
    """A line about videos in which spans of different labels overlap, as training would refuse them."""
    by_video: dict[Path, list[Clip]] = defaultdict(list)
    for each in found:
        by_video[each.path].append(each)
    pairs = [pair for own in by_video.values() if (pair := overlapping(own)) is not None]
    if pairs:
        where = f"{len(pairs)} of {len(by_video)} videos"
        spans = " and ".join(f"{each.label!r} from {each.start:g} s" for each in pairs[0])
        note(
            f"Spans of different labels overlap in {where} (first {pairs[0][0].path}: {spans}); train asks for --overlap or --subject."
        )


def is_timed(each: AnyClip) -> bool:
    return not (isinstance(each, Annotation) and each.is_point)


def end_of(each: AnyClip) -> float:
    return float("inf") if each.end is None else each.end


def overlapping(found: Sequence[AnyClip]) -> tuple[AnyClip, AnyClip] | None:
    """Two spans of different labels that share time, the first such pair."""
    last: dict[str | None, AnyClip] = {}
    for each in sorted(filter(is_timed, found), key=lambda each: each.start):
        for label, other in last.items():
            if label != each.label and each.start < end_of(other) - TIME_SLACK:
                return other, each
        if each.label not in last or end_of(each) > end_of(last[each.label]):
            last[each.label] = each
    return None


def refuse(pair: tuple[AnyClip, AnyClip], own: Sequence[AnyClip], overlap: Overlap | None) -> None:
    subjects = sorted({each.subject or "" for each in own if isinstance(each, Annotation)} - {""})
    first, second = (f"{each.label!r} [{each.start:g} .. {'end' if each.end is None else f'{each.end:g} s'}]" for each in pair)
    problem = f"{pair[0].path}: {first} and {second} overlap, and a recogniser answers one label at a time"
    if len(subjects) > 1:
        raise DataError(f"{problem}; train on one of its subjects ({', '.join(subjects)}): --subject {subjects[0]}")
    if overlap is None:
        raise DataError(f"{problem}; say which keeps the time: --overlap first or longest")


def without_overlaps(found: Sequence[AnyClip], overlap: Overlap) -> list[AnyClip]:
    """Spans in their rank, each with what those before it, of other labels, have left of its time: nothing, or one or more pieces."""
    ranked = sorted(found, key=lambda each: each.start if overlap == "first" else each.start - end_of(each))
    kept: list[AnyClip] = []
    for each in ranked:
        pieces = [(each.start, end_of(each))]
        for other in kept if is_timed(each) else ():
            if other.label != each.label and is_timed(other):
                pieces = [part for piece in pieces for part in outside(piece, (other.start, end_of(other)))]
        for start, end in pieces:
            kept.append(
                each
                if (start, end) == (each.start, end_of(each))
                else replace(each, start=start, end=None if end == float("inf") else end)
            )
    return sorted(kept, key=lambda each: each.start)


def outside(piece: tuple[float, float], taken: tuple[float, float]) -> list[tuple[float, float]]:
    """What is left of a span once another is taken out of it; slivers within rounding are dropped."""
    parts = [(piece[0], min(piece[1], taken[0])), (max(piece[0], taken[1]), piece[1])]
    return [(start, end) for start, end in parts if end - start > TIME_SLACK]
