"""The only module that knows the decoder (PyAV): probe, read, write. A folder of frame images is a video too."""

from __future__ import annotations

import io
import itertools
import math
import os
import re
import sys
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.frame import PictureType
from av.video.reformatter import Interpolation, VideoReformatter

from gerund.core.errors import StreamError, VideoError
from gerund.core.files import whole
from gerund.core.progress import note
from gerund.core.types import Frames, Resize
from gerund.video.rate import PACKET_REFERENCE, PACKET_UNUSED, TIME_SLACK, USUAL_FPS, at_rate, packet_needs

VIDEO_SUFFIXES = frozenset(
    ".264 .265 .3g2 .3gp .3gpp .360 .amv .apng .asf .avi .avc .cine .dav .divx .dv .f4v .flv .gif .gxf .h264 .h265 .hevc .insv .ismv .ivf"
    " .m1v .m2p .m2t .m2ts .m2v .m4v .mjp .mjpeg .mjpg .mk3d .mkv .mod .mov .mp4 .mp4v .mpe .mpeg .mpeg4 .mpg .mpv .mqv .mts .mxf .nsv"
    " .nut .obu .ogm .ogv .qt .rm .rmvb .tod .tp .trp .ts .vob .vro .webm .wmv .wtv .xvid .y4m".split()
)
CAMERA_COPIES = frozenset(".lrf .lrv".split())
"""What cameras call the small copy that they write beside a clip: a video, but the same one again."""
OF_THE_SYSTEM = frozenset(("@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__macosx"))
"""Folders that file servers and systems make for themselves."""
IMAGE_SUFFIXES = frozenset(".bmp .jpeg .jpg .png .tif .tiff .webp".split())
MOVING_SUFFIXES = VIDEO_SUFFIXES | {".webp"}
"""What a list may call a video: a WebP may move."""
FRAME_FOLDER_FPS = 25.0
"""Frames per second of a folder of images, which carries no times of its own."""

SKIPPABLE = ("h264", "hevc")
"""Codecs whose packets are looked at before decoding: their frames are dear, and many are no reference for others."""
LEAST_SKIPPED = 1.5
"""Frames per wanted frame from which on looking ahead pays."""

av.logging.set_level(None)


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
open_options = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(sorted({name for names in av.formats_available for name in names.split(",")} - FOLLOWING)),
}
"""What FFmpeg is told whenever this process opens a file to read, so that no file leads to another or to a connection."""


bounds: dict[str, float] = {"pixels": math.inf}
"""The most pixels that a picture read by this process may have, whatever the header says; see `trust_no_file`."""


def trust_no_file(*, pixels: float = math.inf) -> None:
    """From now on this process reads plain containers only, and a picture of more than `pixels` pixels ends its video with a VideoError."""
    open_options["format_whitelist"] = ",".join(PLAIN_CONTAINERS)
    bounds["pixels"] = pixels


def allowed(width: int, height: int) -> None:
    """Raises VideoError for a picture of more pixels than this process may read."""
    if width * height > bounds["pixels"]:
        raise VideoError(f"{width} x {height} pixels; at most {bounds['pixels']:,} are taken, send a smaller one")


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


def is_frame_folder(path: Path) -> bool:
    """Whether a folder holds frame images, and neither videos nor folders of its own."""
    if not path.is_dir():
        return False
    with os.scandir(path) as entries:
        return holds_frames(list(entries))


def holds_frames(entries: Sequence[os.DirEntry[str]]) -> bool:
    """Whether what lies in a folder makes it a video: images, and beside them neither videos (of which they are covers) nor folders."""
    seen = [entry for entry in entries if not is_hidden(entry.name)]
    suffixes = {".gif" if is_animated(Path(entry.path)) else Path(entry.name).suffix.lower() for entry in seen}
    return (
        bool(suffixes & IMAGE_SUFFIXES) and not suffixes & (VIDEO_SUFFIXES | CAMERA_COPIES) and not any(e.is_dir() for e in seen)
    )


def is_hidden(name: str) -> bool:
    """Whether a name says that what bears it is not for people: a dot in front (._clip.mp4 too), or a folder OF_THE_SYSTEM."""
    return name.startswith(".") or name.lower() in OF_THE_SYSTEM


def is_video(path: Path) -> bool:
    """Whether a path looks like a video: a file with a video suffix, an animated WebP, or a folder of frame images."""
    return path.suffix.lower() in VIDEO_SUFFIXES or is_animated(path) if path.is_file() else is_frame_folder(path)


def is_animated(path: Path) -> bool:
    """Whether a file named .webp holds moving pictures."""
    return path.suffix.lower() == ".webp" and bool(webp_durations(path, most=1))


def webp_durations(path: Path, *, most: int | None = None) -> list[float]:
    """For how many seconds each picture of an animated WebP is shown, of the first `most` only; [] for anything else.

    Up to 10 ms count as 100, as in browsers.
    """
    durations: list[float] = []
    if not path.is_file():
        return durations
    with path.open("rb") as file:
        head = file.read(30)
        if head[:4] != b"RIFF" or head[8:16] != b"WEBPVP8X" or not head[20] & 2:
            return durations
        while len(durations) != most and len(chunk := file.read(8)) == 8:
            size = int.from_bytes(chunk[4:], "little")
            size += size % 2
            if chunk[:4] == b"ANMF":
                milliseconds = int.from_bytes(file.read(16)[12:15], "little")
                durations.append((milliseconds if milliseconds > 10 else 100) / 1000)
                size -= 16
            file.seek(max(size, 0), os.SEEK_CUR)
    return durations


def frame_images(folder: Path) -> list[Path]:
    """The images of a frame folder in the order of the numbers in their names (frame2 before frame10), at least one."""
    images = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")]
    if not images:
        raise VideoError(f"{folder}: a folder without frame images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    if not is_frame_folder(folder):
        raise VideoError(f"{folder}: its images are no frames, since videos or folders lie beside them; name what lies in it")
    return sorted(images, key=natural_order)


def natural_order(path: Path) -> tuple[list[int | str], str]:
    """Sorts names by the numbers in them; frame1 and frame01, equal as numbers, by their letters."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)], path.name


COUNT_SLACK = 0.02
"""By how much of itself a header's number of frames may differ from its duration times its rate."""


def probe(path: Path) -> VideoInfo:
    """Read the header of a video. Raises VideoError when it is no video."""
    if durations := webp_durations(path):
        return probe_webp(path, durations)
    if path.is_dir():
        images = frame_images(path)
        duration, rate, count = len(images) / FRAME_FOLDER_FPS, Fraction(FRAME_FOLDER_FPS), len(images)
        path_to_open = images[0]
    else:
        duration, rate, count = None, None, None
        path_to_open = path
    with opened(path_to_open) as (container, stream):
        start = 0.0
        if duration is None:
            if stream.start_time is not None:
                start = max(float(stream.start_time * stream.time_base) - start_of(container), 0.0)
            rate = rate_of(container, stream)
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


def probe_webp(path: Path, durations: list[float]) -> VideoInfo:
    seconds, count = sum(durations), len(durations)
    with opened_webp(path) as image:
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


def picture_span(path: Path) -> tuple[float, float]:
    """The seconds at which the pictures begin and end, as the packets say; nothing is decoded. Raises VideoError."""
    if path.is_dir():
        return 0.0, len(frame_images(path)) / FRAME_FOLDER_FPS
    if durations := webp_durations(path):
        return 0.0, sum(durations)
    starts, ends, count = [], [], 0
    with opened(path) as (container, stream):
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
        rate = rate_of(container, stream)
        return 0.0, float(count / rate) if rate else 0.0


def read(
    path: Path,
    *,
    fps: float | None = None,
    resize: Resize | None = None,
    block: int = 64,
    threads: int = 1,
    ended: Callable[[float], None] = lambda end: None,
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
    for time, frame in frames(path, fps=fps, threads=threads, ended=ended):
        picture = convert(frame)
        if data and (len(data) == block or picture.shape != data[0].shape):
            yield Frames(np.stack(data), np.array(pts))
            data, pts = [], []
        data.append(picture)
        pts.append(time)
    if data:
        yield Frames(np.stack(data), np.array(pts))


def frames(
    path: Path,
    *,
    fps: float | None = None,
    threads: int = 1,
    tick: Callable[[], None] = lambda: None,
    ended: Callable[[float], None] = lambda end: None,
) -> Iterator[tuple[float, av.VideoFrame]]:
    """The frames that are wanted at a rate, with their times: those of `at_rate(decode(path), fps)`, but without decoding the rest
    where the codec allows it. `tick` is called for every packet, so that somebody may know that all is well; `ended` is told the
    second at which the video ends, that is when the time of its last picture is over (`shown_for`), be it wanted or not.
    """
    plan = plan_of(path, fps) if fps is not None and path.is_file() else None
    last = -math.inf
    if plan is not None:
        try:
            for last, frame in decode_planned(path, plan, threads=threads, tick=tick):
                yield last, frame
        except FieldsError:
            pass
        else:
            if last > -math.inf:
                ended(plan.end)
                return
    everything = decode(path, threads=threads, tick=tick)
    yield from (item for item in at_rate(everything, fps, lasts=shown_for, ended=ended) if item[0] > last)


class FieldsError(Exception):
    """A picture of two fields came out: each may be a packet of its own, so that nobody can plan which packets to leave out."""


def shown_for(frame: av.VideoFrame) -> float:
    """Seconds that a frame says it is on screen, as its container has it; 0 where it does not say, or is not believed (`Clock`)."""
    return float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0


@dataclass(frozen=True)
class Plan:
    """What each packet of a stream is needed for (`rate.packet_needs`), the time of each wanted frame by its pts, and the end."""

    needs: np.ndarray
    times: dict[int, float]
    end: float


def plan_of(path: Path, fps: float) -> Plan | None:
    """Read the packets' headers of a video (no decoding) and plan what to skip; None where skipping is not safe or does not pay."""
    try:
        with opened(path) as (container, stream):
            rate = rate_of(container, stream)
            if stream.codec_context.name not in SKIPPABLE or not rate or fps * LEAST_SKIPPED > rate:
                return None
            if container.format.name in DECODING_TIMES:
                return None
            pts, keys, last, own = array("q"), bytearray(), None, 0.0
            of_the_last_read = steps_to_next_decoded(container)
            for packet in packets_of(container, stream):
                if packet.size == 0:
                    continue
                if packet.pts is None or packet.is_corrupt or packet.is_discard:
                    return None
                pts.append(packet.pts)
                keys.append(packet.is_keyframe)
                if last is None or packet.pts > last or of_the_last_read:
                    own = float((packet.duration or 0) * packet.time_base)
                last = max(packet.pts, packet.pts if last is None else last)
            scale = stream.time_base
            start = start_of(container, float(min(pts, default=0) * scale))
            own = own if believed(container, float((last or 0) * scale) - start + own) else 0.0
    except VideoError:
        return None  # the decoder is asked the same and says what is wrong
    stamps, first = np.array(pts), np.frombuffer(bytes(keys), bool)
    order = np.sort(stamps)
    if len(order) < 2 or not first[0] or stamps[0] != order[0] or not np.diff(order).all():
        return None
    timed, ends = ((float(int(each) * scale) - start, each) for each in order), list[float]()
    times = {int(stamp): time for time, stamp in at_rate(timed, fps, lasts=lambda stamp: own, ended=ends.append)}
    return Plan(packet_needs(stamps, first, np.fromiter(times, np.int64)), times, ends[0])


def decode_planned(path: Path, plan: Plan, *, threads: int, tick: Callable[[], None]) -> Iterator[tuple[float, av.VideoFrame]]:
    """Decode what a plan needs. Frames are the same, pixel by pixel, as when everything is decoded.

    Raises FieldsError before the first picture that is made of two fields.
    """
    with opened(path) as (container, stream):
        context, aspect = use_threads(stream.codec_context, threads), pixel_aspect(stream)
        gap = False

        def wanted(packet: Any) -> Iterator[tuple[float, av.VideoFrame]]:
            try:
                decoded = context.decode(packet)
            except av.FFmpegError:
                return
            if any(frame.interlaced_frame for frame in decoded):
                raise FieldsError
            shown = [marked(frame, aspect) for frame in decoded]
            yield from ((plan.times[frame.pts], frame) for frame in shown if frame.pts in plan.times)

        for packet, need in zip((packet for packet in packets_of(container, stream) if packet.size), plan.needs, strict=False):
            tick()
            if need == PACKET_UNUSED:
                gap = True
                continue
            if gap:
                yield from wanted(None)
                context.flush_buffers()
                gap = False
            context.skip_frame = "NONREF" if need == PACKET_REFERENCE else "DEFAULT"
            yield from wanted(packet)
        yield from wanted(None)


def use_threads(context: Any, threads: int) -> Any:
    context.thread_count = threads
    context.thread_type = "AUTO" if threads != 1 else "NONE"
    return context


def frame_at(path: Path, seconds: float, resize: Resize | None = None) -> np.ndarray:
    """The picture (H, W, 3) uint8 on screen at a time; the first one for times before it, the last one for times beyond the end."""
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
    with opened(path) as (container, stream):
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


class PixelAspect(float):
    """Width of a frame's pixels over their height. It travels in `frame.opaque`, since PyAV tells it of streams only."""


def pixel_aspect(stream: Any) -> float:
    """Width of a stream's pixels over their height.

    Less than 1 % is a rounding error of whoever scaled the video, and more than four times no camera makes: both count as square.
    """
    aspect = float(stream.sample_aspect_ratio or 1)
    return aspect if 0.25 <= aspect <= 4 and abs(aspect - 1) > 0.01 else 1.0


def marked(frame: av.VideoFrame, aspect: float) -> av.VideoFrame:
    allowed(frame.width, frame.height)  # a stream may change its size
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

    def open(self, container: Any, stream: Any) -> None:
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
            marked(frame, self.pixel_aspect)
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


DECODING_TIMES = ("avi", "asf")
"""Containers whose packets say when they are decoded, not when their pictures are shown."""
OVERTAKING = 17
"""Packets that a B-frame may overtake at most: decoders hold back no more than 16 pictures."""
LEAD = 1.0
"""Seconds to begin earlier in such a container: behind a key frame, the first pictures lack what they are built on, and their times."""


class ShownTimes:
    """When pictures are shown whose packets only say when they are decoded.

    Pictures leave a decoder in the order in which they are shown, each with the packet that comes so many packets later as the decoder
    holds pictures back. It is shown at that packet's time, less the time that they are held back. FFmpeg guesses instead, and is
    wrong where B-frames are references. A packet that gives no picture gives its place up: it counts as lost when a picture has come
    out that does not overtake it, which only B-frames do.
    """

    def __init__(self, held_back: int, step: int) -> None:
        self.held_back = held_back
        self.step = step
        self.fed = 0
        self.last: int | None = None
        self.times: deque[int | None] = deque()
        self.waiting: deque[int] = deque()

    def feed(self, packet: Any) -> None:
        """Number a packet; its picture will carry the number as its pts."""
        self.times.append(packet.dts)
        self.waiting.append(self.fed)
        packet.pts = self.fed
        self.fed += 1

    def take(self, frame: av.VideoFrame) -> None:
        """Give a picture its time, in the ticks of its stream."""
        number = frame.pts
        if number is not None:
            first = number - OVERTAKING if frame.pict_type == PictureType.B else number
            while self.waiting and self.waiting[0] < first:
                self.waiting.popleft()
                self.times.popleft()
            if number in self.waiting:
                self.waiting.remove(number)
        frame.pts = self.last = self.next_time()
        if self.times:
            self.times.popleft()

    def next_time(self) -> int | None:
        later = self.times[self.held_back] if len(self.times) > self.held_back else None
        if later is not None:
            return later - self.held_back * self.step
        if self.last is not None:
            return self.last + self.step
        return self.times[0] if self.times else None


def rate_of(container: Any, stream: Any) -> Fraction | None:
    """Frames per second; None where nothing tells.

    Of a raw stream, FFmpeg's average is its own default of 25. The stream's rate stands in its headers, of fields in some codecs (twice
    as many as frames), in steps of its clock in others: the lower of both is that of frames.
    """
    own = stream.codec_context.framerate
    if own and container.format.flags & av.format.Flags.no_timestamps.value:
        return min(own, stream.base_rate or own)
    return stream.average_rate or stream.guessed_rate


def start_of(container: Any, first: float = math.inf) -> float:
    """The time stamp, in seconds, at which a file starts: where a player's clock and annotation tools say 0.

    It is the earliest start of all pictures and sounds, FFmpeg's `start_time`; subtitles and data do not count. So the pictures begin
    later than 0 where the sound comes first. It is no later than the time stamp of the `first` picture, where that is known, and just
    that in a raw stream, which tells no start; else 0.
    """
    start = math.inf if container.start_time is None else container.start_time / av.time_base
    return min(start, first) if min(start, first) < math.inf else 0.0


BEYOND = 1.0
"""Seconds by which a picture may stay on screen beyond the end that its file states: statements are rounded, and of all streams."""


def believed(container: Any, end: float) -> bool:
    """Whether a picture may last until `end`, in seconds from the start: a file that states its own length must state about as much."""
    return container.duration is None or end <= container.duration / av.time_base + BEYOND


def steps_to_next_decoded(container: Any) -> bool:
    """Whether a packet's duration is the time to the next one in decoding order, as in .mp4 and .mov: where pictures are reordered
    and come at an uneven rate, only that of the last packet, after which none comes, is a picture's own.
    """
    return "mp4" in container.format.name.split(",")


class Clock:
    """Seconds from the start of the file, strictly rising: a missing or backward time stamp becomes the one before it plus the usual step.

    A first frame that stands before the start is at 0. A frame that claims to be on screen until long after the end that the file states
    is not believed: its own duration is taken away. The stated end alone lengthens nothing.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self.usual = 1 / float(rate_of(container, stream) or USUAL_FPS)
        self.container = container
        self.last = -math.inf
        self.of_the_last_read = steps_to_next_decoded(container)
        self.read_last: tuple[int, int] | None = None

    def read(self, packet: av.Packet) -> None:
        """Note a packet before its frames are timed."""
        if self.of_the_last_read and packet.pts is not None:
            self.read_last = packet.pts, packet.duration or 0

    def time(self, frame: av.VideoFrame) -> float:
        if self.last == -math.inf:
            self.start = start_of(self.container, math.inf if frame.time is None else frame.time)
        time = self.last + self.usual if frame.time is None else frame.time - self.start
        if time <= self.last:
            time = self.last + self.usual
        self.last = time if math.isfinite(time) else 0.0
        if self.read_last and frame.pts is not None and self.read_last[0] < frame.pts:
            frame.duration = self.read_last[1]
        if frame.duration and not believed(self.container, self.last + shown_for(frame)):
            frame.duration = 0
        return self.last


def decode(
    path: Path, *, threads: int = 1, record: Record | None = None, tick: Callable[[], None] = lambda: None
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Every frame of a video with its time in seconds from the start of the file, strictly rising; `tick` is called for every packet.

    Damaged packets are skipped; `record` is filled with them and with whatever else was met on the way.
    Raises VideoError when no frame at all can be decoded, or when reading breaks off.
    """
    recording = record is not None
    record = Record() if record is None else record
    if path.is_dir():
        yield from decode_images(path, record)
        return
    if durations := webp_durations(path):
        yield from decode_webp(path, durations, record, tick)
        return
    with opened(path) as (container, stream):
        record.open(container, stream)
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


def decode_images(folder: Path, record: Record) -> Iterator[tuple[float, av.VideoFrame]]:
    for index, image in enumerate(frame_images(folder)):
        with opened(image) as (container, stream):
            if index == 0:
                record.open(container, stream)
                record.container, record.promised_frames = "images", None
            for frame in container.decode(stream):
                record.packets += 1
                record.frames += 1
                record.damaged_frames += frame.is_corrupt
                frame.time_base, frame.duration = 1 / Fraction(FRAME_FOLDER_FPS), 1
                yield index / FRAME_FOLDER_FPS, marked(frame, 1.0)
                break  # one picture for each image, even if it moves


def decode_webp(
    path: Path, durations: list[float], record: Record, tick: Callable[[], None]
) -> Iterator[tuple[float, av.VideoFrame]]:
    """The pictures of an animated WebP, which FFmpeg does not decode and Pillow does."""
    seconds = 0.0
    with opened_webp(path) as image:
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


@contextmanager
def opened_webp(path: Path) -> Iterator[Any]:
    """A WebP as Pillow opens it; every error leaves as a VideoError with the path and the reason."""
    from PIL import Image

    try:
        with Image.open(path, formats=["WEBP"]) as image:
            allowed(*image.size)
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
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """A container and its best video stream; every decoder error leaves as a VideoError with the path and the reason."""
    try:
        if not path.exists():
            raise VideoError(f"{path}: no such file")
        if not path.is_file():
            raise VideoError(f"{path}: not a file, but a folder, a pipe, a socket or a device")
        if path.stat().st_size == 0:
            raise VideoError(f"{path}: the file is empty")
        where = os.fspath(path.absolute())  # FFmpeg takes 12:30.mp4 for a URL
        with opened_plainly(where, path) as container:
            yield container, best_stream(container, path)
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"{path}: not readable as video ({reason})") from None


NOT_TAKEN = "not readable as video (damaged, or of a kind that is not taken, like playlists; MP4, WebM, MKV, MOV and AVI are)"


def opened_plainly(source: str | Readable, name: object, **options: Any) -> Any:
    """A file's container, or that of what can be read from. Raises VideoError for one that leads elsewhere, as playlists do."""
    try:
        return av.open(source, container_options=open_options, metadata_errors="replace", **options)
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
    with complaints(av.logging.WARNING) as said, av.open(container.name, container_options=open_options):
        messages = "".join(message for _, _, message in said)
    found = re.search(rf"stream {stream.index} \(Video: \w+ \((\S{{4}}) /", messages)
    return found[1] if found else ""


ENCRYPTED = ("encv", "drmi")
"""Tags that stand in place of the codec's where pictures are encrypted."""


PROBING = {"analyzeduration": "500000", "rtsp_transport": "tcp", "overrun_nonfatal": "1"}
"""Half a second (in microseconds) to learn what a stream holds, where five are usual; RTSP without lost packets; UDP that may lose some."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


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
    usual = 1 / float(rate_of(container, stream) or USUAL_FPS)
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


class FrameConverter:
    """Decoded frame -> upright RGB picture (H, W, 3) uint8 with square pixels, of the size that `resize` asks for; one scaler for all.

    With `grey`, pictures are (H, W) uint8 of luma and cannot be letterboxed.
    """

    def __init__(self, resize: Resize | None, *, grey: bool = False) -> None:
        self.resize = resize
        self.grey = grey
        self.scaler = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        turned, upside_down, mirrored = orientation(frame)
        shown_width = frame.width * (frame.opaque if isinstance(frame.opaque, PixelAspect) else 1.0)
        shown = (shown_width, frame.height) if turned else (frame.height, shown_width)
        height, width = scaled_size(shown, self.resize)
        interpolation = Interpolation[self.resize.interpolation.upper()] if self.resize else Interpolation.BICUBIC
        if turned:
            height, width = width, height
        as_it_is = self.resize is None or (frame.height, frame.width) == (height, width)
        # Where nothing is scaled, swscale's way to gbrp leaves out the last columns of a width that 16 does not divide.
        kind = "gray" if self.grey else "rgb24" if as_it_is else "gbrp"
        scaled = self.scaler.reformat(frame, width=width, height=height, format=kind, interpolation=interpolation, threads=1)
        picture = planar_rgb(scaled) if kind == "gbrp" else scaled.to_ndarray()
        picture = picture.swapaxes(0, 1) if turned else picture
        picture = picture[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
        if self.resize is None:
            return np.ascontiguousarray(picture)
        return fitted(picture, self.resize)


def orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """How a picture is to be turned to be upright: whether rows become columns, and then the rows, the columns are in reverse order.

    The display matrix of a file, a frame or an image's EXIF says so: the stored x axis points along its first row, y along its second.
    """
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False, False, False
    x_right, x_down, _, y_right, y_down = np.frombuffer(matrix, np.int32)[:5].tolist()
    if abs(x_down) + abs(y_right) > abs(x_right) + abs(y_down):
        return True, x_down < 0, y_right < 0
    return False, y_down < 0, x_right < 0


def planar_rgb(frame: av.VideoFrame) -> np.ndarray:
    """A gbrp frame as (H, W, 3), a view of planes (3, H, W) in memory: what networks read, and half the price of interleaved RGB."""
    picture = np.empty((3, frame.height, frame.width), np.uint8)
    for channel, plane in enumerate((frame.planes[2], frame.planes[0], frame.planes[1])):
        picture[channel] = np.asarray(memoryview(plane)).reshape(-1, plane.line_size)[: frame.height, : frame.width]
    return picture.transpose(1, 2, 0)


def scaled_size(size: tuple[float, float], resize: Resize | None) -> tuple[int, int]:
    """Height and width that a frame shown at `size` is scaled to, before cropping or padding."""
    height, width = size
    if resize is None:
        return round(height), round(width)
    if resize.fit == "squeeze":
        return resize.height, resize.width
    ratios = (resize.height / height, resize.width / width)
    factor = min(ratios) if resize.fit == "letterbox" else max(ratios) / resize.scale
    low, high = (
        ((1, 1), (resize.height, resize.width)) if resize.fit == "letterbox" else ((resize.height, resize.width), (10**6, 10**6))
    )
    return tuple(min(max(round(side * factor), a), b) for side, a, b in zip(size, low, high, strict=True))  # type: ignore[return-value]


def fitted(picture: np.ndarray, resize: Resize) -> np.ndarray:
    """Cut the middle out of a scaled picture, or put it in the middle of a black one."""
    height, width = picture.shape[:2]
    if resize.fit == "letterbox":
        canvas = np.zeros((3, resize.height, resize.width), np.uint8).transpose(1, 2, 0)
        top, left = (resize.height - height) // 2, (resize.width - width) // 2
        canvas[top : top + height, left : left + width] = picture
        return canvas
    top, left = (height - resize.height) // 2, (width - resize.width) // 2
    return picture[top : top + resize.height, left : left + resize.width]


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
    path: Path, frames: Iterable[np.ndarray], *, fps: float, codec: str = "libx264", options: dict[str, str] | None = None
) -> None:
    """Encode RGB pictures (H, W, 3) uint8 of one size; the suffix chooses the container. Odd sides lose their last pixel line.

    Raises VideoError when there is no frame, or the file cannot be written.
    """
    with created(path) as container:
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
    whose sound goes along, if it has any and the format takes some. The last picture lasts until `end`, in seconds, which may be set
    at any time before the file is closed; else as long as the one before it. The file is whole or not at all; one that is `growing`
    keeps what was written of it, should the process die. Raises VideoError when the file cannot be written.
    """

    def __init__(
        self, path: Path, *, palette: np.ndarray | None = None, sound: Path | None = None, growing: bool = False
    ) -> None:
        self.path = path
        self.growing = growing
        self.sound_of = sound
        self.sound: Iterator[tuple[float, Any]] = iter(())
        self.next_sound: tuple[float, Any] | None = None
        self.suffix = path.suffix.lower()
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
                self.sound = sound_packets(self.sound_of, self.container)
                self.next_sound = next(self.sound, None)
        return stream


def sound_packets(path: Path, container: Any) -> Iterator[tuple[float, Any]]:
    """Packets of a video's sound for another container, with their times in seconds from the start of the file.

    They are copied as they are where the container takes the codec and players know it, else encoded as AAC; damaged ones are left out.
    The stream is added to the container when the first packet is asked for, and then only if there is sound that can be decoded.
    """
    with opened(path) as (source, _):
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
RATES = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
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
                frame.sample_rate if frame.sample_rate in RATES else next((r for r in RATES if frame.sample_rate % r == 0), 48000)
            )
            layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
            self.stream = self.container.add_stream("aac", rate=rate, layout=layout)
        if self.heard != (frame.format.name, frame.layout.name, frame.sample_rate):
            self.heard = frame.format.name, frame.layout.name, frame.sample_rate
            self.resampler = av.AudioResampler("fltp", self.stream.layout, self.stream.rate)
        return self.resampler.resample(frame)
