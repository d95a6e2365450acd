"""Decoding no more than is wanted: packets' headers are read first, and what no wanted frame is built on is left out."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from gerund.core.errors import VideoError
from gerund.video.clock import DECODING_TIMES, believed, frame_rate, start_of, steps_to_next_decoded
from gerund.video.container import OWN_FILE, Trust, opened_video, packets_of, use_threads
from gerund.video.converter import pixel_aspect
from gerund.video.decoder import marked
from gerund.video.rate import PACKET_REFERENCE, PACKET_UNUSED, at_rate, packet_needs

SKIPPABLE = ("h264", "hevc")
"""Codecs whose packets are looked at before decoding: their frames are dear, and many are no reference for others."""

LEAST_SKIPPED = 1.5
"""Frames per wanted frame from which on looking ahead pays."""


class FieldsError(Exception):
    """A picture of two fields came out: each may be a packet of its own, so that nobody can plan which packets to leave out."""


@dataclass(frozen=True)
class SkipPlan:
    """What each packet of a stream is needed for (`rate.packet_needs`), the time of each wanted frame by its pts, and the end."""

    needs: np.ndarray
    times: dict[int, float]
    end: float


def plan_of(path: Path, fps: float, trust: Trust = OWN_FILE) -> SkipPlan | None:
    """Read the packets' headers of a video (no decoding) and plan what to skip; None where skipping is not safe or does not pay."""
    try:
        with opened_video(path, trust) as (container, stream):
            rate = frame_rate(container, stream)
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
    return SkipPlan(packet_needs(stamps, first, np.fromiter(times, np.int64)), times, ends[0])


def decode_planned(
    path: Path, plan: SkipPlan, *, threads: int, tick: Callable[[], None], trust: Trust
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Decode what a plan needs. Frames are the same, pixel by pixel, as when everything is decoded.

    Raises FieldsError before the first picture that is made of two fields.
    """
    with opened_video(path, trust) as (container, stream):
        context, aspect = use_threads(stream.codec_context, threads), pixel_aspect(stream)
        gap = False

        def wanted(packet: Any) -> Iterator[tuple[float, av.VideoFrame]]:
            try:
                decoded = context.decode(packet)
            except av.FFmpegError:
                return
            if any(frame.interlaced_frame for frame in decoded):
                raise FieldsError
            shown = [marked(frame, aspect, trust) for frame in decoded]
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
