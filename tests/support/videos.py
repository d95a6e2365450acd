"""Videos with a codec, a rotation or a shape of pixel asked for."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RampVideo = Callable[..., Path]


def encode(
    path: Path,
    pictures: list[np.ndarray],
    *,
    codec: str = "ffv1",
    pix_fmt: str = "yuv444p",
    pts_ms: list[int] | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    source: str = "rgb24",
) -> Path:
    """Write pictures at 25 fps or at the given milliseconds, in a codec and pixel format of the test's choice."""
    with av.open(str(path), "w", container_options=container or {}) as out:
        stream: Any = out.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = Fraction(1, 1000) if pts_ms else Fraction(1, 25)
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format=source)
            frame.pts = pts_ms[index] if pts_ms else index
            frame.time_base = stream.codec_context.time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}


def turned(path: Path, way: int) -> Path:
    """Write into an mp4 how it is to be shown: the matrix of its track header (ISO 14496-12, 8.3.2).

    A point (x, y), y downwards, goes to (a x + c y, b x + d y); turned by 90 degrees (6) the x axis then points down.
    """
    a, b, c, d = MATRICES[way]
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    matrix = struct.unpack(">9i", content[start : start + 36])
    assert matrix == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    content[start : start + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def anamorphic(path: Path, pictures: list[np.ndarray], aspect: str, codec: str = "libx264") -> Path:
    """Write pictures with the width of a pixel over its height."""
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return path
