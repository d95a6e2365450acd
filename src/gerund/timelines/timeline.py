"""Which action when, in videos of any length: windows slide over the features, so that each frame is seen by the backbone once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from gerund.core import options
from gerund.core.errors import DataError, GerundError, UsageError, VideoError
from gerund.core.files import write_text
from gerund.core.places import as_path, files_for
from gerund.core.progress import note
from gerund.core.types import Clip, Features, Timeline
from gerund.data.datasets.background import BACKGROUND
from gerund.data.datasets.boris_project import PROJECT_SUFFIX
from gerund.data.inputs import expand
from gerund.features.tokens import clip_rows
from gerund.heads.semi_markov import BORDER_SIDE, border_scores, likeliest_states
from gerund.recognition.folder import find_model
from gerund.recognition.recognizer import Recognizer
from gerund.timelines.boris_files import boris_project
from gerund.timelines.formats import TIMELINE_FORMATS
from gerund.timelines.picture import PLOT_SUFFIXES, timeline_plot
from gerund.timelines.segments import NOTHING, segments_of_states, without_short_runs
from gerund.video.rate import USUAL_FPS

VIDEOS_AT_ONCE = 16
"""Videos whose features are looked up together."""
WINDOWS_AT_ONCE = 256
"""Windows whose rows are in memory together."""
HOPS_PER_WINDOW = 8
EDGE_WEIGHT = 0.02
"""Of a window's outermost rows, against 1 in its middle: a window is surest of what it has in its middle."""


@dataclass(frozen=True, kw_only=True)
class TimelineSettings:
    """How a timeline is made; all times in seconds.

    A window of `window` seconds slides by `hop`, None for an eighth of it, a step of the features at least. Time in which no label's
    probability is above `threshold` is a gap, 0 for none. Segments last about as long as the model's labels do; where `min_duration` is
    given, none is shorter, and shorter gaps are closed. A window that looks more unknown
    than `unknown_threshold` (a share of known clips, 0 is never) speaks for no label.
    """

    window: float
    hop: float | None = None
    min_duration: float | None = None
    threshold: float = options.THRESHOLD
    unknown_threshold: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.window < float("inf"):
            raise UsageError(f"--window {self.window:g}: a number of seconds above 0 is needed")
        if self.hop is not None and not self.hop > 0:
            raise UsageError(f"--hop {self.hop:g}: a number of seconds above 0 is needed")
        if self.hop is not None and self.hop > self.window:
            raise UsageError(
                f"--hop {self.hop:g}: longer than the window, {self.window:g} s, so some time would never be looked at"
            )
        if self.min_duration is not None and not 0 <= self.min_duration < float("inf"):
            raise UsageError(f"--min-duration {self.min_duration:g}: a number of seconds, 0 or more, is needed")
        if not 0 <= self.threshold <= 1:
            raise UsageError(f"--threshold {self.threshold:g}: a probability from 0 to 1 is needed")
        if not 0 <= self.unknown_threshold <= 1:
            raise UsageError(f"--unknown-threshold {self.unknown_threshold:g}: a share of known clips lies between 0 and 1")

    def step(self, fps: float | None) -> float:
        """Seconds from one window to the next, for features at a rate."""
        least = 1 / fps if fps else 0.0
        return min(max(self.window / HOPS_PER_WINDOW, least), self.window) if self.hop is None else self.hop

    def check_rate(self, fps: float | None) -> None:
        """Raise UsageError when a window is shorter than the distance between two feature rows."""
        if fps is not None and self.window < 1 / fps - 1e-9:
            raise UsageError(f"--window {self.window:g}: shorter than one step of the features, {1 / fps:g} s")


def timeline(
    model: options.ModelPath,
    inputs: options.Inputs,
    *,
    window: options.WindowSeconds = options.AUTO_WINDOW,
    hop: options.Hop | None = None,
    min_duration: options.MinDuration | None = None,
    threshold: options.Threshold = options.THRESHOLD,
    unknown_threshold: options.FamiliarWindows = options.FAMILIAR_WINDOWS,
    srt: options.Srt | None = None,
    vtt: options.Vtt | None = None,
    activitynet: options.ActivityNet | None = None,
    elan: options.Elan | None = None,
    boris: options.Boris | None = None,
    per_frame: options.PerFrame | None = None,
    per_step: options.PerStep | None = None,
    plot: options.Plot | None = None,
    device: options.Device = options.USUAL.device,
    cache: options.CacheFolder | None = None,
) -> Iterator[Timeline]:
    """Say which action happens when in whole videos: one timeline per video, a video that cannot be read with its `error`.

    A file to write is named for one video; for several, a folder is, in which each gets a file.

    Each argument is explained in `gerund.core.options`, and by `gerund timeline --help`.
    """
    find_model(model)
    paths = list(dict.fromkeys(clip.path for clip in expand([inputs] if isinstance(inputs, str | Path) else inputs)))
    names = [path.stem for path in paths]
    wanted = {"srt": srt, "vtt": vtt, "activitynet": activitynet, "elan": elan, "boris": boris, "plot": plot}
    wanted |= {"per_frame": per_frame, "per_step": per_step}
    project = None
    if boris is not None and TIMELINE_FORMATS["boris"].holds_all(as_path(boris)):
        (project,) = files_for("--boris", as_path(wanted.pop("boris") or ""), (PROJECT_SUFFIX,), names[:1])
    suffixes = {name: each.suffixes for name, each in TIMELINE_FORMATS.items()} | {"plot": PLOT_SUFFIXES}
    files = {
        name: dict(zip(paths, files_for(f"--{name.replace('_', '-')}", Path(place), suffixes[name], names), strict=True))
        for name, place in wanted.items()
        if place is not None
    }
    recognizer = Recognizer.load(model, device=device, cache=cache)
    settings = windows_for(
        recognizer, window, hop=hop, min_duration=min_duration, threshold=threshold, unknown_threshold=unknown_threshold
    )
    return written(timelines(recognizer, paths, settings), files, project)


def written(
    found: Iterable[Timeline], files: Mapping[str, Mapping[Path, Path]], project: Path | None = None
) -> Iterator[Timeline]:
    """The timelines, each written to its files (format -> video -> file) on the way; a file that fails costs itself alone.

    A project of BORIS holds all of them, and is written anew with each.
    """
    so_far = []
    for each in found:
        failed = []
        if project is not None and each.error is None:
            so_far.append(Timeline(path=each.path, labels=each.labels, segments=each.segments, duration=each.duration))
            try:
                write_text(project, boris_project(so_far, project))
            except DataError as error:
                failed.append(str(error))
        for name, places_of in files.items() if each.error is None else ():
            try:
                write_timeline(each, name, places_of[each.path])
            except (DataError, VideoError) as error:
                failed.append(str(error))
        yield replace(each, unwritten=failed)


def write_timeline(timeline: Timeline, name: str, path: Path) -> None:
    if name == "plot":
        timeline_plot(path, timeline)
    else:
        write_text(path, TIMELINE_FORMATS[name].text(timeline, path))


def windows_for(recognizer: Recognizer, window: float | Literal["auto"] = "auto", **settings: float | None) -> TimelineSettings:
    """Settings that fit a model; `auto` is its `usual_window`. Raises UsageError for what cannot be."""
    if window == "auto":
        window = recognizer.usual_window
        if recognizer.clip_seconds is None:
            note(f"The model does not say how long its training clips were: windows of {window:g} s; choose with --window")
    windows = TimelineSettings(window=window, **settings)  # type: ignore[arg-type]
    windows.check_rate(recognizer.extractor.spec.fps)
    return windows


def timelines(recognizer: Recognizer, paths: Sequence[Path], settings: TimelineSettings) -> Iterator[Timeline]:
    """Timelines in the order of the paths; the videos of a portion are decoded side by side."""
    for first in range(0, len(paths), VIDEOS_AT_ONCE):
        portion = paths[first : first + VIDEOS_AT_ONCE]
        extraction = recognizer.extractor.extract(portion)
        for path in portion:
            if path in extraction.failed:
                yield Timeline(path=path, labels=recognizer.labels, error=extraction.failed[path])
            else:
                yield timeline_or_error(recognizer, path, extraction.features[path], settings)


def timeline_or_error(recognizer: Recognizer, path: Path, features: Features, settings: TimelineSettings) -> Timeline:
    try:
        return timeline_of(recognizer, path, features, settings)
    except UsageError:
        raise
    except GerundError as error:
        return Timeline(path=path, labels=recognizer.labels, error=str(error))


def timeline_of(recognizer: Recognizer, path: Path, features: Features, settings: TimelineSettings) -> Timeline:
    """The timeline of a video whose features are known: probabilities averaged over all windows that cover a step, and segments.

    Raises ClipError when the video has no rows.
    """
    scores = step_scores(recognizer, path, features, settings)
    edges = row_borders(features, recognizer.extractor.spec.fps)
    states = step_labels(recognizer, features, scores, edges, settings)
    segments = segments_of_states(states, scores, edges, recognizer.labels)
    return Timeline(
        path=path, labels=recognizer.labels, pts=features.pts, scores=scores, segments=segments, duration=float(edges[-1])
    )


def step_labels(
    recognizer: Recognizer, features: Features, scores: np.ndarray, edges: np.ndarray, settings: TimelineSettings
) -> np.ndarray:
    """The label at each row (N,), NOTHING for background and gaps: the likeliest segments for scores (N, K) and borders (N + 1,)."""
    step = float(edges[-1] - edges[0]) / len(scores)
    prior = recognizer.segment_prior([BACKGROUND], step=step, threshold=settings.threshold)
    border = border_scores(features, round(recognizer.usual_seconds / step / BORDER_SIDE))
    states = likeliest_states(prior.evidence(scores), prior.log_prior, prior.free, border, prior.log_follow)
    states = np.where(prior.free[states], NOTHING, states)
    return (
        states
        if settings.min_duration is None
        else without_short_runs(states, scores, edges, settings.min_duration, settings.threshold)
    )


def row_borders(features: Features, fps: float | None) -> np.ndarray:
    """Where each row's time begins, and where the last one's ends (N + 1,); a lone row lasts a step where nobody knows the end."""
    last = float(features.pts[-1])
    return np.append(features.pts, features.end if features.end > last else last + 1 / (fps or USUAL_FPS))


def step_scores(recognizer: Recognizer, path: Path, features: Features, settings: TimelineSettings) -> np.ndarray:
    """Probabilities (N, K) float32 at every feature row: the mean over the windows that cover it. Rows are read a portion at a time.

    A window's weight falls from its middle to its edges, as in Isensee et al. 2021 (nnU-Net, doi:10.1038/s41592-020-01008-z, methods).
    """
    clips = windows_of(path, features, settings.window, settings.step(recognizer.extractor.spec.fps))
    sums = np.zeros((len(features), len(recognizer.labels)), np.float32)
    weights = np.zeros((len(features), 1), np.float32)
    for first in range(0, len(clips), WINDOWS_AT_ONCE):
        portion = clips[first : first + WINDOWS_AT_ONCE]
        judged = recognizer.window_scores(rows_for(portion, features), portion, settings.unknown_threshold)
        for clip, scores in zip(portion, judged, strict=True):
            rows = clip_rows(features, clip)
            weight = window_weights(features.pts[rows], clip.start, settings.window)[:, None]
            sums[rows] += weight * scores
            weights[rows] += weight
    return sums / weights


def window_weights(pts: np.ndarray, start: float, window: float) -> np.ndarray:
    """Weights (n,) of the rows of a window: a triangle over its length, never 0."""
    return np.maximum(1 - np.abs(2 * (pts - start) / window - 1), EDGE_WEIGHT)


def windows_of(path: Path, features: Features, window: float, step: float) -> list[Clip]:
    """Windows from the first row on, and a last one that ends with the video; one alone when the video is not longer than it."""
    first = float(features.pts[0]) if len(features) else 0.0
    last = features.end - window if len(features) else 0.0
    count = max(0, int(np.ceil((last - first) / step - 1e-9)))
    starts = [first + number * step for number in range(count)]
    clips = [Clip(path=path, start=start, end=start + window) for start in starts]
    return [*clips, Clip(path=path, start=max(last, first))]


def rows_for(clips: Sequence[Clip], features: Features) -> Features:
    """The rows that windows in order of time use, in memory, and one more at each side: a window without rows uses the nearest."""
    spans = [clip_rows(features, clip) for clip in (clips[0], clips[-1])]
    rows = slice(max(0, spans[0].start - 1), spans[1].stop + 1)
    return Features(np.asarray(features.data[rows], np.float32), features.pts[rows], features.end)
