"""Unlabelled time as a class of its own, for who wants to find actions in long videos."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from gerund.core.errors import VideoError
from gerund.core.progress import note
from gerund.core.types import Clip
from gerund.video.header import picture_span

BACKGROUND = "background"
SHORTEST = 0.5
"""Seconds; a shorter gap between two labelled spans is their edge, not background."""


def with_background(clips: Sequence[Clip]) -> list[Clip]:
    """The clips, and one of class `background` for every unlabelled span of their videos, with the split and group of the video.

    A long span is cut into equal parts, none longer than the longest labelled clip, so that the classes look alike in time.
    """
    longest = max((clip.end - clip.start for clip in clips if clip.end is not None), default=0.0)
    by_video: dict[Path, list[Clip]] = defaultdict(list)
    for clip in clips:
        by_video[clip.path].append(clip)
    added = []
    for path, own in by_video.items():
        if not any(clip.start == 0 and clip.end is None for clip in own):
            for start, end in gaps(own, *pictures_of(path)):
                side = {"split": own[0].split, "group": own[0].group}
                added += [Clip(path=path, label=BACKGROUND, start=a, end=b, **side) for a, b in parts(start, end, longest)]
    if not added:
        note("--background: no unlabelled time; every video is labelled as a whole.")
    return [*clips, *added]


def pictures_of(path: Path) -> tuple[float, float]:
    """The seconds at which a video's pictures begin and end, by its packets, since headers can lie; 0 and 0, with a note, when it cannot
    be read."""
    try:
        return picture_span(path)
    except VideoError as error:
        note(f"--background: {error}; nothing is added.")
        return 0.0, 0.0


def gaps(clips: Sequence[Clip], begin: float, end: float) -> Iterator[tuple[float, float]]:
    """Spans between `begin` and `end` that no clip covers, SHORTEST seconds or more."""
    covered = begin
    for clip in sorted(clips, key=lambda clip: clip.start):
        if min(clip.start, end) - covered >= SHORTEST:
            yield covered, min(clip.start, end)
        covered = max(covered, float("inf") if clip.end is None else clip.end)
    if end - covered >= SHORTEST:
        yield covered, end


def parts(start: float, end: float, longest: float) -> list[tuple[float, float]]:
    """A span cut into equal parts of at most `longest` seconds; 0 cuts nothing."""
    count = -int(-(end - start) // longest) if longest else 1
    edges = [round(start + (end - start) * i / count, 3) for i in range(count + 1)]
    return list(pairwise(edges))
