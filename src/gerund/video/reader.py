"""Reading a video: in blocks of pictures at a rate, frame by frame, or the one picture at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import av
import numpy as np

from gerund.core.places import AnyPath, as_path
from gerund.core.types import Frames, Resize
from gerund.video.clock import DECODING_TIMES, LEAD, shown_for, start_of
from gerund.video.container import OWN_FILE, Trust, opened_video, packets_of
from gerund.video.converter import FrameConverter
from gerund.video.decoder import Record, decode
from gerund.video.rate import TIME_SLACK, at_rate
from gerund.video.skipping import FieldsError, decode_planned, plan_of


def read(
    path: AnyPath,
    *,
    fps: float | None = None,
    resize: Resize | None = None,
    block: int = 64,
    threads: int = 1,
    ended: Callable[[float], None] = lambda end: None,
    trust: Trust = OWN_FILE,
) -> Iterator[Frames]:
    """Decode a video once, in blocks of at most `block` frames, so that any length fits in memory.

    `fps`: the frames on screen at 0, 1/fps, 2/fps ... (see `rate.at_rate`); None reads every frame. `resize` None keeps the
    video's own size. Frames are as a player shows them (upright, their pixels made square) and their `pts` count from the start of
    the file (`start_of`); `ended` is told when the last one's time is over. Damaged packets are skipped. Raises VideoError when no
    frame at all can be decoded.
    """
    convert = FrameConverter(resize)
    data: list[np.ndarray] = []
    pts: list[float] = []
    for time, frame in wanted_frames(path, fps=fps, threads=threads, ended=ended, trust=trust):
        picture = convert(frame)
        if data and (len(data) == block or picture.shape != data[0].shape):
            yield Frames(np.stack(data), np.array(pts))
            data, pts = [], []
        data.append(picture)
        pts.append(time)
    if data:
        yield Frames(np.stack(data), np.array(pts))


def wanted_frames(
    path: AnyPath,
    *,
    fps: float | None = None,
    threads: int = 1,
    tick: Callable[[], None] = lambda: None,
    ended: Callable[[float], None] = lambda end: None,
    trust: Trust = OWN_FILE,
) -> Iterator[tuple[float, av.VideoFrame]]:
    """The frames that are wanted at a rate, with their times: those of `at_rate(decode(path), fps)`, but without decoding the rest
    where the codec allows it. `tick` is called for every packet, so that somebody may know that all is well; `ended` is told the
    second at which the video ends, that is when the time of its last picture is over (`shown_for`), be it wanted or not.
    """
    path = as_path(path)
    plan = plan_of(path, fps, trust) if fps is not None and path.is_file() else None
    last = -math.inf
    if plan is not None:
        try:
            for last, frame in decode_planned(path, plan, threads=threads, tick=tick, trust=trust):
                yield last, frame
        except FieldsError:
            pass
        else:
            if last > -math.inf:
                ended(plan.end)
                return
    everything = decode(path, threads=threads, tick=tick, trust=trust)
    yield from (item for item in at_rate(everything, fps, lasts=shown_for, ended=ended) if item[0] > last)


def frame_at(path: AnyPath, seconds: float, resize: Resize | None = None) -> np.ndarray:
    """The picture (H, W, 3) uint8 on screen at a time; the first one for times before it, the last one for times beyond the end."""
    path = as_path(path)
    shown = last_shown(from_keyframe(path, seconds), seconds) if path.is_file() else None
    if shown is None:  # before the first picture, or in a file that cannot be searched
        pictures = decode(path)
        first = next(pictures)
        shown = last_shown(itertools.chain([first], pictures), seconds) or first[1]
    return FrameConverter(resize)(shown)


def last_shown(pictures: Iterable[tuple[float, av.VideoFrame]], seconds: float) -> av.VideoFrame | None:
    """The last frame that comes on screen by a time; None where the first one comes later."""
    shown = None
    for time, frame in pictures:
        if time > seconds + TIME_SLACK:
            break
        shown = frame
    return shown


def from_keyframe(path: Path, seconds: float) -> Iterator[tuple[float, av.VideoFrame]]:
    """Frames from the last key frame before a time on, without decoding what comes before; none where that cannot be found."""
    with opened_video(path) as (container, stream):
        start, record = start_of(container), Record()
        record.open(container, stream)
        if container.format.flags & av.format.Flags.no_timestamps.value:
            return  # a raw stream: a place in it can be found, but nobody knows its time
        try:
            earlier = LEAD if container.format.name in DECODING_TIMES else 0.0
            container.seek(round((seconds + start - earlier) / stream.time_base), stream=stream)
        except av.FFmpegError:
            return
        for packet in packets_of(container, stream):
            for frame in record.decoded(packet):
                yield (frame.time or 0.0) - start, frame
