"""The sound that goes along into a film."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av

from gerund.core.progress import note
from gerund.video.clock import start_of
from gerund.video.container import Trust, opened_video, packets_of


def sound_packets(
    path: Path, container: Any, trust: Trust, heard: tuple[float, float] = (0.0, math.inf)
) -> Iterator[tuple[float, Any]]:
    """Packets of a video's sound between two times, for another container, with their times in seconds from the first of these.

    They are copied as they are where the container takes the codec and players know it, else encoded as AAC; damaged ones are left out.
    The stream is added to the container when the first packet is asked for, and then only if there is sound that can be decoded.
    """
    with opened_video(path, trust) as (source, _):
        given = source.streams.best("audio")
        if given is None or given.codec_context is None:  # no sound, or in a codec that is not known
            return
        made = container.add_stream_from_template(given) if takes(container.format, given) else None
        encode = None if made is not None else Aac(container)
        start, last = start_of(source) + heard[0], -math.inf
        end = start + heard[1] - heard[0]
        if heard[0] > 0:
            source.seek(round(start / given.time_base), stream=given)
        for each in as_encoded(within(packets_of(source, given), start if heard[0] > 0 else -math.inf, end), encode):
            if each.pts is None or not each.size:
                continue
            if encode is None:
                each.stream = made
            shift = round(start / each.time_base)
            each.pts -= shift
            if each.dts is not None:
                each.dts -= shift
            stamp = each.pts if each.dts is None else each.dts
            if stamp > last:  # a muxer ends at one that goes back
                last = stamp
                yield float(each.pts * each.time_base), each
        if encode is not None and encode.stream is None:
            note(f"{path}: its sound ({given.codec_context.name}) cannot be decoded and is left out")


def within(packets: Iterator[Any], start: float, end: float) -> Iterator[Any]:
    """The packets whose time stamps lie in a span, in seconds; what has no time stamp too."""
    for packet in packets:
        time = None if packet.pts is None else float(packet.pts * packet.time_base)
        if time is not None and time >= end:
            return
        if time is None or time >= start:
            yield packet


def as_encoded(packets: Iterator[Any], encode: Aac | None) -> Iterator[Any]:
    """The packets as they are, or what an encoder makes of them."""
    for packet in packets:
        yield from [packet] if encode is None else encode(packet)
    if encode is not None:
        yield from encode.rest()


PLAYED = {"mp4": "aac|mp3", "mov": "aac|mp3|alac|pcm_.*"}
"""The codecs whose sound players make heard in these formats, which by now may hold others too."""

AAC_RATES = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
"""Sounds per second that AAC may have, and players like."""


def takes(kind: Any, sound: Any) -> bool:
    """Whether a format holds a stream of sound as it is: players know it there, and the muxer writes a header for it."""
    if not re.fullmatch(PLAYED.get(kind.name, ".*"), sound.codec_context.codec.canonical_name):
        return False
    try:
        with av.open(io.BytesIO(), "w", format=kind.name) as trial:
            trial.add_stream_from_template(sound)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


class Aac:
    """Encodes packets of any sound as AAC of a container, at a rate that it may have, in one or two channels."""

    def __init__(self, container: Any) -> None:
        self.container = container
        self.stream: Any = None
        self.heard: tuple[Any, ...] = ()

    def __call__(self, packet: Any) -> list[Any]:
        """The packets that a packet becomes; the empty one at the end gives what the decoder holds. What cannot be decoded gives none."""
        packets = []
        with suppress(av.FFmpegError, ValueError):
            for frame in packet.decode():
                for each in self.resampled(frame):
                    packets += self.stream.encode(each)
        return packets

    def rest(self) -> list[Any]:
        """The packets that the encoder still holds."""
        return self.stream.encode(None) if self.stream is not None else []

    def resampled(self, frame: Any) -> list[Any]:
        """A frame as the encoder takes it; the resampler is made anew where sound changes in the middle of a file."""
        if self.stream is None:
            rate = (
                frame.sample_rate
                if frame.sample_rate in AAC_RATES
                else next((r for r in AAC_RATES if frame.sample_rate % r == 0), 48000)
            )
            layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
            self.stream = self.container.add_stream("aac", rate=rate, layout=layout)
        if self.heard != (frame.format.name, frame.layout.name, frame.sample_rate):
            self.heard = frame.format.name, frame.layout.name, frame.sample_rate
            self.resampler = av.AudioResampler("fltp", self.stream.layout, self.stream.rate)
        return self.resampler.resample(frame)
