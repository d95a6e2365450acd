"""What may be done to labels and bouts: each function gives an operation, of which `Project.perform` makes an edit that can be undone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from gerund.core.errors import DataError
from gerund.core.types import Segment
from gerund.data.datasets.background import BACKGROUND
from gerund.labelling.bouts import Footage, Label, LabelledBout, added, changed, cleaned, make_room, removed
from gerund.labelling.journal import Change
from gerund.labelling.project import Operation, Snapshot, new_name, now

DIGITS = "123456789"
NOTHING_HERE = "nothing"
"""Name of the label for time in which nothing happens; its text is BACKGROUND, its key 0."""
END_SLACK = 0.5
"""Seconds that a bout may reach beyond the end of its video, whose length is known to about a picture."""


class NotThereError(DataError):
    """Something that is asked for by its name and is not, or no longer, in the project."""


def label_named(state: Snapshot, name: str) -> Label:
    if name not in state.labels:
        raise NotThereError(f"label {name[:40]!r}: not there (any more)")
    return state.labels[name]


def bout_named(state: Snapshot, name: str) -> LabelledBout:
    if name not in state.bouts:
        raise NotThereError(f"bout {name[:40]!r}: not there (any more)")
    return state.bouts[name]


def video_named(state: Snapshot, name: str) -> Footage:
    if name not in state.videos:
        raise NotThereError(f"video {name[:40]!r}: not there (any more)")
    return state.videos[name]


def new_label(state: Snapshot, text: str, name: str = "") -> Label:
    """A label with the next free digit and colour. Raises DataError for an empty text, or one that is there."""
    text = cleaned(text)
    if not text:
        raise DataError("a label needs a name")
    if any(label.text.casefold() == text.casefold() for label in state.labels.values()):
        raise DataError(f"label {text!r}: there is one already")
    taken = {label.key for label in state.labels.values()}
    key = "0" if text == BACKGROUND else next((digit for digit in DIGITS if digit not in taken), "")
    place = max((label.place for label in state.labels.values()), default=-1) + (text != BACKGROUND)
    return Label(name=name or (NOTHING_HERE if text == BACKGROUND else new_name()), text=text, key=key, place=max(place, 0))


def add_label(text: str, *, name: str = "") -> Operation:
    return lambda state: (f"label {cleaned(text)} made", [added(new_label(state, text, name))])


def rename_label(name: str, text: str) -> Operation:
    """Give a label another text; where there is one with it, the two become one."""

    def operation(state: Snapshot) -> tuple[str, list[Change]]:
        label, wanted = label_named(state, name), cleaned(text)
        other = next((each for each in state.labels.values() if each.text.casefold() == wanted.casefold()), None)
        if not wanted or label.name == NOTHING_HERE:
            raise DataError("a label needs a name" if not wanted else "time in which nothing happens keeps its name")
        if other is None or other.name == label.name:
            return f"{label.text} renamed to {wanted}", [changed(label, replace(label, text=wanted))]
        moved = [changed(bout, replace(bout, label=other.name)) for bout in state.bouts.values() if bout.label == name]
        return f"{label.text} joined with {other.text}", [*moved, removed(label)]

    return operation


def remove_label(name: str) -> Operation:
    """Take a label away, and all bouts that have it."""

    def operation(state: Snapshot) -> tuple[str, list[Change]]:
        label = label_named(state, name)
        bouts = [bout for bout in state.bouts.values() if bout.label == name]
        return f"{label.text} removed, with {len(bouts)} bouts", [*(removed(bout) for bout in bouts), removed(label)]

    return operation


def give_key(name: str, key: str) -> Operation:
    """Let a digit stand for a label; whichever had it before gets the digit that becomes free."""

    def operation(state: Snapshot) -> tuple[str, list[Change]]:
        label = label_named(state, name)
        if key not in DIGITS or len(key) != 1:
            raise DataError(f"key {key[:10]!r}: choose a digit from 1 to 9")
        others = [each for each in state.labels.values() if each.key == key and each.name != name]
        changes = [changed(each, replace(each, key=label.key)) for each in others]
        return f"{label.text} is {key}", [*changes, changed(label, replace(label, key=key))]

    return operation


def checked_span(video: Footage, start: float, end: float) -> tuple[float, float]:
    """A span inside its video. Raises DataError for one that cannot be."""
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start <= end):
        raise DataError(f"a span from {start:g} to {end:g} s: the end must come after the start")
    if video.duration and end > video.duration + END_SLACK:
        raise DataError(f"{video.name}: ends at {video.duration:.2f} s, so nothing in it ends at {end:.2f} s")
    end = min(end, video.duration) if video.duration else end
    return round(min(start, end), 3), round(end, 3)


def place_bout(state: Snapshot, new: LabelledBout, before: LabelledBout | None = None) -> list[Change]:
    """A bout in its place, new or changed, and what makes room for it."""
    same_video = [other for other in state.bouts.values() if other.video == new.video]
    room = make_room(new, same_video, iter(new_name, "")) if new.status == "confirmed" else []
    return [*room, added(new) if before is None else changed(before, new)]


def add_bout(video: str, label: str, start: float, end: float, *, by: str, name: str = "", subject: str = "") -> Operation:
    """Label a span; what other labels said of that time gives way. An existing bout with this very span gets the label."""

    def operation(state: Snapshot) -> tuple[str, list[Change]]:
        chosen, footage = label_named(state, label), video_named(state, video)
        span = checked_span(footage, start, end)
        new = LabelledBout(
            name=name or new_name(),
            video=video,
            label=label,
            start=span[0],
            end=span[1],
            subject=cleaned(subject),
            by=by,
            at=now(),
        )
        return f"{chosen.text} {span[0]:.1f} to {span[1]:.1f} s", place_bout(state, new)

    return operation


def change_bout(
    name: str,
    *,
    by: str,
    label: str | None = None,
    start: float | None = None,
    end: float | None = None,
    subject: str | None = None,
) -> Operation:
    """Move a bout's borders, or give it another label or subject."""

    def operation(state: Snapshot) -> tuple[str, list[Change]]:
        bout = bout_named(state, name)
        chosen = label_named(state, bout.label if label is None else label)
        span = checked_span(
            video_named(state, bout.video), bout.start if start is None else start, bout.end if end is None else end
        )
        new = replace(bout, label=chosen.name, start=span[0], end=span[1], status="confirmed", by=by, at=now())
        new = new if subject is None else replace(new, subject=cleaned(subject))
        return f"{chosen.text} {span[0]:.1f} to {span[1]:.1f} s", place_bout(state, new, bout)

    return operation


def split_bout(name: str, at: float) -> Operation:
    """Part a bout in two at a time, in seconds."""

    def operation(state: Snapshot) -> tuple[str, list[Change]]:
        bout = bout_named(state, name)
        if not bout.start < at < bout.end:
            raise DataError(f"a bout from {bout.start:g} to {bout.end:g} s cannot be parted at {at:g} s")
        later = replace(bout, name=new_name(), start=round(at, 3))
        return f"parted at {at:.1f} s", [changed(bout, replace(bout, end=round(at, 3))), added(later)]

    return operation


def merge_bouts(first: str, second: str, *, by: str) -> Operation:
    """Make one bout of two of one video, with the label of the first; it covers the time between them too."""

    def operation(state: Snapshot) -> tuple[str, list[Change]]:
        one, other = bout_named(state, first), bout_named(state, second)
        if one.video != other.video or one.name == other.name:
            raise DataError("two bouts of one video are needed")
        without = replace_bouts(state, [other])
        joined = replace(one, start=min(one.start, other.start), end=max(one.end, other.end), by=by, at=now())
        return "joined", [removed(other), *place_bout(without, joined, one)]

    return operation


def replace_bouts(state: Snapshot, gone: Sequence[LabelledBout]) -> Snapshot:
    names = {bout.name for bout in gone}
    return replace(state, bouts={name: bout for name, bout in state.bouts.items() if name not in names})


def remove_bout(name: str) -> Operation:
    def operation(state: Snapshot) -> tuple[str, list[Change]]:
        bout = bout_named(state, name)
        return f"{state.labels[bout.label].text} removed", [removed(bout)]

    return operation


def reject(video: str, label: str, start: float, end: float, *, by: str) -> Operation:
    """Say that a suggested label is wrong there: it is kept as rejected, is never learned from, and is not asked again."""

    def operation(state: Snapshot) -> tuple[str, list[Change]]:
        chosen, span = label_named(state, label), checked_span(video_named(state, video), start, end)
        new = LabelledBout(
            name=new_name(), video=video, label=label, start=span[0], end=span[1], status="rejected", by=by, at=now()
        )
        return f"not {chosen.text}", [added(new)]

    return operation


def accept_all(video_segments: Iterable[tuple[str, Segment]], *, by: str) -> Operation:
    """Confirm many segments of the model at once, each where nothing is confirmed yet; segments name labels by their text."""

    def operation(state: Snapshot) -> tuple[str, list[Change]]:
        names = {label.text: label.name for label in state.labels.values()}
        changes: list[Change] = []
        for video, segment in video_segments:
            if segment.label in names and video in state.videos:
                start, end = checked_span(state.videos[video], segment.start, segment.end)
                new = LabelledBout(
                    name=new_name(), video=video, label=names[segment.label], start=start, end=end, by=by, at=now()
                )
                if not any(new.overlaps(bout) for bout in state.bouts.values() if bout.status == "confirmed"):
                    changes.append(added(new))
        if not changes:
            raise DataError("nothing to accept: all of it is labelled already")
        return f"{len(changes)} bouts accepted", changes

    return operation
