"""What to ask next: the spans whose labels would teach the model most, and bouts that it thinks are labelled wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from gerund.core.types import Segment
from gerund.labelling.bouts import LabelledBout
from gerund.labelling.learner import Learner, Suggestion
from gerund.labelling.lessons import LiveReadout
from gerund.labelling.novelty import middle_statistics, spread_evenly, strangeness
from gerund.labelling.project import Snapshot
from gerund.recognition.recognizer import softmax

LEAST_SECONDS = 0.25
"""What is left of a segment beside labelled time is asked about when it lasts as long."""
SURE_OF_ANOTHER = 0.6
"""Probability of another label, from a model that has not seen a bout's group, at which the bout is asked about."""
NEW_EVERY = 8
"""Of so many questions one is about what is least like anything labelled."""
CROWDED = 0.5
"""What each question about a label or a video before takes from the next one's worth."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A span to look at: is it `label` (by name)? `why`: unsure, doubt of the `bout` that is labelled there, or new, unlike all that is labelled."""

    video: str
    label: str
    start: float
    end: float
    score: float
    worth: float
    why: Literal["unsure", "doubt", "new"] = "unsure"
    bout: str = ""

    def values(self) -> dict[str, Any]:
        return asdict(self)


def questions(learner: Learner, state: Snapshot, count: int) -> list[Question]:
    """At most `count` questions, the ones that teach most first, no label or video at length."""
    readout = learner.readout
    if readout is None:
        return []
    found = [
        each
        for suggestion in list(learner.suggestions.values())
        for each in open_questions(suggestion, state, readout.lesson.length)
    ]
    chosen = spread_out([*found, *doubts(readout, state)], count)
    return with_new(chosen, newest(learner, readout, found, count // NEW_EVERY))


def newest(learner: Learner, readout: LiveReadout, found: Sequence[Question], count: int) -> list[Question]:
    """The open questions about what is least like anything labelled, none about a label of a video at length."""
    some = [found[place] for place in spread_evenly(len(found))]
    if not some or not count:
        return []
    statistics = np.stack([middle_statistics(learner, readout, each.video, (each.start + each.end) / 2) for each in some])
    strange = strangeness(readout, statistics).tolist()
    return spread_out([replace(each, why="new", worth=worth) for each, worth in zip(some, strange, strict=True)], count)


def with_new(chosen: Sequence[Question], new: Sequence[Question]) -> list[Question]:
    """Every NEW_EVERY-th question is one about something new."""
    spans = {(each.video, each.start) for each in new}
    rest, strange, found = iter(each for each in chosen if (each.video, each.start) not in spans), iter(new), list[Question]()
    while len(found) < len(chosen):
        turn = (strange, rest) if len(found) % NEW_EVERY == NEW_EVERY - 1 else (rest, strange)
        each = next(turn[0], None) or next(turn[1], None)
        if each is None:
            break
        found.append(each)
    return found


def candidates_of(learner: Learner, state: Snapshot, label: str) -> list[Question]:
    """What the model says is `label` and nobody has judged, in all videos, the surest last: what may be accepted at once."""
    readout = learner.readout
    if readout is None:
        return []
    found = (open_questions(each, state, readout.lesson.length) for each in list(learner.suggestions.values()))
    return sorted((each for several in found for each in several if each.label == label), key=lambda each: each.score)


def open_questions(suggestion: Suggestion, state: Snapshot, window: float) -> Iterator[Question]:
    """One for each of the model's segments, as far as nobody has said what is there.

    What is left of one beside labelled time, and is shorter than half a `window` (in seconds), is a border that is a little off: no question.
    """
    bouts = [bout for bout in state.bouts.values() if bout.video == suggestion.video]
    for segment in suggestion.segments:
        if segment.label not in state.labels:
            continue
        for start, end in uncovered(segment, bouts):
            if end - start >= min(max(LEAST_SECONDS, window / 2), segment.end - segment.start):
                margin = suggestion.margin(start, end)
                yield Question(
                    video=suggestion.video,
                    label=segment.label,
                    start=round(start, 3),
                    end=round(end, 3),
                    score=segment.score,
                    worth=1 - margin,
                )


def uncovered(segment: Segment, bouts: Sequence[LabelledBout]) -> list[tuple[float, float]]:
    """The parts of a segment that no bout covers which is confirmed, or which rejects this very label."""
    parts = [(segment.start, segment.end)]
    for bout in bouts:
        if bout.status == "confirmed" or (bout.status == "rejected" and bout.label == segment.label):
            cut = [((start, min(end, bout.start)), (max(start, bout.end), end)) for start, end in parts]
            parts = [part for pair in cut for part in dict.fromkeys(pair) if part[1] > part[0]]
    return parts


def doubts(readout: LiveReadout, state: Snapshot) -> Iterator[Question]:
    """One for each bout of which a model that has not seen it, nor what is near it, is sure that it is something else."""
    lesson = readout.lesson
    chances = softmax(readout.left_out)
    told_apart = np.array([len(set(lesson.groups[lesson.targets == target])) > 1 for target in lesson.targets])
    wrong = told_apart & (chances.argmax(1) != lesson.targets) & (chances.max(1) > SURE_OF_ANOTHER)
    for place in np.flatnonzero(wrong).tolist():
        bout = state.bouts.get(lesson.bouts[place])
        winner = lesson.labels[int(chances[place].argmax())]
        if bout is not None and winner in state.labels and winner != bout.label and not is_settled(bout, winner, state):
            score = float(chances[place].max())
            yield Question(
                video=bout.video,
                label=winner,
                start=bout.start,
                end=bout.end,
                score=score,
                worth=score - float(chances[place, lesson.targets[place]]),
                why="doubt",
                bout=bout.name,
            )


def is_settled(bout: LabelledBout, label: str, state: Snapshot) -> bool:
    """Whether somebody has said already that a bout is not `label`."""
    others = (other for other in state.bouts.values() if other.status == "rejected" and other.label == label)
    return any(other.video == bout.video and other.start < bout.end and bout.start < other.end for other in others)


def spread_out(found: Sequence[Question], count: int) -> list[Question]:
    """The best ones in turn, where each of a label and video makes the next of both worth less."""
    rest, chosen = list(found), list[Question]()
    seen: Counter[tuple[str, str]] = Counter()
    while rest and len(chosen) < count:
        best = max(rest, key=lambda each: each.worth - CROWDED * seen[each.video, each.label])
        rest.remove(best)
        if not (best.why == "doubt" and any(each.bout == best.bout for each in chosen)):
            chosen.append(best)
        seen[best.video, best.label] += 1
    return chosen
