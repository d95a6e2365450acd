"""From decoded frames to upright RGB pictures of the size that is asked for."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from gerund.core.types import Resize


class PixelAspect(float):
    """Width of a frame's pixels over their height. It travels in `frame.opaque`, since PyAV tells it of streams only."""


def pixel_aspect(stream: Any) -> float:
    """Width of a stream's pixels over their height.

    Less than 1 % is a rounding error of whoever scaled the video, and more than four times no camera makes: both count as square.
    """
    aspect = float(stream.sample_aspect_ratio or 1)
    return aspect if 0.25 <= aspect <= 4 and abs(aspect - 1) > 0.01 else 1.0


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
