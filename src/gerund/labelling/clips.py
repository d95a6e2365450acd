"""Short clips, one label each: whether a project is a folder of them, and how they are sorted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gerund.core.errors import DataError
from gerund.core.types import Segment
from gerund.labelling.bouts import Footage, LabelledBout, added, changed, removed
from gerund.labelling.edits import checked_span, label_named, video_named
from gerund.labelling.journal import Change
from gerund.labelling.project import Operation, Project, Snapshot, new_name, now

CLIP_SECONDS = 15.0
"""Seconds that a clip lasts at most, for a folder to be taken for one of clips."""
FEWEST_CLIPS = 3
WHOLE_SLACK = 0.05
"""Seconds by which a label for a whole clip may miss its ends."""
SETTING = "clips"


def is_of_clips(project: Project) -> bool:
    """As somebody has said; else whether all videos are short, and no part of one has a label of its own."""
    said = project.setting(SETTING)
    if said is not None:
        return bool(said)
    state = project.state
    short = all(video.duration <= CLIP_SECONDS for video in state.videos.values())
    parts = any(bout.status == "confirmed" and not is_whole(bout, state) for bout in state.bouts.values())
    return len(state.videos) >= FEWEST_CLIPS and short and not parts


def say_of_clips(project: Project, said: bool) -> None:
    """Decide whether a project is one of clips."""
    project.remember([(f"setting/{SETTING}", project.setting(SETTING), said)])


def is_whole(bout: LabelledBout, state: Snapshot) -> bool:
    video = state.videos.get(bout.video)
    return video is not None and bout.start <= WHOLE_SLACK and bout.end >= video.duration - WHOLE_SLACK


def labels_of_clips(state: Snapshot) -> dict[str, str]:
    """The label of each clip that has one, by names."""
    return {bout.video: bout.label for bout in state.bouts.values() if bout.status == "confirmed" and is_whole(bout, state)}


def sort_clips(given: Mapping[str, str | None], *, by: str) -> Operation:
    """Give whole clips their labels, as one edit; None takes a clip's label away. What is labelled as it is asked stays as it is."""

    def operation(state: Snapshot) -> tuple[str, list[Change]]:
        before: dict[str, list[LabelledBout]] = {video: [] for video in given}
        for bout in state.bouts.values():
            if bout.status == "confirmed" and bout.video in before:
                before[bout.video].append(bout)
        changes = [
            change
            for video, label in given.items()
            for change in clip_changes(state, video_named(state, video), label, before[video], by)
        ]
        if not changes:
            raise DataError("nothing to change: these clips are labelled like this already")
        texts = {label_named(state, label).text for label in given.values() if label is not None}
        what = "no label" if not texts else texts.pop() if len(texts) == 1 else f"{len(texts)} labels"
        return f"{what} for {len(given)} clip{'s' if len(given) > 1 else ''}", changes

    return operation


def clip_changes(state: Snapshot, clip: Footage, label: str | None, before: Sequence[LabelledBout], by: str) -> list[Change]:
    if label is None:
        return [removed(bout) for bout in before]
    start, end = checked_span(clip, 0.0, clip.duration)
    new = LabelledBout(
        name=new_name(), video=clip.name, label=label_named(state, label).name, start=start, end=end, by=by, at=now()
    )
    if len(before) == 1 and is_whole(before[0], state):
        return [] if before[0].label == label else [changed(before[0], LabelledBout(**{**vars(new), "name": before[0].name}))]
    return [*(removed(bout) for bout in before), added(new)]


def whole_segment(scores: np.ndarray, labels: Sequence[str], refused: frozenset[str], end: float) -> list[Segment]:
    """The likeliest of the labels that nobody has refused, given the scores (K,) of a whole clip; none when all are."""
    places = [place for place, label in enumerate(labels) if label not in refused]
    if not places:
        return []
    best = max(places, key=lambda place: scores[place])
    return [Segment(start=0.0, end=end, label=labels[best], score=float(scores[best]))]
