"""Writing films: MP4 and its like, GIF and WebP."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from gerund.core.errors import VideoError
from gerund.core.files import whole
from gerund.core.places import AnyPath, as_path
from gerund.video.container import OWN_FILE, Trust
from gerund.video.rate import USUAL_FPS
from gerund.video.sound import sound_packets

MUXING = {".webp": {"loop": "0"}, ".mp4": {"movflags": "+faststart"}, ".mov": {"movflags": "+faststart"}}
"""Options of formats: an animation runs for ever; the index of an MP4 stands in front, so that it plays while it is being loaded."""

FRAGMENTS = {"movflags": "+hybrid_fragmented", "frag_duration": "1000000"}

GROWING = {".mp4": FRAGMENTS, ".mov": FRAGMENTS, ".mkv": {"cluster_time_limit": "1000"}}
"""A file that grows is written in pieces of a second; those of an MP4 get one index when it is closed."""


@contextmanager
def created(path: Path, *, growing: bool = False) -> Iterator[Any]:
    """A container to write to, whole or not at all, or `growing` under its own name; every encoder error leaves as a VideoError.

    The error has the path and the reason.
    """
    suffix = path.suffix.lower()
    try:
        with nullcontext(path) if growing else whole(path) as place:
            options = {"flush_packets": "1"} | GROWING.get(suffix, {}) if growing else MUXING.get(suffix, {})
            with av.open(os.fspath(place.absolute()), "w", options=options) as container:
                yield container
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"{path}: cannot be written as video ({reason})") from None


def write(
    path: AnyPath, frames: Iterable[np.ndarray], *, fps: float, codec: str = "libx264", options: dict[str, str] | None = None
) -> None:
    """Encode RGB pictures (H, W, 3) uint8 of one size; the suffix chooses the container. Odd sides lose their last pixel line.

    Raises VideoError when there is no frame, or the file cannot be written.
    """
    with created(as_path(path)) as container:
        stream: Any = None
        for frame in frames:
            picture = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
            if stream is None:
                stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options or {})
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.thread_count = 1
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")):
                container.mux(packet)
        if stream is None:
            raise VideoError(f"{path}: no frame to write")
        for packet in stream.encode():
            container.mux(packet)


ANIMATIONS = {".gif": "gif", ".webp": "libwebp_anim"}

LEAST_LEAD = 0.1
"""Seconds without a picture at the start of a film without sound that are worth a black one."""

CLOCK = {".gif": 100, ".webp": 1000}

FRAME_DURATION = 1 << 8
"""FFmpeg's flag of an encoder that hands the frames' durations on (AV_CODEC_FLAG_FRAME_DURATION)."""

VIDEO_CLOCK = 90_000
"""Ticks per second of a written file's time stamps: what the format itself counts in."""


class Writer:
    """Writes pictures at their own times, one after the other: .mp4 (and its like), .gif or .webp. Use as a context manager.

    A file starts with the first of its pictures and sounds; so without sound, a first picture that comes late has a black one before it.
    `palette` (256, 3) uint8 is the one palette of a GIF, whose pictures are then given as indices (H, W) uint8. `sound` is a video
    whose sound goes along (read with `trust`), all of it or what is `heard` between two times, if it has any and the format takes
    some. The last picture lasts until `end`, in seconds, which may be set
    at any time before the file is closed; else as long as the one before it. The file is whole or not at all; one that is `growing`
    keeps what was written of it, should the process die. Raises VideoError when the file cannot be written.
    """

    def __init__(
        self,
        path: AnyPath,
        *,
        palette: np.ndarray | None = None,
        sound: AnyPath | None = None,
        heard: tuple[float, float] = (0.0, math.inf),
        growing: bool = False,
        trust: Trust = OWN_FILE,
    ) -> None:
        self.path = as_path(path)
        self.growing = growing
        self.sound_of = as_path(sound)
        self.heard = heard
        self.trust = trust
        self.sound: Iterator[tuple[float, Any]] = iter(())
        self.next_sound: tuple[float, Any] | None = None
        self.suffix = self.path.suffix.lower()
        self.clock = CLOCK.get(self.suffix, VIDEO_CLOCK)
        self.palette = None if palette is None else np.concatenate([np.full((256, 1), 255, np.uint8), palette], axis=1)
        self.stream: Any = None
        self.held: Any = None
        self.count = 0
        self.step = max(1, round(self.clock / USUAL_FPS))
        self.end: float | None = None

    def __enter__(self) -> Writer:
        self.opening = created(self.path, growing=self.growing)
        self.container = self.opening.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None and self.stream is not None:
            self.finish()
            self.add_sound(math.inf)
        self.opening.__exit__(kind, error, trace)

    def add(self, picture: np.ndarray, seconds: float) -> None:
        """Append a picture (H, W, 3) uint8 RGB, or palette indices (H, W), that is on screen from `seconds` on."""
        picture = np.ascontiguousarray(picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2])
        if self.stream is None:
            self.stream = self.open_stream(picture)
            if seconds > LEAST_LEAD and self.next_sound is None:
                self.add(self.black(picture), 0.0)
        if self.palette is not None:
            frame = av.VideoFrame.from_ndarray((picture, self.palette), format="pal8")  # type: ignore[arg-type]
        else:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = round(seconds * self.clock), Fraction(1, self.clock)
        if self.held is not None:
            frame.pts = max(frame.pts, self.held.pts + 1)
            self.step = frame.pts - self.held.pts
            self.encode_held(frame.pts)
        self.held = frame
        self.add_sound(seconds)

    def encode_held(self, end: int) -> None:
        """Write the picture that waited to know how long it lasts."""
        self.held.duration = end - self.held.pts
        self.count += 1
        self.mux(self.stream.encode(self.held))

    def finish(self) -> None:
        end = self.held.pts + self.step if self.end is None else max(round(self.end * self.clock), self.held.pts + 1)
        self.encode_held(end)
        if (
            self.suffix == ".webp"
        ):  # its encoder lets the last picture last as long as the mean one, so a second one fills the rest
            again = round(end * self.count / (self.count + 1))
            if again > self.held.pts:
                self.held.pts = again
                self.mux(self.stream.encode(self.held))
        self.mux(self.stream.encode())

    def mux(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            self.container.mux(packet)

    def black(self, picture: np.ndarray) -> np.ndarray:
        """A black picture like another one, or one of the darkest colour there is."""
        darkest = 0 if self.palette is None else int(self.palette[:, 1:].sum(axis=1).argmin())
        return np.full_like(picture, darkest)

    def add_sound(self, seconds: float) -> None:
        """Write the sound up to a time, so that pictures and sound lie side by side in the file."""
        while self.next_sound is not None and self.next_sound[0] <= seconds:
            self.container.mux(self.next_sound[1])
            self.next_sound = next(self.sound, None)

    def open_stream(self, picture: np.ndarray) -> Any:
        stream: Any = self.container.add_stream(ANIMATIONS.get(self.suffix, "libx264"), rate=25)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p" if self.palette is None else "pal8"
        stream.codec_context.time_base = stream.time_base = Fraction(1, self.clock)
        stream.codec_context.flags |= FRAME_DURATION
        if self.suffix not in ANIMATIONS:
            # Without B-frames, since MP4 has durations in the order of decoding only.
            stream.codec_context.options = {"crf": "20", "preset": "veryfast", "bf": "0"}
            if self.sound_of is not None and self.sound_of.is_file():
                self.sound = sound_packets(self.sound_of, self.container, self.trust, self.heard)
                self.next_sound = next(self.sound, None)
        return stream
