"""Videos whose clock is not the plain one: pictures that begin after the sound, pictures that stand still."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from gerund import video

SOUND_RATE = 48_000
SOUNDS = {".webm": "libopus", ".ts": "mp2"}


def grey(level: int, size: tuple[int, int] = (32, 48)) -> np.ndarray:
    return np.full((*size, 3), level, np.uint8)


def with_sound(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    late: float,
    seconds: float,
    fps: int = 10,
    codec: str = "libx264",
    sound_first: bool = True,
    sound_late: float = 0.0,
) -> Path:
    """Pictures that begin `late` seconds after the time stamp 0, and noise of some seconds that begins `sound_late` after it."""
    rate = SOUND_RATE
    with av.open(str(path), "w") as out:

        def sound_stream() -> Any:
            stream: Any = out.add_stream(SOUNDS.get(path.suffix, "aac"), rate=rate)
            stream.layout = "mono"
            return stream

        sound = sound_stream() if sound_first else None
        stream: Any = out.add_stream(codec, rate=fps, options={"crf": "0"} if codec == "libx264" else {})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        sound = sound or sound_stream()
        packets = []
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(1000 * (late + index / fps)), Fraction(1, 1000)
            packets += stream.encode(frame)
        packets += stream.encode()
        noise = np.random.default_rng(0).integers(-9000, 9000, (1, round(rate * seconds)), np.int16)
        for first in range(0, noise.shape[1], 960):
            part = av.AudioFrame.from_ndarray(np.ascontiguousarray(noise[:, first : first + 960]), format="s16", layout="mono")
            part.sample_rate, part.pts, part.time_base = rate, first + round(rate * sound_late), Fraction(1, rate)
            packets += sound.encode(part)
        packets += sound.encode(None)
        for packet in sorted(packets, key=lambda packet: float(packet.dts * packet.time_base)):
            out.mux(packet)
    return path


def standing(path: Path, *, moving: int = 30, still: float = 5.0) -> Path:
    """Pictures at 10 per second whose grey levels rise by 4, and a last one, white, that stays for some seconds."""
    pictures = [grey(4 * index) for index in range(moving)] + [grey(250)]
    if path.suffix == ".gif":
        images = [Image.fromarray(picture) for picture in pictures]
        durations = [100] * moving + [round(1000 * still)]
        images[0].save(path, save_all=True, append_images=images[1:], duration=durations)
        return path
    with video.Writer(path) as writer:
        for index, picture in enumerate(pictures):
            writer.add(picture, index / 10)
        writer.end = moving / 10 + still
    return path
