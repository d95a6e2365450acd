"""When pictures are shown: seconds from the start of the file, strictly rising, whatever its time stamps say."""

from __future__ import annotations

import math
from collections import deque
from fractions import Fraction
from typing import Any

import av
from av.video.frame import PictureType

from gerund.video.rate import USUAL_FPS


def shown_for(frame: av.VideoFrame) -> float:
    """Seconds that a frame says it is on screen, as its container has it; 0 where it does not say, or is not believed (`Clock`)."""
    return float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0


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


def frame_rate(container: Any, stream: Any) -> Fraction | None:
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
        self.usual = 1 / float(frame_rate(container, stream) or USUAL_FPS)
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
