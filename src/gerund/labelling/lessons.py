"""What the model learns from: every confirmed bout as one example, a long one as several, in the statistics that a readout takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gerund.core.errors import ClipError
from gerund.core.recipes import Recipe
from gerund.core.types import Clip, Features
from gerund.data.annotations import POINT_SECONDS
from gerund.features.tokens import clip_rows
from gerund.heads.durations import Durations
from gerund.heads.ridge import ridge_readout
from gerund.heads.statistics import block_moments
from gerund.labelling.bouts import LabelledBout
from gerund.labelling.project import Snapshot
from gerund.labelling.windows import MOST_PARTS, snapped, span_statistics

ROWS_PER_SECOND = Recipe().fps or 8.0
"""At which lengths are counted; a video with fewer has windows of as many seconds."""
STRENGTH_WHILE_LABELLING = 0.1
"""Penalty, while training lets left-out groups speak for one of five: it would take five times as long, and costs a hundredth at most."""
LONG, MOST_PIECES = 2.0, 3
"""A bout longer than so many times the usual one is learned from as so many pieces of the usual length."""
VIDEOS_FOR_GROUPS = 3
"""With fewer labelled videos, what is held out are blocks of time."""
BLOCK_WINDOWS = 8
"""Windows that a block of time lasts."""


@dataclass(frozen=True, eq=False)
class BoutExamples:
    """All examples: `statistics` (N, S), `targets` (N,) places in `labels`, `groups` (N,), `bouts` (N,) whose they are.

    `length` is a window's in seconds, half the usual bout's; `durations` say how long bouts of each label last. `by_video` says
    whether groups are videos, or blocks of time.
    """

    labels: Sequence[str]
    statistics: np.ndarray
    targets: np.ndarray
    groups: np.ndarray
    bouts: Sequence[str]
    length: float
    by_video: bool
    durations: Durations

    def part(self, places: np.ndarray | slice) -> BoutExamples:
        """Some of the examples."""
        chosen = np.arange(len(self.targets))[places]
        return replace(
            self,
            statistics=self.statistics[places],
            targets=self.targets[places],
            groups=self.groups[places],
            bouts=[self.bouts[place] for place in chosen.tolist()],
        )

    @property
    def is_enough(self) -> bool:
        """Whether two labels have a bout each."""
        return len(set(self.targets.tolist())) > 1


@dataclass(frozen=True, eq=False)
class LiveReadout:
    """Linear logits of statistics: `weight` (K, S), `bias` (K,); `left_out` (N, K) logits of the examples had their group been left out."""

    lesson: BoutExamples
    weight: np.ndarray
    bias: np.ndarray
    left_out: np.ndarray


class ExampleStore:
    """Statistics of spans, kept while they are needed, so that a new label costs one span."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, float, float], np.ndarray | None] = {}

    def statistics(self, video: str, features: Features, start: float, end: float) -> np.ndarray | None:
        """Statistics (S,) of a span; None where the video has no rows for it."""
        key = (video, start, end)
        if key not in self.kept:
            try:
                rows = clip_rows(features, Clip(path=__file__, start=start, end=end))  # type: ignore[arg-type]
                self.kept[key] = span_statistics(np.asarray(features.data[rows], np.float32), MOST_PARTS)
            except ClipError:
                self.kept[key] = None
        return self.kept[key]

    def lesson(self, state: Snapshot, features: Mapping[str, Features]) -> BoutExamples | None:
        """The examples of all confirmed bouts in videos whose features are there; None where there are none."""
        bouts = [bout for bout in state.bouts.values() if bout.status == "confirmed" and bout.video in features]
        usual = usual_length(bouts)
        videos = sorted({bout.video for bout in bouts})
        by_video = len(videos) >= VIDEOS_FOR_GROUPS
        found = [
            (bout, *piece, values)
            for bout in bouts
            for piece in pieces(bout, usual)
            if (values := self.statistics(bout.video, features[bout.video], *piece)) is not None
        ]
        if not found:
            return None
        used = {(bout.video, *piece) for bout in bouts for piece in pieces(bout, usual)}
        if len(self.kept) > 2 * len(used):
            self.kept = {span: values for span, values in self.kept.items() if span in used}
        labels = [name for name in state.labels if any(bout.label == name for bout, *_ in found)]
        blocks = [(bout.video, 0 if by_video else int(bout.start // (BLOCK_WINDOWS * usual / 2))) for bout, *_ in found]
        names = {block: number for number, block in enumerate(dict.fromkeys(blocks))}
        return BoutExamples(
            labels=labels,
            statistics=np.stack([values for *_, values in found]),
            targets=np.array([labels.index(bout.label) for bout, *_ in found]),
            groups=np.array([names[block] for block in blocks]),
            bouts=[bout.name for bout, *_ in found],
            length=usual / 2,
            by_video=by_video,
            durations=durations_of(bouts, labels),
        )


def durations_of(bouts: Sequence[LabelledBout], labels: Sequence[str]) -> Durations:
    """How long bouts of each label last."""
    known = [bout for bout in bouts if bout.label in labels]
    seconds = [bout.length or POINT_SECONDS for bout in known]
    return Durations.measured(seconds, np.array([labels.index(bout.label) for bout in known]), len(labels), by_label=True)


def usual_length(bouts: Sequence[LabelledBout]) -> float:
    """The median length of bouts in seconds, on the grid of windows, so that it seldom moves."""
    lengths = [max(bout.length, POINT_SECONDS if not bout.length else 0.0) for bout in bouts]
    return 2 * snapped(float(np.median(lengths)) * ROWS_PER_SECOND / 2) / ROWS_PER_SECOND if lengths else 0.0


def pieces(bout: LabelledBout, usual: float) -> Iterator[tuple[float, float]]:
    """The spans that a bout is learned from."""
    start, end = bout.start, bout.end
    if not bout.length:
        start, end = max(0.0, start - POINT_SECONDS / 2), end + POINT_SECONDS / 2
    if bout.length <= LONG * usual:
        yield start, end
        return
    count = min(MOST_PIECES, int(bout.length / usual))
    for first in np.linspace(start, end - usual, count):
        yield float(first), float(first) + usual


def solved(lesson: BoutExamples) -> LiveReadout:
    """The readout of a lesson that is enough, in closed form, as timelines are read out. Raises LinAlgError where there is none."""
    classes = len(lesson.labels)
    found = ridge_readout(
        lesson.statistics,
        lesson.targets,
        lesson.groups,
        classes,
        parts=2,
        moments=block_moments,
        strength=STRENGTH_WHILE_LABELLING,
    )
    folded = found.weight / found.std
    return LiveReadout(lesson, folded, found.bias - folded @ found.mean, found.scale * found.left_out)
