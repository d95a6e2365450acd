"""Whole videos with their timelines drawn in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from gerund.core import options
from gerund.core.errors import VideoError
from gerund.core.places import files_for, refuse_inputs
from gerund.core.progress import progress
from gerund.core.results import Printable
from gerund.core.types import Timeline
from gerund.data.inputs import expand
from gerund.recognition.folder import find_model
from gerund.recognition.recognizer import Recognizer
from gerund.timelines.timeline import timelines, windows_for
from gerund.video.annotate import FORMATS, annotate_timeline


@dataclass(frozen=True, kw_only=True)
class Films(Printable):
    """Films that were written, each with the timeline that is drawn in it; `failed` says why there is none: video -> reason."""

    files: Sequence[Path]
    timelines: Sequence[Timeline]
    failed: Mapping[str, str] = field(default_factory=dict)
    columns: ClassVar = Timeline.columns

    @property
    def is_complete(self) -> bool:
        return not self.failed

    def as_json(self) -> dict[str, Any]:
        films = [{"file": str(file)} | each.as_json() for file, each in zip(self.files, self.timelines, strict=True)]
        return {"films": films, "failed": dict(self.failed)}

    def as_rows(self) -> Iterator[list[Any]]:
        return (row for each in self.timelines for row in each.as_rows())

    def as_sheet(self) -> Iterator[list[Any]]:
        return (row for each in self.timelines for row in each.as_sheet())

    def as_text(self) -> Iterator[str]:
        for file, each in zip(self.files, self.timelines, strict=True):
            yield from each.as_text()
            yield f"Written: {file}"
        for reason in self.failed.values():
            yield f"not drawn: {reason}"


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
) -> Films:
    """Write videos with their timelines drawn in: label, confidence bar, the three likeliest and a strip that moves along.

    Every frame keeps its time, and .mp4, .mov and .mkv the sound; .gif and .webp are made smaller. Of several videos `out` is a folder, and
    one that cannot be read is listed. Raises VideoError when a lone video cannot be read, or its film not written.

    Each argument is explained in `gerund.core.options`, and by `gerund render --help`.
    """
    find_model(model)
    sources = list(dict.fromkeys(clip.path for clip in expand([video])))
    files = dict(zip(sources, files_for("OUT", Path(out), FORMATS, [path.stem for path in sources]), strict=True))
    refuse_inputs("OUT", files.values(), sources)
    recognizer = Recognizer.load(model, device=device, cache=cache)
    settings = windows_for(
        recognizer, window, hop=hop, min_duration=min_duration, threshold=threshold, unknown_threshold=unknown_threshold
    )
    found: dict[Path, Timeline] = {}
    failed: dict[str, str] = {}
    for each in timelines(recognizer, sources, settings):
        try:
            write_film(each, files[each.path])
            found[each.path] = each
        except VideoError as error:
            if len(sources) == 1:
                raise
            failed[str(each.path)] = str(error)
    return Films(files=[files[path] for path in found], timelines=list(found.values()), failed=failed)


def write_film(timeline: Timeline, out: Path) -> None:
    """Write one film. Raises VideoError."""
    if timeline.error is not None:
        raise VideoError(timeline.error)
    with progress(f"Drawing {timeline.path.name}", max(1, round(timeline.duration)), "s of video") as bar:
        annotate_timeline(timeline, out, tick=lambda seconds: bar.advance(max(0, int(seconds) - bar.done)))
