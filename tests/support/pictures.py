"""Pictures and videos that tests of the video room read, and what they showed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from gerund.core.types import Frames

RampVideo = Callable[..., Path]


def joined(blocks: Iterator[Frames]) -> Frames:
    parts = list(blocks)
    return Frames(np.concatenate([part.data for part in parts]), np.concatenate([part.pts for part in parts]))


def shown(frames: Frames, step: int = 3) -> list[int]:
    """Which frame of a ramp each picture is; a grey level comes back up to 2 darker."""
    return [round((float(picture.mean()) + 1) / step) for picture in frames.data]


def ramp(num_frames: int, size: tuple[int, int] = (32, 48), step: int = 3) -> list[np.ndarray]:
    return [np.full((*size, 3), index * step, np.uint8) for index in range(num_frames)]


SOUNDS = {".webm": "libopus", ".mpg": "mp2"}


def with_sounds_first(path: Path, num_frames: int, codec: str, sounds: int) -> Path:
    """Write a ramp at 10 fps behind `sounds` streams of silence: the picture is stream number `sounds`."""
    with av.open(str(path), "w") as out:
        heard = [out.add_stream(SOUNDS.get(path.suffix, "aac"), rate=48000) for _ in range(sounds)]
        seen: Any = out.add_stream(codec, rate=10, options={"bf": "2"} if codec in ("libx264", "mpeg4", "mpeg2video") else {})
        seen.height, seen.width, seen.pix_fmt = 32, 48, "yuv420p"
        for stream in heard:
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 48000 * num_frames // 10), np.float32), "fltp", "stereo")
            frame.sample_rate, frame.pts = 48000, 0
            fifo = av.AudioFifo()
            fifo.write(frame)
            for part in fifo.read_many(stream.codec_context.frame_size or 960):
                out.mux(stream.encode(part))
            out.mux(stream.encode())
        for picture in ramp(num_frames):
            out.mux(seen.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(seen.encode())
    return path


def frame_folder(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True)
    for index, name in enumerate(names):
        Image.new("RGB", (20, 10), (index * 10,) * 3).save(folder / name)
    return folder
