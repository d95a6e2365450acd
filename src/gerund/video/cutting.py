"""Spans of a video as files of their own: exact and encoded anew, or copied from key frame to key frame."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gerund.core.errors import ClipError, VideoError
from gerund.video.clock import start_of
from gerund.video.container import opened_video
from gerund.video.converter import FrameConverter
from gerund.video.decoder import decode
from gerund.video.rate import TIME_SLACK
from gerund.video.reader import from_keyframe
from gerund.video.sound import takes
from gerund.video.writer import LEAST_LEAD, Writer, created

COPIED_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mpg")
"""Containers that a copy is written to as they are; out of any other it goes into .mkv."""


def pictures_between(path: Path, start: float, end: float) -> Iterator[tuple[float, Any]]:
    """The frames that come on screen from `start` until before `end`, with their times in seconds from `start`.

    So spans that touch share no picture and lose none. Where the first comes later than LEAST_LEAD, the one that stands on screen at
    `start` comes before it. The first one has the time 0. Raises ClipError when the video has no picture there.
    """
    standing, first = None, True
    for time, frame in pictures_from(path, start):
        if time < start - TIME_SLACK:
            standing = frame
            continue
        if time >= end - TIME_SLACK:
            break
        if first and standing is not None and time - start > LEAST_LEAD:
            yield 0.0, standing
            first = False
        yield 0.0 if first else time - start, frame
        first = False
    if first:
        if standing is None:
            raise ClipError(f"{path}: no picture between {start:.3f} and {end:.3f} s")
        yield 0.0, standing


def pictures_from(path: Path, seconds: float) -> Iterator[tuple[float, Any]]:
    """Frames from a key frame at or before a time on; from the first one where none can be found."""
    found = from_keyframe(path, seconds) if path.is_file() and seconds > 0 else iter(())
    first = next(found, None)
    if first is not None and first[0] <= seconds + TIME_SLACK:
        return itertools.chain([first], found)
    return decode(path)


def write_span(path: Path, out: Path, start: float, end: float) -> None:
    """Write the pictures of a span, and its sound, as a film that ends with the span. Raises VideoError."""
    convert = FrameConverter(None)
    with Writer(out, sound=path if path.is_file() else None, heard=(start, end)) as writer:
        for seconds, frame in pictures_between(path, start, end):
            writer.add(convert(frame), seconds)
        writer.end = end - start


def copy_span(path: Path, out: Path, start: float, end: float) -> tuple[float, float]:
    """Copy a span without encoding: from the key frame at or before `start`, to the packets before `end`.

    Returns where the copy begins and ends, in seconds of the video. Raises VideoError.
    """
    with opened_video(path) as (source, stream):
        begin = start_of(source)
        sound = source.streams.best("audio")
        with created(out) as target:
            sounds = sound is not None and sound.codec_context is not None and takes(target.format, sound)
            made = {each: target.add_stream_from_template(each) for each in ([stream, sound] if sounds else [stream])}
            source.seek(round((start + begin + TIME_SLACK) / stream.time_base), stream=stream)
            first, last = math.inf, -math.inf
            for packet in packets_between(source, list(made), end + begin - TIME_SLACK):
                time = float(packet.pts * packet.time_base)
                if packet.stream is stream:
                    first, last = min(first, time), max(last, time + float((packet.duration or 0) * packet.time_base))
                elif time < first:
                    continue
                shift = round(first / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = made[packet.stream]
                target.mux(packet)
    if last < first:
        raise VideoError(f"{path}: nothing to copy between {start:.3f} and {end:.3f} s")
    return first - begin, last - begin


def packets_between(container: Any, streams: list[Any], end: float) -> Iterator[Any]:
    """Packets of streams until all of them have come to `end`, in seconds of their time stamps."""
    going = set(streams)
    for packet in container.demux(streams):
        if packet.dts is None or packet.pts is None or packet.stream not in going:
            continue
        if float(packet.dts * packet.time_base) >= end:
            going.discard(packet.stream)
            if not going:
                return
        else:
            yield packet
