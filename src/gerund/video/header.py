"""What a container says of a video; nothing is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from gerund.core.errors import VideoError
from gerund.core.places import AnyPath, as_path
from gerund.video.clock import frame_rate, start_of, steps_to_next_decoded
from gerund.video.container import OWN_FILE, Trust, opened_video, opened_webp, packets_of
from gerund.video.formats import FRAME_FOLDER_FPS, frame_images, webp_durations
from gerund.video.rate import USUAL_FPS


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What the container says of a video: nothing is decoded, so `duration` (s), `fps` and `num_frames` may be unknown (None).

    `start` and `duration` are when the pictures begin and end, in seconds from the start of the file (`start_of`).
    """

    path: Path
    width: int
    height: int
    fps: float | None
    start: float
    duration: float | None
    num_frames: int | None
    codec: str
    pixel_format: str | None


COUNT_SLACK = 0.02
"""By how much of itself a header's number of frames may differ from its duration times its rate."""


def probe(path: AnyPath, *, trust: Trust = OWN_FILE) -> VideoInfo:
    """Read the header of a video. Raises VideoError when it is no video."""
    path = as_path(path)
    if durations := webp_durations(path):
        return probe_webp(path, durations, trust)
    if path.is_dir():
        images = frame_images(path)
        duration, rate, count = len(images) / FRAME_FOLDER_FPS, Fraction(FRAME_FOLDER_FPS), len(images)
        path_to_open = images[0]
    else:
        duration, rate, count = None, None, None
        path_to_open = path
    with opened_video(path_to_open, trust) as (container, stream):
        start = 0.0
        if duration is None:
            if stream.start_time is not None:
                start = max(float(stream.start_time * stream.time_base) - start_of(container), 0.0)
            rate = frame_rate(container, stream)
            count = stream.frames or None
            if stream.duration is not None and stream.time_base is not None:
                duration = start + float(stream.duration * stream.time_base)
            elif container.duration is not None:
                duration = container.duration / av.time_base
            if count and rate and duration and abs(count - (duration - start) * float(rate)) > 2 + COUNT_SLACK * count:
                count = None  # it counts the first of several fragments, or what an edit list leaves out
        context = stream.codec_context
        return VideoInfo(
            path=path,
            width=context.width,
            height=context.height,
            fps=float(rate) if rate else None,
            start=start,
            duration=duration,
            num_frames=count,
            codec=context.name,
            pixel_format=context.pix_fmt,
        )


def rate_and_sound(path: Path) -> tuple[float, bool]:
    """Frames per second, 25 where it cannot be read or does not say, and whether there is sound."""
    try:
        fps = probe(path).fps or USUAL_FPS
        if path.is_dir() or webp_durations(path):
            return fps, False
        with opened_video(path, OWN_FILE) as (container, _):
            return fps, bool(container.streams.audio)
    except VideoError:
        return USUAL_FPS, False


def probe_webp(path: Path, durations: list[float], trust: Trust) -> VideoInfo:
    seconds, count = sum(durations), len(durations)
    with opened_webp(path, trust) as image:
        return VideoInfo(
            path=path,
            width=image.width,
            height=image.height,
            fps=count / seconds,
            start=0.0,
            duration=seconds,
            num_frames=count,
            codec="webp",
            pixel_format=None,
        )


def picture_times(path: Path) -> list[float]:
    """The seconds at which the pictures come on screen, in order, as the packets say; nothing is decoded. Raises VideoError."""
    if path.is_dir():
        return [place / FRAME_FOLDER_FPS for place in range(len(frame_images(path)))]
    if durations := webp_durations(path):
        return [sum(durations[:place]) for place in range(len(durations))]
    with opened_video(path) as (container, stream):
        packets = [packet for packet in packets_of(container, stream) if packet.size and not packet.is_discard]
        stamps = [packet.dts if packet.pts is None else packet.pts for packet in packets]
        if all(stamp is not None for stamp in stamps) and stamps:
            times = sorted(float(stamp * stream.time_base) for stamp in stamps)
            start = start_of(container, times[0])
            return [time - start for time in times]
        rate = frame_rate(container, stream)
        return [place / float(rate) for place in range(len(packets))] if rate else []


def picture_span(path: Path) -> tuple[float, float]:
    """The seconds at which the pictures begin and end, as the packets say; nothing is decoded. Raises VideoError."""
    if path.is_dir():
        return 0.0, len(frame_images(path)) / FRAME_FOLDER_FPS
    if durations := webp_durations(path):
        return 0.0, sum(durations)
    starts, ends, count = [], [], 0
    with opened_video(path) as (container, stream):
        for packet in packets_of(container, stream):
            stamp = packet.dts if packet.pts is None else packet.pts
            count += packet.size > 0
            if packet.size and stamp is not None and not packet.is_discard:
                starts.append(stamp)
                ends.append(stamp + (packet.duration or 0))
        if starts:
            if steps_to_next_decoded(container):
                ends = [max(starts) + ends[-1] - starts[-1]]
            first, last = float(min(starts) * stream.time_base), float(max(ends) * stream.time_base)
            start = start_of(container, first)
            return first - start, last - start
        rate = frame_rate(container, stream)
        return 0.0, float(count / rate) if rate else 0.0
