"""Many bouts in one film: one after the other (a reel), or side by side (a grid). Without sound."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gerund.core.errors import VideoError
from gerund.core.types import Clip, Resize, clock_time
from gerund.video import Writer, probe
from gerund.video.converter import FrameConverter
from gerund.video.cutting import pictures_between
from gerund.video.draw import fitting_text, font

REEL_HEIGHT = 720
"""Pixels: a reel is as large as its first video, and no higher than this."""
CELL_WIDTH, CELL_HEIGHT, CAPTION = 240, 180, 18
GRID_FPS, GRID_SECONDS, MOST_CELLS = 12.5, 8.0, 25
"""A grid shows the first seconds of so many bouts, spread evenly over all; shorter ones begin again until the longest is over."""


def write_reel(clips: Sequence[Clip], out: Path, tick: Callable[[], None] = lambda: None) -> dict[Path, str]:
    """Bouts one after the other, all in the size of the first; returns the videos that could not be read, with the reasons.

    Raises VideoError when none could.
    """
    info = probe(clips[0].path)
    height = min(info.height, REEL_HEIGHT) // 2 * 2
    width = max(2, round(info.width * height / info.height) // 2 * 2)
    convert = FrameConverter(Resize(height=max(2, height), width=width, fit="letterbox"))
    failed: dict[Path, str] = {}
    with Writer(out) as writer:
        begin = 0.0
        for clip in clips:
            length = (clip.end or clip.start) - clip.start
            try:
                for seconds, frame in pictures_between(clip.path, clip.start, clip.start + length):
                    writer.add(convert(frame), begin + seconds)
                begin += length
            except VideoError as error:
                failed[clip.path] = str(error)
            tick()
        writer.end = begin
        if begin == 0:
            raise VideoError(f"{out}: none of its bouts can be read ({next(iter(failed.values()))})")
    return failed


def write_grid(clips: Sequence[Clip], out: Path, tick: Callable[[], None] = lambda: None) -> dict[Path, str]:
    """Up to MOST_CELLS bouts side by side, each with its video and time below it. Returns and raises as `write_reel`."""
    places = np.unique(np.linspace(0, len(clips) - 1, min(MOST_CELLS, len(clips))).round().astype(int))
    cells, failed = [], {}
    for clip in (clips[place] for place in places):
        try:
            cells.append(cell_of(clip))
        except VideoError as error:
            failed[clip.path] = str(error)
        tick()
    if not cells:
        raise VideoError(f"{out}: none of its bouts can be read ({next(iter(failed.values()))})")
    columns = math.ceil(math.sqrt(len(cells)))
    rows = math.ceil(len(cells) / columns)
    blank = np.zeros_like(cells[0][0])
    with Writer(out) as writer:
        for step in range(max(map(len, cells))):
            shown = [cell[step % len(cell)] for cell in cells] + [blank] * (rows * columns - len(cells))
            lines = [np.concatenate(shown[row * columns : (row + 1) * columns], axis=1) for row in range(rows)]
            writer.add(np.concatenate(lines), step / GRID_FPS)
    return failed


def cell_of(clip: Clip) -> list[np.ndarray]:
    """The pictures of a cell at GRID_FPS, (CELL_HEIGHT + CAPTION, CELL_WIDTH, 3) uint8 each."""
    end = min(clip.end or math.inf, clip.start + GRID_SECONDS)
    convert = FrameConverter(Resize(height=CELL_HEIGHT, width=CELL_WIDTH, fit="letterbox"))
    caption = np.array(caption_of(clip))
    found: list[np.ndarray] = []
    held = None
    for seconds, frame in itertools.chain(pictures_between(clip.path, clip.start, end), [(end - clip.start, None)]):
        while held is not None and len(found) / GRID_FPS < seconds - 1e-6:
            found.append(np.concatenate([convert(held), caption]))
        held = frame
    return found


def caption_of(clip: Clip) -> Image.Image:
    """The name of the video and the time at which the bout begins, as a strip."""
    strip = Image.new("RGB", (CELL_WIDTH, CAPTION), "#11161d")
    draw = ImageDraw.Draw(strip)
    time = clock_time(clip.start)
    room = CELL_WIDTH - 12 - draw.textlength(time, font=font(11))
    draw.text((4, CAPTION / 2), fitting_text(draw, clip.path.name, room, 11), font=font(11), fill="#ffffff", anchor="lm")
    draw.text((CELL_WIDTH - 4, CAPTION / 2), time, font=font(11), fill="#a9b4c0", anchor="rm")
    return strip
