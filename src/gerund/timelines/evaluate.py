"""How good timelines are where the truth is known. A video that cannot be read counts: all its segments are missed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gerund.core import options
from gerund.core.errors import DataError
from gerund.core.printing import percent, table
from gerund.core.results import Printable
from gerund.core.types import Clip, Segment, Timeline
from gerund.data.datasets import load_dataset
from gerund.data.datasets.background import BACKGROUND
from gerund.data.manifest import of_split
from gerund.features.tokens import beyond_end
from gerund.recognition.recognizer import Recognizer
from gerund.timelines.metrics import boundary_error, edit_score, frame_accuracy, mean_average_precision, segmental_f1
from gerund.timelines.timeline import TimelineSettings, timelines, windows_for
from gerund.video.rate import TIME_SLACK, USUAL_FPS

F1_OVERLAPS = (0.10, 0.25, 0.50)
AP_OVERLAPS = (0.3, 0.4, 0.5, 0.6, 0.7)

TIMELINE_TERMS = (
    "F1@50: a segment counts as found where it and the true one share half of their time (@10: a tenth)",
    "edit score: the order of the labels; mAP: the surest segments first; frame accuracy: share of the time named right",
)
"""What the figures are, for people who meet them for the first time."""


@dataclass(frozen=True, kw_only=True)
class TimelineEvaluation(Printable):
    """Timelines beside the truth: `truth` has the true segments of each, in order of time; `fps` is for videos without a grid."""

    timelines: list[Timeline]
    truth: list[list[Segment]]
    fps: float
    columns: ClassVar = ("metric", "value")

    @property
    def is_complete(self) -> bool:
        return not self.failed

    def as_json(self) -> dict[str, Any]:
        return {**self.metrics, "per_label": self.per_label, "failed": self.failed}

    def as_rows(self) -> Iterable[tuple[str, Any]]:
        return self.metrics.items()

    def as_text(self) -> Iterator[str]:
        metrics = dict(self.metrics)
        seconds = metrics.pop("boundary_error_seconds")
        segments, videos = metrics.pop("num_segments"), metrics.pop("num_videos")
        counts = f"({segments} segment{'s' * (segments != 1)} in {videos} video{'s' * (videos != 1)})"
        names = {"frame_accuracy": "frame accuracy", "edit": "edit score", "map": "mAP at IoU 0.3 to 0.7"}
        yield from table(
            ("", ""),
            [
                (names.get(name, name.replace("map", "mAP").replace("f1", "F1")), percent(value))
                for name, value in metrics.items()
            ],
        )
        yield from ("", f"median boundary error {seconds:.2f} s   {counts}", "")
        rows = [(row["label"], str(row["true"]), str(row["found"]), percent(row["f1@50"])) for row in self.per_label]
        yield from table(("label", "segments", "found", "F1@50"), rows)
        yield from ("", *TIMELINE_TERMS)
        for reason in self.failed.values():
            yield f"counted as missed: {reason}"

    @property
    def failed(self) -> dict[str, str]:
        """Videos that could not be read, and true segments beyond the end of theirs, with the reasons."""
        failed = {str(each.path): each.error for each in self.timelines if each.error is not None}
        for each, true in zip(self.timelines, self.truth, strict=True):
            if each.error is None:
                late = (Clip(path=each.path, start=one.start, end=one.end) for one in true if one.start > each.duration)
                failed |= {clip.shown: beyond_end(clip, each.duration) for clip in late}
        return failed

    @property
    def metrics(self) -> dict[str, Any]:
        """Frame accuracy, edit score, F1 and mean average precision, all 0..1; the median boundary error in seconds."""
        videos = [(each.segments, true) for each, true in zip(self.timelines, self.truth, strict=True)]
        precisions = {overlap: mean_average_precision(videos, overlap) for overlap in AP_OVERLAPS}
        return {
            "frame_accuracy": frame_accuracy(videos, self.times()),
            "edit": edit_score(videos),
            **{f"f1@{100 * overlap:.0f}": segmental_f1(videos, overlap) for overlap in F1_OVERLAPS},
            "map": float(np.mean(list(precisions.values()))),
            **{f"map@{overlap:g}": value for overlap, value in precisions.items()},
            "boundary_error_seconds": boundary_error(videos),
            "num_videos": len(self.timelines),
            "num_segments": sum(map(len, self.truth)),
        }

    @property
    def per_label(self) -> list[dict[str, Any]]:
        """One row for each label that is true or found somewhere: its segments, those found, and their F1 at an overlap of a half."""
        videos = [(each.segments, true) for each, true in zip(self.timelines, self.truth, strict=True)]
        rows = []
        for label in sorted({one.label for pair in videos for side in pair for one in side}):
            own = [
                ([one for one in found if one.label == label], [one for one in true if one.label == label])
                for found, true in videos
            ]
            counts = {name: sum(len(pair[side]) for pair in own) for side, name in enumerate(("found", "true"))}
            rows.append({"label": label, "true": counts["true"], "found": counts["found"], "f1@50": segmental_f1(own, 0.5)})
        return rows

    def times(self) -> list[np.ndarray]:
        """Where frame accuracy is counted: the feature grid; of an unread video the same rate over its labelled time."""
        return [
            each.pts if each.error is None else np.arange(0, max((segment.end for segment in true), default=0.0), 1 / self.fps)
            for each, true in zip(self.timelines, self.truth, strict=True)
        ]


def evaluate_timeline(
    model: options.ModelPath,
    data: options.SpansData,
    *,
    split: options.OfficialSplit | None = None,
    window: options.WindowSeconds = options.AUTO_WINDOW,
    hop: options.Hop | None = None,
    min_duration: options.MinDuration | None = None,
    threshold: options.Threshold = options.THRESHOLD,
    unknown_threshold: options.FamiliarWindows = options.FAMILIAR_WINDOWS,
    device: options.Device = options.USUAL.device,
    cache: options.CacheFolder | None = None,
) -> TimelineEvaluation:
    """Evaluate a model's timelines on videos whose actions are labelled with start and end; unlabelled time is background.

    Each argument is explained in `gerund.core.options`, and by `gerund evaluate-timeline --help`.
    """
    clips = load_dataset(data, split=split, allow_leak=True)
    clips = of_split(clips, "test") or clips
    recognizer = Recognizer.load(model, device=device, cache=cache)
    settings = windows_for(
        recognizer, window, hop=hop, min_duration=min_duration, threshold=threshold, unknown_threshold=unknown_threshold
    )
    return beside_truth(recognizer, clips, settings)


def beside_truth(recognizer: Recognizer, clips: Sequence[Clip], settings: TimelineSettings) -> TimelineEvaluation:
    """A recogniser's timelines of all videos that clips are of, beside what the clips say."""
    by_video = truth_by_video(clips, recognizer.labels)
    found = list(timelines(recognizer, list(by_video), settings))
    truth = [segments_of(by_video[each.path], each.duration) for each in found]
    return TimelineEvaluation(timelines=found, truth=truth, fps=recognizer.extractor.spec.fps or USUAL_FPS)


def put_together(evaluations: Sequence[TimelineEvaluation]) -> TimelineEvaluation:
    """The videos of several evaluations in one."""
    return TimelineEvaluation(
        timelines=[found for each in evaluations for found in each.timelines],
        truth=[true for each in evaluations for true in each.truth],
        fps=evaluations[0].fps,
    )


def truth_by_video(clips: Sequence[Clip], labels: Sequence[str]) -> dict[Path, list[Clip]]:
    """The labelled clips of each video, without background. Raises DataError for a label that the model does not know."""
    by_video: dict[Path, list[Clip]] = defaultdict(list)
    for clip in clips:
        if clip.label not in labels and clip.label != BACKGROUND:
            raise DataError(
                f"{clip.path}: the model does not know the label {clip.label!r} (it knows {', '.join(labels[:8])} ...)"
            )
        by_video[clip.path] += [clip] if clip.label != BACKGROUND else []
    return by_video


def segments_of(clips: Sequence[Clip], duration: float) -> list[Segment]:
    """Clips as true segments in order of time; a clip without an end lasts as long as the video, a second where that is unknown.

    Clips of one label that touch are one segment, as in segments read from frame labels (Lea et al. 2017).
    """
    segments: list[Segment] = []
    for clip in sorted(clips, key=lambda clip: (clip.start, clip.end or math.inf)):
        end = clip.end if clip.end is not None else max(duration, clip.start + 1)
        if segments and segments[-1].label == clip.label and clip.start <= segments[-1].end + TIME_SLACK:
            segments[-1] = replace(segments[-1], end=max(end, segments[-1].end))
        else:
            segments.append(Segment(start=clip.start, end=end, label=clip.label or "", score=1.0))
    return segments
