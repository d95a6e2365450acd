"""Every frame of a video, and a record of what was met on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from gerund.core.errors import VideoError
from gerund.core.places import AnyPath, as_path
from gerund.video.clock import DECODING_TIMES, Clock, ShownTimes
from gerund.video.container import OWN_FILE, Trust, opened_video, opened_webp, packets_of, use_threads
from gerund.video.converter import PixelAspect, pixel_aspect
from gerund.video.formats import FRAME_FOLDER_FPS, frame_images, webp_durations


def marked(frame: av.VideoFrame, aspect: float, trust: Trust) -> av.VideoFrame:
    trust.check_size(frame.width, frame.height)  # a stream may change its size
    if aspect != 1:
        frame.opaque = PixelAspect(aspect)  # a new one for each frame: PyAV drops a shared one with the first frame that goes
    return frame


@dataclass(kw_only=True)
class Record:
    """What was met on the way while a video was decoded; `decode` fills it in as it goes.

    `container` is FFmpeg's name of the format, empty until the file could be opened. `promised_frames` is None where the header
    promises nothing. What is damaged is not counted while `leading`: before the first key frame, in the file or on the screen. A
    recording that begins anywhere has such pictures, and lacks what they are built on. `damaged_from` counts packets.
    """

    container: str = ""
    codec: str = ""
    pixel_format: str | None = None
    width: int = 0
    height: int = 0
    rotation: int = 0
    pixel_aspect: float = 1.0
    promised_frames: int | None = None
    packets: int = 0
    frames: int = 0
    leading: bool = True
    begun: bool = False
    key_pts: int | None = None
    damaged_packets: int = 0
    damaged_frames: int = 0
    zeroed_packets: int = 0
    damaged_from: float = math.inf

    def __post_init__(self) -> None:
        self.order: ShownTimes | None = None
        self.trust = OWN_FILE

    def open(self, container: Any, stream: Any, trust: Trust = OWN_FILE) -> None:
        self.trust = trust
        context = stream.codec_context
        if container.format.name in DECODING_TIMES:
            step = round(1 / ((stream.guessed_rate or 25) * stream.time_base))
            self.order = ShownTimes(context.reorder_depth, step)
        self.container, self.codec, self.pixel_format = container.format.name, context.name, context.pix_fmt
        self.width, self.height, self.pixel_aspect = context.width, context.height, pixel_aspect(stream)
        self.promised_frames = stream.frames or None

    def decoded(self, packet: Any) -> list[av.VideoFrame]:
        """The frames of a packet; none if the decoder refuses it."""
        if packet.size or packet.dts is not None:  # the last packet, which flushes the decoder, has neither
            self.packets += 1
        damaged = bool(packet.is_corrupt)
        if self.order is not None and packet.size:
            self.order.feed(packet)
        self.begin(packet)
        try:
            frames = packet.decode()
        except av.FFmpegError:
            frames, damaged = [], True
        self.damaged_packets += damaged and not self.leading
        for frame in frames:
            self.frames += 1
            self.damaged_frames += frame.is_corrupt
            self.rotation = frame.rotation
            if self.order is not None:
                self.order.take(frame)
            marked(frame, self.pixel_aspect, self.trust)
        if self.damaged_packets or self.damaged_frames:
            self.damaged_from = min(self.damaged_from, self.packets)
        return frames

    def begin(self, packet: Any) -> None:
        """Look out for the first key frame, and for the first picture behind it that is also shown after it."""
        if self.begun:
            return
        if self.key_pts is None:
            self.leading = not (packet.is_keyframe or self.frames)
            self.key_pts = None if self.leading else packet.pts
            self.begun = not self.leading and packet.pts is None
        else:
            self.leading = packet.pts is not None and packet.pts < self.key_pts
            self.begun = not self.leading

    def weigh(self, packet: Any) -> None:
        """Note whether a packet of the video stream has a hole of zeros in it."""
        self.zeroed_packets += self.codec in NEVER_ZERO and ZEROS in bytes(packet).rstrip(b"\0")


NEVER_ZERO = frozenset("h264 hevc mpeg4 vp8 vp9 av1".split())
"""Codecs whose packets never hold ZEROS but at their end: the rules against false start codes forbid it, or it is too unlikely.
Their decoders often take a hole for a picture and say nothing."""

ZEROS = bytes(64)


def decode(
    path: AnyPath,
    *,
    threads: int = 1,
    record: Record | None = None,
    tick: Callable[[], None] = lambda: None,
    trust: Trust = OWN_FILE,
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Every frame of a video with its time in seconds from the start of the file, strictly rising; `tick` is called for every packet.

    Damaged packets are skipped; `record` is filled with them and with whatever else was met on the way.
    Raises VideoError when no frame at all can be decoded, or when reading breaks off.
    """
    path, recording = as_path(path), record is not None
    record = Record() if record is None else record
    if path.is_dir():
        yield from decode_images(path, record, trust)
        return
    if durations := webp_durations(path):
        yield from decode_webp(path, durations, record, tick, trust)
        return
    with opened_video(path, trust) as (container, stream):
        record.open(container, stream, trust)
        use_threads(stream.codec_context, threads)
        clock = Clock(container, stream)
        for packet in packets_of(container, stream):
            tick()
            if recording:
                record.weigh(packet)
            clock.read(packet)
            for frame in record.decoded(packet):
                yield clock.time(frame), frame
        if not record.frames:
            raise VideoError(f"{path}: no frame could be decoded from its {record.packets} packets; is the file complete?")


def decode_images(folder: Path, record: Record, trust: Trust) -> Iterator[tuple[float, av.VideoFrame]]:
    for index, image in enumerate(frame_images(folder)):
        with opened_video(image, trust) as (container, stream):
            if index == 0:
                record.open(container, stream, trust)
                record.container, record.promised_frames = "images", None
            for frame in container.decode(stream):
                record.packets += 1
                record.frames += 1
                record.damaged_frames += frame.is_corrupt
                frame.time_base, frame.duration = 1 / Fraction(FRAME_FOLDER_FPS), 1
                yield index / FRAME_FOLDER_FPS, marked(frame, 1.0, trust)
                break  # one picture for each image, even if it moves


def decode_webp(
    path: Path, durations: list[float], record: Record, tick: Callable[[], None], trust: Trust
) -> Iterator[tuple[float, av.VideoFrame]]:
    """The pictures of an animated WebP, which FFmpeg does not decode and Pillow does."""
    seconds = 0.0
    with opened_webp(path, trust) as image:
        record.container = record.codec = "webp"
        record.width, record.height, record.promised_frames = image.width, image.height, len(durations)
        for number, duration in enumerate(durations):
            tick()
            image.seek(number)
            frame = av.VideoFrame.from_ndarray(np.array(image.convert("RGB")), format="rgb24")
            frame.time_base, frame.pts, frame.duration = Fraction(1, 1000), round(1000 * seconds), round(1000 * duration)
            record.packets += 1
            record.frames += 1
            yield seconds, frame
            seconds += duration
