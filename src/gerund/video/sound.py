"""The sound that goes along into a film."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from gerund.core.progress import note
from gerund.video.clock import start_of
from gerund.video.container import Trust, opened_video, packets_of


def sound_packets(path: Path, container: Any, trust: Trust) -> Iterator[tuple[float, Any]]:
    """Packets of a video's sound for another container, with their times in seconds from the start of the file.

    They are copied as they are where the container takes the codec and players know it, else encoded as AAC; damaged ones are left out.
    The stream is added to the container when the first packet is asked for, and then only if there is sound that can be decoded.
    """
    with opened_video(path, trust) as (source, _):
        given = source.streams.best("audio")
        if given is None or given.codec_context is None:  # no sound, or in a codec that is not known
            return
        made = container.add_stream_from_template(given) if takes(container.format, given) else None
        encode = None if made is not None else Aac(container)
        start, last = start_of(source), -math.inf
        for packet in packets_of(source, given):
            for each in [packet] if encode is None else encode(packet):
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
        """The packets that a packet becomes; the empty packet at the end gives what is left. What cannot be decoded becomes none."""
        packets = []
        try:
            for frame in packet.decode():
                for each in self.resampled(frame):
                    packets += self.stream.encode(each)
        except (av.FFmpegError, ValueError):
            return packets
        return [*packets, *self.stream.encode(None)] if self.stream is not None and not packet.size else packets

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
