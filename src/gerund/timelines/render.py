"""A whole video with its timeline drawn in."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from gerund.core.errors import UsageError, VideoError
from gerund.core.progress import progress
from gerund.core.types import Timeline
from gerund.recognition.recognizer import Recognizer
from gerund.timelines.timeline import timelines, windows_for
from gerund.video.annotate import annotate_timeline, check_format


def render(
    model: str | Path,
    video: str | Path,
    out: str | Path,
    *,
    window: float | Literal["auto"] = "auto",
    hop: float | None = None,
    min_duration: float | None = None,
    threshold: float = 0.3,
    unknown_threshold: float = 0.0,
    device: str = "auto",
    cache: Path | None = None,
) -> Timeline:
    """Write a video with its timeline drawn in: label, confidence bar, the three likeliest and a strip that moves along.

    Every frame keeps its time, and .mp4, .mov and .mkv the sound; .gif and .webp are made smaller. Returns the timeline.
    Raises VideoError when the video cannot be read, or `out` not written.

    Parameters
    ----------
    model
        A run folder, or a model folder.
    video
        The video.
    out
        File to write: .mp4, .mov, .mkv, .gif or .webp.
    window
        Seconds that are judged at once; auto is the median length of the clips the model was trained on.
    hop
        Seconds from one window to the next; an eighth of the window if not given.
    min_duration
        Seconds that a segment lasts at least; half the window if not given.
    threshold
        Probability, 0 to 1, that a segment must reach.
    unknown_threshold
        Leave out windows that look as unknown as fewer than this share of known clips, 0 to 1; 0 leaves out none.
    device
        cpu, cuda, mps or auto.
    cache
        Folder for features.
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
