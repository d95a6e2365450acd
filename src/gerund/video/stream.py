"""Frames of cameras and streams, as they come."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from time import monotonic
from typing import Any

import av

from gerund.core.errors import VideoError
from gerund.video.clock import frame_rate, start_of
from gerund.video.container import Readable, best_stream, opened_plainly, packets_of, use_threads
from gerund.video.decoder import Record
from gerund.video.rate import USUAL_FPS

PROBING = {"analyzeduration": "500000", "rtsp_transport": "tcp", "overrun_nonfatal": "1"}
"""Half a second (in microseconds) to learn what a stream holds, where five are usual; RTSP without lost packets; UDP that may lose some."""

Arrival = tuple[float, float, av.VideoFrame]


def live(source: str | Readable, *, name: str, timeout: float | None = None) -> Iterator[Arrival]:
    """The frames of a stream as they come: when the packet of each arrived (`time.monotonic`), its time stamp in seconds, the frame.

    `source` is a URL, a file, or something to read bytes from; only a URL may lead elsewhere, as playlists do. Of a file, time stamps
    count from its start (`start_of`). Damaged packets are skipped, and frames may change their size.
    Raises VideoError when the stream cannot be opened, breaks off, or gives nothing for `timeout` seconds (URLs only).
    """
    try:
        named = isinstance(source, str) and "://" in source  # by a person, who means what it leads to
        with (
            av.open(source, options=PROBING, timeout=timeout, metadata_errors="replace")
            if named
            else opened_plainly(source, name, options=PROBING, timeout=timeout)
        ) as container:
            yield from arriving(container, best_stream(container, name))
    except av.error.ExitError:
        raise VideoError(f"{name}: no data for {timeout:g} s") from None
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"{name}: not readable as video ({reason})") from None


def camera(index: int, *, name: str) -> Iterator[Arrival]:
    """The frames of a camera of this machine, as `live` gives them."""
    try:
        device, kind = camera_device(index)
        with av.open(device, format=kind) as container:
            yield from arriving(container, best_stream(container, name))
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"{name}: the camera cannot be opened ({reason}); is it connected, and may you use it?") from None


def camera_device(index: int) -> tuple[str, str]:
    """What FFmpeg calls a camera on this system, and the format it is opened with. Raises ValueError when there is no such camera."""
    if sys.platform == "darwin":
        return f"{index}:none", "avfoundation"
    if sys.platform != "win32":
        return f"/dev/video{index}", "v4l2"
    cameras = [device.name for device in av.enumerate_input_devices("dshow") if "video" in device.media_types]
    if index >= len(cameras):
        raise ValueError(f"{len(cameras)} cameras were found")
    return f"video={cameras[index]}", "dshow"


REORDERED = 64
"""Packets whose arrival is remembered: more than any codec holds back before their frame comes out."""


def arriving(container: Any, stream: Any) -> Iterator[Arrival]:
    use_threads(stream.codec_context, 1)
    record = Record()
    record.open(container, stream)
    arrivals: dict[int | None, float] = {}
    usual = 1 / float(frame_rate(container, stream) or USUAL_FPS)
    start, stamp = start_of(container), -usual
    for packet in packets_of(container, stream):
        now = arrivals[packet.pts] = monotonic()
        if len(arrivals) > REORDERED:
            arrivals.pop(next(iter(arrivals)))
        for frame in record.decoded(packet):
            stamp = stamp + usual if frame.time is None else frame.time - start
            yield arrivals.get(frame.pts, now), stamp, frame


LEAP = 10.0
"""Seconds by which a live stream may run ahead of the wall clock from one frame to the next before its time stamps are doubted."""


class LiveClock:
    """Seconds since the first frame of a live source, strictly rising, also over reconnections; of a file, since its start.

    Time stamps that go back, or leap ahead of the wall clock by more than `leap` seconds, begin a new count where the wall clock stands.
    """

    def __init__(self, leap: float = LEAP) -> None:
        self.leap = leap
        self.arrived = 0.0
        self.last: float | None = None
        self.restart()

    def restart(self, origin: float | None = None) -> None:
        """Forget how the stream counts: it was opened again. `origin` is the time stamp of second 0, None for that of the next frame."""
        self.origin = origin

    def time(self, stamp: float, arrived: float) -> float:
        """The place in the stream of a frame with this time stamp, which arrived then (`time.monotonic`)."""
        if self.last is None:
            self.origin = stamp if self.origin is None else min(stamp, self.origin)
            self.last = stamp - self.origin
        else:
            waited = max(arrived - self.arrived, 0.001)
            if self.origin is None or not self.last < stamp - self.origin <= self.last + waited + self.leap:
                self.origin = stamp - self.last - waited
            self.last = stamp - self.origin
        self.arrived = arrived
        return self.last
