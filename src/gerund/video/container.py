"""Opening a file that may be anybody's: its container, its best video stream, its packets."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import av
from av.sidedata.sidedata import Type as SideData

from gerund.core.errors import StreamError, VideoError


def unknown_side_data(kinds: Any, value: int) -> Any:
    """A kind of side data that PyAV has no name for (EXIF is one); otherwise it could not be asked for any other."""
    kind = object.__new__(kinds)
    kind._name_, kind._value_ = f"KIND_{value}", value
    return kind


SideData._missing_ = classmethod(unknown_side_data)  # type: ignore[method-assign, assignment]

PLAIN_CONTAINERS = (
    "apng asf avi flv gif h264 hevc ivf m4v matroska mjpeg mov mpeg mpegts mpegvideo mxf nut obu ogg webm yuv4mpegpipe".split()
)
"""The formats of strangers' files: widespread, and each holds all its pictures itself."""

FOLLOWING = frozenset(
    "applehttp avisynth concat dash hls image2 imf lavfi mlv rtp rtsp sap sdp vapoursynth vobsub webm_dash_manifest".split()
)
"""Formats that name other files or addresses, or are programs: a file of one of them is never opened, whatever it is called."""


@dataclass(frozen=True, kw_only=True)
class Trust:
    """How far a file is trusted: the formats that are opened, and the most pixels that a picture may have, whatever its header says."""

    formats: Sequence[str] = tuple(sorted({name for names in av.formats_available for name in names.split(",")} - FOLLOWING))
    pixels: float = math.inf

    @property
    def options(self) -> dict[str, str]:
        """What FFmpeg is told when it opens the file, so that it leads to no other file and to no connection."""
        return {"protocol_whitelist": "file", "format_whitelist": ",".join(self.formats)}

    def check_size(self, width: int, height: int) -> None:
        """Raises VideoError for a picture of more pixels than may be read."""
        if width * height > self.pixels:
            raise VideoError(f"{width} x {height} pixels; at most {self.pixels:,} are taken, send a smaller one")


OWN_FILE = Trust()
"""A file that the person at the machine chose: any format that holds its pictures itself."""


def strangers_file(*, pixels: float = math.inf) -> Trust:
    """A file that came from elsewhere: plain containers only, and no picture of more than `pixels` pixels."""
    return Trust(formats=PLAIN_CONTAINERS, pixels=pixels)


def use_threads(context: Any, threads: int) -> Any:
    context.thread_count = threads
    context.thread_type = "AUTO" if threads != 1 else "NONE"
    return context


@contextmanager
def opened_webp(path: Path, trust: Trust = OWN_FILE) -> Iterator[Any]:
    """A WebP as Pillow opens it; every error leaves as a VideoError with the path and the reason."""
    from PIL import Image

    try:
        with Image.open(path, formats=["WEBP"]) as image:
            trust.check_size(*image.size)
            yield image
    except (OSError, EOFError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise VideoError(f"{path}: not readable as video ({error})") from None


@contextmanager
def complaints(level: int = av.logging.ERROR) -> Iterator[list[tuple[int, str, str]]]:
    """What the decoder library says at a level or above while the block runs: (level, part, message), cleared by whoever reads it.

    Only for a process that decodes one video at a time, without threads: the library's log is one for all.
    """
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(level)
    av.logging.set_skip_repeated(False)  # "repeated 9 more times" is said late, when the next file is being read
    try:
        with av.logging.Capture(local=True) as said:
            yield said
    finally:
        av.logging.set_level(before[0])
        av.logging.set_skip_repeated(before[1])


@contextmanager
def opened_video(path: Path, trust: Trust = OWN_FILE) -> Iterator[tuple[Any, Any]]:
    """A container and its best video stream; every decoder error leaves as a VideoError with the path and the reason."""
    try:
        if not path.exists():
            raise VideoError(f"{path}: no such file")
        if not path.is_file():
            raise VideoError(f"{path}: not a file, but a folder, a pipe, a socket or a device")
        if path.stat().st_size == 0:
            raise VideoError(f"{path}: the file is empty")
        where = os.fspath(path.absolute())  # FFmpeg takes 12:30.mp4 for a URL
        with opened_plainly(where, path, trust) as container:
            yield container, best_stream(container, path)
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"{path}: not readable as video ({reason})") from None


NOT_TAKEN = "not readable as video (damaged, or of a kind that is not taken, like playlists; MP4, WebM, MKV, MOV and AVI are)"


def opened_plainly(source: str | Readable, name: object, trust: Trust = OWN_FILE, **options: Any) -> Any:
    """A file's container, or that of what can be read from. Raises VideoError for one that leads elsewhere, as playlists do."""
    try:
        return av.open(source, container_options=trust.options, metadata_errors="replace", **options)
    except av.error.ArgumentError:  # what FFmpeg says of a format that is not on the list
        raise VideoError(f"{name}: {NOT_TAKEN}") from None


def packets_of(container: Any, stream: Any) -> Iterator[Any]:
    """The packets of a stream, and last the empty one that flushes its decoder."""
    for packet in container.demux(stream):
        yield packet
        if not packet.size and packet.dts is None:
            return


def best_stream(container: Any, name: object) -> Any:
    """The video stream to look at, no cover picture. Raises StreamError when there is none, or none in a codec that is known."""
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        kinds = ", ".join(sorted({stream.type or "unknown" for stream in container.streams})) or "nothing"
        raise StreamError(f"{name}: no video stream (found: {kinds}); is this an audio file?")
    known = [stream for stream in streams if stream.codec_context is not None]
    if not known:
        tag = codec_tag(container, streams[0])
        what = "are encrypted" if tag in ENCRYPTED else "are in a codec that is not known"
        raise StreamError(f"{name}: its pictures {what}{tag and f' ({tag!a})'}; convert it to H.264 in MP4 with what plays it")
    best = container.streams.best("video")
    return best if best in known else known[0]


def codec_tag(container: Any, stream: Any) -> str:
    """The four letters by which a container calls a codec that is not known, or "". FFmpeg says it in its log only, on opening."""
    if not Path(container.name).is_file():
        return ""
    as_before = Trust(formats=[container.format.name])
    with complaints(av.logging.WARNING) as said, av.open(container.name, container_options=as_before.options):
        messages = "".join(message for _, _, message in said)
    found = re.search(rf"stream {stream.index} \(Video: \w+ \((\S{{4}}) /", messages)
    return found[1] if found else ""


ENCRYPTED = ("encv", "drmi")
"""Tags that stand in place of the codec's where pictures are encrypted."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...
