"""Drawing answers into video, frame by frame: nothing piles up in memory, and every frame keeps its own time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gerund import video
from gerund.drawing import fitting_text, font
from gerund.errors import UsageError
from gerund.sampling import at_rate
from gerund.types import Clip, Resize

FORMATS = (".mp4", ".mov", ".mkv", ".gif", ".webp")
LEAST_WIDTH = 320
"""Pixels: smaller videos are enlarged by a whole factor, so that the text can be read."""
ROWS = 3
DARK, BRIGHT, DIM, TRACK, ACCENT = "#11161d", "#ffffff", "#a9b4c0", "#2a333e", "#38bdf8"
PALETTE_FRAMES = 12


def check_format(path: Path) -> None:
    """Raise UsageError for an output that is neither a video nor an animation."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--save-video {path}: unknown format {path.suffix!r}; choose one of {', '.join(FORMATS)}")


def annotate(clip: Clip, scores: Sequence[tuple[str, float]], out: Path) -> None:
    """Write a clip with its ranked labels below it: the best in bold with its percentage and bar, then the next two.

    `scores` are (label, probability) pairs, highest first. Raises VideoError when the clip cannot be read or `out` not written.
    """
    check_format(out)
    first = next(video.read(clip.path, block=1)).data[0]
    factor = max(1, -(-LEAST_WIDTH // first.shape[1]))
    below = answer_panel(first.shape[1] * factor, scores[:ROWS])
    palette = shared_palette(clip.path, below) if out.suffix.lower() == ".gif" else None
    colours = None if palette is None else np.resize(np.array(palette.getpalette(), np.uint8), (256, 3))
    size = Resize(height=first.shape[0] * factor, width=first.shape[1] * factor, fit="squeeze") if factor > 1 else None
    convert = video.FrameConverter(size)
    with video.Writer(out, palette=colours) as writer:
        for seconds, frame in video.decode(clip.path):
            if clip.end is not None and seconds >= clip.end:
                break
            if seconds < clip.start:
                continue
            picture = np.concatenate([convert(frame), below])
            writer.add(picture if palette is None else indexed(picture, palette), seconds - clip.start)


def answer_panel(width: int, scores: Sequence[tuple[str, float]]) -> np.ndarray:
    """Ranked labels with bars and percentages as a strip (H, width, 3) uint8; all sizes grow with the width."""
    size = max(12, width // 18)
    small = max(10, round(size * 0.72))
    pad = max(6, width // 40)
    heights = [round(size * 1.6), *[round(small * 1.6)] * (len(scores) - 1)]
    height = (pad * 2 + sum(heights) + 1) // 2 * 2
    strip = Image.new("RGB", (width, height), DARK)
    draw = ImageDraw.Draw(strip)
    top = pad
    share_width = draw.textlength("100 %", font=font(size, bold=True)) + pad
    bar_left, bar_right = round(width * 0.55), round(width - pad - share_width)
    for rank, ((label, score), line) in enumerate(zip(scores, heights, strict=True)):
        face, colour = (size, BRIGHT) if rank == 0 else (small, DIM)
        middle = top + line / 2
        text = fitting_text(draw, label, bar_left - 2 * pad, face, bold=rank == 0)
        draw.text((pad, middle), text, font=font(face, bold=rank == 0), fill=colour, anchor="lm")
        thickness = max(2, face // 5)
        draw.rounded_rectangle([bar_left, middle - thickness, bar_right, middle + thickness], thickness, fill=TRACK)
        full = bar_left + (bar_right - bar_left) * score
        if full - bar_left >= 2 * thickness:
            bar = ACCENT if rank == 0 else DIM
            draw.rounded_rectangle([bar_left, middle - thickness, full, middle + thickness], thickness, fill=bar)
        draw.text((width - pad, middle), f"{100 * score:.0f} %", font=font(face, bold=rank == 0), fill=colour, anchor="rm")
        top += line
    return np.array(strip)


def shared_palette(path: Path, below: np.ndarray) -> Image.Image:
    """One palette for a whole GIF, from the panel and frames spread over the video: steady colours and a small file."""
    convert = video.FrameConverter(None)
    tiles = [convert(frame)[::2, ::2] for _, frame in islice(at_rate(video.decode(path), 1.0), PALETTE_FRAMES)]
    strip = np.concatenate([tile.reshape(-1, 3) for tile in tiles] + [below[::2, ::2].reshape(-1, 3)])
    return Image.fromarray(strip[None]).quantize(256, method=Image.Quantize.MEDIANCUT)


def indexed(picture: np.ndarray, palette: Image.Image) -> np.ndarray:
    """A picture (H, W, 3) as indices (H, W) into a palette; undithered, since dither flickers and does not compress."""
    return np.array(Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE))
