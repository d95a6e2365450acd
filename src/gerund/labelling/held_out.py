"""How good the model's timelines are: F1@50 by label, of videos or stretches of time that the readout behind them has not seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gerund.core.types import Segment
from gerund.labelling.bouts import LabelledBout
from gerund.labelling.edits import NOTHING_HERE
from gerund.labelling.learner import Learner
from gerund.labelling.lessons import BoutExamples, LiveReadout, solved
from gerund.labelling.project import Snapshot
from gerund.timelines.metrics import segmental_f1

HELD_OUT_FOLDS = 5
OVERLAP = 0.5
TOUCHING = 0.25
"""Seconds between two bouts that are labelled time all the same."""
IN_LABELLED_TIME = 0.5
"""Share of a found segment that must lie in labelled time, for it to be judged: nobody knows what is true elsewhere."""

Pairs = Sequence[tuple[Sequence[Segment], Sequence[Segment]]]


def held_out_f1(learner: Learner, state: Snapshot) -> dict[str, Any]:
    """F1@50 over all labels and of each (by name), None where nothing can be judged.

    Folds are of whole groups: videos, or blocks of time where fewer than three are labelled. A found segment is right when it overlaps a
    labelled one of its label, in labelled time, by half (Lea et al. 2017, arXiv:1611.05267).
    """
    readout = learner.readout
    if readout is None:
        return {"f1": None, "labels": {}}
    pairs = [pair for fold in folds_of(readout.lesson) for pair in fold_pairs(learner, readout, state, fold)]
    labels = [name for name in readout.lesson.labels if name != NOTHING_HERE]
    return {"f1": f1_of(pairs), "labels": {name: f1_of(of_label(pairs, name)) for name in labels}}


def folds_of(lesson: BoutExamples) -> Iterator[np.ndarray]:
    """Which examples (N,) each fold holds out; a fold without which fewer than two labels are left is passed over."""
    groups = np.unique(lesson.groups)
    for fold in range(min(HELD_OUT_FOLDS, len(groups))):
        held = np.isin(lesson.groups, groups[fold::HELD_OUT_FOLDS])
        if len(set(lesson.targets[~held].tolist())) > 1:
            yield held


def fold_pairs(
    learner: Learner, readout: LiveReadout, state: Snapshot, held: np.ndarray
) -> Iterator[tuple[list[Segment], list[Segment]]]:
    """Found and true segments of each video with bouts that are held out, in their time."""
    unseen = solved(readout.lesson.part(~held))
    names = {name for name, out in zip(readout.lesson.bouts, held, strict=True) if out}
    bouts: defaultdict[str, list[LabelledBout]] = defaultdict(list)
    for bout in state.bouts.values():
        if bout.name in names:
            bouts[bout.video].append(bout)
    for video, own in bouts.items():
        found = learner.suggested(video, learner.library.features[video], unseen).segments
        true = [
            Segment(start=bout.start, end=bout.end, label=bout.label, score=1.0) for bout in own if bout.label != NOTHING_HERE
        ]
        yield [part for each in found for part in in_time(each, labelled_time(own))], sorted(true, key=lambda each: each.start)


def labelled_time(bouts: Sequence[LabelledBout]) -> list[tuple[float, float]]:
    """The spans that bouts cover, joined where they touch."""
    spans: list[tuple[float, float]] = []
    for bout in sorted(bouts, key=lambda bout: bout.start):
        if spans and bout.start <= spans[-1][1] + TOUCHING:
            spans[-1] = spans[-1][0], max(spans[-1][1], bout.end)
        else:
            spans.append((bout.start, bout.end))
    return spans


def in_time(segment: Segment, spans: Sequence[tuple[float, float]]) -> list[Segment]:
    """The parts of a segment in spans; none when most of it lies elsewhere."""
    parts = [(max(segment.start, start), min(segment.end, end)) for start, end in spans]
    inside = [(start, end) for start, end in parts if end > start]
    if sum(end - start for start, end in inside) < IN_LABELLED_TIME * (segment.end - segment.start):
        return []
    return [Segment(start=start, end=end, label=segment.label, score=segment.score) for start, end in inside]


def of_label(pairs: Pairs, label: str) -> Pairs:
    return [
        ([each for each in found if each.label == label], [each for each in true if each.label == label]) for found, true in pairs
    ]


def f1_of(pairs: Pairs) -> float | None:
    value = segmental_f1(pairs, OVERLAP)
    return None if np.isnan(value) else round(float(value), 4)
