"""A whole video with its timeline drawn in."""

from __future__ import annotations

from pathlib import Path

from gerund.core import options
from gerund.core.errors import UsageError, VideoError
from gerund.core.progress import progress
from gerund.core.types import Timeline
from gerund.recognition.recognizer import Recognizer
from gerund.timelines.timeline import timelines, windows_for
from gerund.video.annotate import annotate_timeline, check_format


def render(
    model: options.ModelPath,
    video: options.VideoPath,
    out: options.RenderedFile,
    *,
    window: options.WindowSeconds = options.AUTO_WINDOW,
    hop: options.Hop | None = None,
    min_duration: options.MinDuration | None = None,
    threshold: options.Threshold = options.THRESHOLD,
    unknown_threshold: options.FamiliarWindows = options.FAMILIAR_WINDOWS,
    device: options.Device = options.USUAL.device,
    cache: options.CacheFolder | None = None,
) -> Timeline:
    """Write a video with its timeline drawn in: label, confidence bar, the three likeliest and a strip that moves along.

    Every frame keeps its time, and .mp4, .mov and .mkv the sound; .gif and .webp are made smaller. Returns the timeline.
    Raises VideoError when the video cannot be read, or `out` not written.

    Each argument is explained in `gerund.core.options`, and by `gerund render --help`.
    """
    source, target = Path(video), Path(out)
    check_format(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{target}: is the video itself; choose another name")
    recognizer = Recognizer.load(model, device=device, cache=cache)
    settings = windows_for(
        recognizer, window, hop=hop, min_duration=min_duration, threshold=threshold, unknown_threshold=unknown_threshold
    )
    found = next(timelines(recognizer, [source], settings))
    if found.error is not None:
        raise VideoError(found.error)
    with progress("Drawing", max(1, round(found.duration)), "s of video") as bar:
        annotate_timeline(found, target, tick=lambda seconds: bar.advance(max(0, int(seconds) - bar.done)))
    return found
