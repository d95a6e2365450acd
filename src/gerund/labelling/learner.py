"""The model that learns while somebody labels: every change solves the readout anew, the open video is redrawn first, the others soon after."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gerund.core.errors import first_line
from gerund.core.types import Features, Segment
from gerund.heads.semi_markov import BORDER_SIDE, border_scores, likeliest_states, row_evidence
from gerund.labelling.clips import is_of_clips, whole_segment
from gerund.labelling.edits import NOTHING_HERE
from gerund.labelling.footage import Library
from gerund.labelling.lessons import ROWS_PER_SECOND, BoutExamples, ExampleStore, LiveReadout, solved
from gerund.labelling.project import Project
from gerund.labelling.windows import MOST_PARTS, WindowStatistics, over_rows, snapped, span_statistics, windows_over
from gerund.recognition.recognizer import softmax
from gerund.timelines.segments import NOTHING, segments_of_states
from gerund.timelines.timeline import row_borders

STEPS_AT_MOST = 3600
"""Steps that one video is decided on in: as many as a video of seven minutes has rows, which takes a fraction of a second."""
MOST_BYTES = 2 * 10**9
"""Of statistics in memory; beyond it, those that were used longest ago are made again when they are needed."""


@dataclass(frozen=True, eq=False)
class Suggestion:
    """What the model says of a video, after the edit with `number`: `segments` name labels by name, `scores` (N, K) at `edges` (N + 1,).

    `lesson` counts what the model had learned from: other bouts, or the same with the features of more videos.
    """

    video: str
    number: int
    lesson: int
    labels: Sequence[str]
    segments: Sequence[Segment]
    scores: np.ndarray
    edges: np.ndarray

    @property
    def certainty(self) -> float:
        """Mean probability of the likeliest label over time."""
        return float(self.scores.max(1).mean()) if len(self.scores) else 0.0

    def margin(self, start: float, end: float) -> float:
        """How far the likeliest label is before the second one in a span, 0..1."""
        first, last = np.searchsorted(self.edges, [start, end])
        mean = np.sort(self.scores[min(first, len(self.scores) - 1) : max(last, first + 1)].mean(0))
        return float(mean[-1] - mean[-2]) if len(mean) > 1 else 1.0


class Learner:
    """A thread that follows the labels. `told` hears the name of each video that is redrawn, and an empty one when all are."""

    def __init__(self, project: Project, library: Library, told: Callable[[str], None]) -> None:
        self.project, self.library, self.told = project, library, told
        self.examples = ExampleStore()
        self.readout: LiveReadout | None = None
        self.number = -1
        """The last edit that the readout knows of."""
        self.lesson = 0
        self.known: set[str] = set()
        """The videos whose features it has seen."""
        self.suggestions: dict[str, Suggestion] = {}
        self.borders: dict[str, tuple[int, np.ndarray]] = {}
        self.statistics: OrderedDict[tuple[str, int], WindowStatistics] = OrderedDict()
        self.keeping = threading.Lock()
        """Held by who uses them: who judges the model is another thread."""
        self.whole: dict[str, np.ndarray] = {}
        """Statistics (S,) of whole clips, where the project is one of clips."""
        self.of_clips = False
        self.seconds = 0.0
        """From the start of a round to the redrawn row of the open video."""
        self.error = ""
        self.wake, self.ending = threading.Event(), False
        self.thread = threading.Thread(target=self.work, daemon=True, name="learner")

    def start(self) -> None:
        self.thread.start()

    def end(self) -> None:
        self.ending = True
        self.wake.set()
        self.thread.join()

    def work(self) -> None:
        while True:
            self.wake.wait()
            self.wake.clear()
            if self.ending:
                return
            try:
                self.learn()
                self.error = ""
            except Exception as error:  # labels go on being kept, and the next change tries again
                logging.getLogger("gerund.labelling").error("a round of learning failed", exc_info=error)
                self.error = f"the model could not learn ({first_line(error)}); the log says more"
                self.told("")

    def learn(self) -> None:
        """A round: solve if something has changed, then redraw every video that is behind, the open one first."""
        began = time.monotonic()
        state = self.project.state
        ready = dict(self.library.features)
        if self.of_clips != is_of_clips(self.project):
            self.of_clips = not self.of_clips
            self.lesson += 1
        if self.number != state.number or self.known != set(ready):
            before = None if self.readout is None else self.readout.lesson
            lesson = self.examples.lesson(state, ready)
            if self.number != state.number or lesson is None or before is None or lesson.bouts != before.bouts:
                self.readout = self.solved_or_none(lesson)
                self.lesson += 1
            self.number, self.known = state.number, set(ready)
        if self.readout is None:
            self.suggestions.clear()
            self.told("")
            return
        opened = self.library.opened
        for video in sorted(ready, key=lambda name: name != opened):
            known = self.suggestions.get(video)
            if known is None or known.lesson != self.lesson:
                suggested = self.suggested_clip if self.of_clips else self.suggested
                self.suggestions[video] = suggested(video, ready[video], self.readout)
                if video == opened:
                    self.seconds = time.monotonic() - began
                if video == opened or not self.of_clips:
                    self.told(video)
            if self.wake.is_set() or self.ending:
                return
        self.told("")

    @staticmethod
    def solved_or_none(lesson: BoutExamples | None) -> LiveReadout | None:
        if lesson is None or not lesson.is_enough:
            return None
        try:
            return solved(lesson)
        except np.linalg.LinAlgError:
            return None

    def suggested(self, video: str, features: Features, readout: LiveReadout) -> Suggestion:
        """What a readout says of a video."""
        length = snapped(readout.lesson.length * rows_per_second(features))
        windows = self.windows_of(video, features, length)
        scores = over_rows(softmax(windows.scores(readout.weight, readout.bias)), windows.starts, length, len(features))
        edges = row_borders(features, self.library.extractor.spec.fps)
        labels, lesson = readout.lesson.labels, readout.lesson
        states = likeliest_labels(scores, edges, self.borders_of(video, features, lesson.length), lesson)
        states = np.where(np.array([name == NOTHING_HERE for name in labels])[states], NOTHING, states)
        segments = segments_of_states(states, scores, edges, labels)
        return Suggestion(video, self.number, self.lesson, labels, segments, scores.astype(np.float32), edges)

    def suggested_clip(self, video: str, features: Features, readout: LiveReadout) -> Suggestion:
        """What a readout says of a whole clip: one segment, of the likeliest label that is not rejected there."""
        if video not in self.whole:
            self.whole[video] = span_statistics(np.asarray(features.data[:], np.float32), MOST_PARTS)
        labels, end = readout.lesson.labels, self.project.state.videos[video].duration
        scores = softmax(self.whole[video][None] @ readout.weight.T + readout.bias)
        rejected = (bout for bout in self.project.state.bouts.values() if bout.video == video and bout.status == "rejected")
        segments = whole_segment(scores[0], labels, frozenset(bout.label for bout in rejected), end)
        return Suggestion(video, self.number, self.lesson, labels, segments, scores.astype(np.float32), np.array([0.0, end]))

    def borders_of(self, video: str, features: Features, seconds: float) -> np.ndarray:
        """How much a border lies before each row (N,), kept for the next round."""
        side = max(1, round(2 * seconds * rows_per_second(features) / BORDER_SIDE))
        known = self.borders.get(video)
        if known is None or known[0] != side:
            self.borders[video] = known = side, border_scores(features, side)
        return known[1]

    def windows_of(self, video: str, features: Features, length: int) -> WindowStatistics:
        """The statistics of a video's windows, kept for the next round."""
        key = (video, length)
        with self.keeping:
            if key not in self.statistics:
                self.statistics[key] = windows_over(features, length)
                while len(self.statistics) > 1 and sum(each.bytes for each in self.statistics.values()) > MOST_BYTES:
                    self.statistics.popitem(last=False)
            self.statistics.move_to_end(key)
            return self.statistics[key]


def likeliest_labels(scores: np.ndarray, edges: np.ndarray, border: np.ndarray, lesson: BoutExamples) -> np.ndarray:
    """The label at each row (N,) in the likeliest segmentation of scores (N, K) over rows with borders `edges` (N + 1,).

    Nothing here lasts as long as it does. In a long video, STEPS_AT_MOST steps of several rows are decided on, so that a label is answered
    at once; borders are then put where the pictures change most.
    """
    count, width = len(scores), -(-len(scores) // STEPS_AT_MOST)
    starts = np.arange(0, count, width)
    evidence = np.add.reduceat(row_evidence(scores), starts, axis=0)
    step = width * float(edges[-1] - edges[0]) / count
    free = np.array([name == NOTHING_HERE for name in lesson.labels])
    states = likeliest_states(evidence, lesson.durations.log_prior(step), free, np.maximum.reduceat(border, starts))
    found = np.repeat(states, width)[:count]
    for first in starts[1:][np.diff(states) != 0] if width > 1 else ():
        low, high = max(first - width // 2, 0), min(first + width, count)
        best = low + int(border[low:high].argmax())
        found[low:best], found[best:high] = found[low - 1], found[min(high, count) - 1]
    return found


def rows_per_second(features: Features) -> float:
    """On average; the usual number for a lone row."""
    span = float(features.pts[-1] - features.pts[0])
    return (len(features) - 1) / span if span > 0 else ROWS_PER_SECOND
