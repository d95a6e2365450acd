"""Drawing answers into video, frame by frame: nothing piles up in memory, and every frame keeps its own time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from gerund.core.errors import UsageError
from gerund.core.types import Clip, Resize, Timeline
from gerund.video.container import OWN_FILE, Trust
from gerund.video.converter import FrameConverter
from gerund.video.draw import fitting_text, font, ink_on, label_colours
from gerund.video.rate import TIME_SLACK
from gerund.video.reader import read, wanted_frames
from gerund.video.writer import ANIMATIONS, LEAST_LEAD, Writer

FORMATS = (".mp4", ".mov", ".mkv", ".gif", ".webp")
LEAST_WIDTH = 320
"""Pixels: smaller videos are enlarged by a whole factor, and then have black at their sides, so that the text can be read."""
LARGEST_SIDE = 4096
"""Pixels: larger videos are made smaller, since players and encoders stop here."""
ROWS = 3
DARK, BRIGHT, DIM, TRACK, ACCENT = "#11161d", "#ffffff", "#a9b4c0", "#2a333e", "#38bdf8"
LEAST_ROOM, SHORTEST_BAR = 0.55, 0.08
"""Of the width: labels have so much room, and more where they are long and the bar may be shorter."""
PALETTE_FRAMES = 12
ANIMATION_FPS, ANIMATION_WIDTH, ANIMATION_SECONDS = 12.5, 480, 300.0
"""What a .gif or .webp has at most: they are for looking at in a page, and their encoders hold the whole file in memory."""
STRIP_SECONDS = 20.0
"""How much of the timeline is seen at once."""


def check_format(path: Path) -> None:
    """Raise UsageError for an output that is neither a video nor an animation."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: unknown format {path.suffix!r} for a video; choose one of {', '.join(FORMATS)}")


def annotate(clip: Clip, scores: Sequence[tuple[str, float]], out: Path) -> None:
    """Write a clip with its ranked labels below it: the best in bold with its percentage and bar, then the next two.

    `scores` are (label, probability) pairs, highest first. Raises VideoError when the clip cannot be read or `out` not written.
    """
    panel = cache(lambda width: answer_panel(width, scores[:ROWS]))
    draw_below(clip, lambda width, seconds: panel(width), out)


def annotate_timeline(
    timeline: Timeline, out: Path, *, tick: Callable[[float], None] = lambda seconds: None, trust: Trust = OWN_FILE
) -> None:
    """Write a video with what is seen at each moment below it: ranked labels, and a strip of segments that moves along.

    `tick` is told the seconds that are done. Raises VideoError when the video cannot be read or `out` not written, UsageError for
    an animation of more than ANIMATION_SECONDS.
    """
    if out.suffix.lower() in ANIMATIONS and timeline.duration > ANIMATION_SECONDS:
        raise UsageError(
            f"{out}: {timeline.duration:.0f} s are too long for {out.suffix} (at most {ANIMATION_SECONDS:g} s); write an .mp4"
        )
    colours = label_colours(timeline.labels)
    panel = lru_cache(maxsize=1)(lambda width, step: moment_panel(width, timeline, step, colours))

    def below(width: int, seconds: float) -> np.ndarray:
        step = max(0, int(np.searchsorted(timeline.pts, seconds + TIME_SLACK)) - 1)
        tick(seconds)
        return np.concatenate([panel(width, step), strip(width, timeline, seconds, colours)])

    draw_below(Clip(path=timeline.path), below, out, trust)


def draw_below(clip: Clip, panel: Callable[[int, float], np.ndarray], out: Path, trust: Trust = OWN_FILE) -> None:
    """Write a clip frame by frame, each with `panel(width, seconds)` (H, width, 3) below it; sound goes along where the format has it.

    Small videos are enlarged; animations are at most ANIMATION_WIDTH wide and ANIMATION_FPS fast.
    """
    check_format(out)
    animation = out.suffix.lower() in ANIMATIONS
    height, width = shown_size(next(read(clip.path, block=1, trust=trust)).data.shape[1:3], animation=animation)
    convert = FrameConverter(Resize(height=height, width=width, fit="squeeze"))
    width = max(width, LEAST_WIDTH)

    def pictures(fps: float | None) -> Iterator[tuple[float, np.ndarray]]:
        for seconds, frame in in_span(wanted_frames(clip.path, fps=fps, ended=ends.append, trust=trust), clip):
            yield seconds - clip.start, np.concatenate([widened(convert(frame), width), panel(width, seconds)])

    ends = [math.inf if clip.end is None else clip.end]
    palette = (
        shared_palette(picture for _, picture in islice(pictures(1.0), PALETTE_FRAMES)) if out.suffix.lower() == ".gif" else None
    )
    colours = None if palette is None else np.resize(np.array(palette.getpalette(), np.uint8), (256, 3))
    sound = clip.path if clip.start == 0 and clip.end is None else None
    with Writer(out, palette=colours, sound=sound, trust=trust) as writer:
        for seconds, picture in pictures(ANIMATION_FPS if animation else None):
            writer.add(picture if palette is None else indexed(picture, palette), seconds)
        writer.end = min(ends) - clip.start if math.isfinite(min(ends)) else None


def in_span(frames: Iterable[tuple[float, Any]], clip: Clip) -> Iterator[tuple[float, Any]]:
    """The frames that come on screen within a clip; before them the one that stands on it when the clip begins, if it stays a while."""
    standing = None
    for seconds, frame in frames:
        if clip.end is not None and seconds >= clip.end:
            break
        if seconds < clip.start:
            standing = frame
            continue
        if standing is not None and seconds - clip.start > LEAST_LEAD:
            yield clip.start, standing
        standing = None
        yield seconds, frame
    if standing is not None:
        yield clip.start, standing


def shown_size(size: tuple[int, int], *, animation: bool) -> tuple[int, int]:
    """Height and width that a video of `size` is drawn with, both even: enlarged by a whole factor, or made to fit LARGEST_SIDE."""
    height, width = size
    largest = LARGEST_SIDE / max(height, width)
    factor: float = min(max(1, -(-LEAST_WIDTH // width)), max(1, int(largest)))
    factor = min(factor, largest, ANIMATION_WIDTH / width if animation and width > ANIMATION_WIDTH else factor)
    return max(2, round(height * factor) // 2 * 2), max(2, round(width * factor) // 2 * 2)


def widened(picture: np.ndarray, width: int) -> np.ndarray:
    """A picture (H, W, 3) in the middle of a black one of a width."""
    left = (width - picture.shape[1]) // 2
    return np.pad(picture, ((0, 0), (left, width - picture.shape[1] - left), (0, 0))) if picture.shape[1] < width else picture


def moment_panel(width: int, timeline: Timeline, step: int, colours: Mapping[str, str]) -> np.ndarray:
    """The likeliest labels of one step; the bar of the best has its label's colour while a segment of it is on."""
    scores = timeline.scores[step]
    ranked = [(timeline.labels[index], float(scores[index])) for index in np.argsort(-scores, kind="stable")[:ROWS]]
    time = timeline.pts[step]
    on = any(each.start <= time < each.end and each.label == ranked[0][0] for each in timeline.segments)
    return answer_panel(width, ranked, accent=colours[ranked[0][0]] if on else DIM)


def strip(width: int, timeline: Timeline, seconds: float, colours: Mapping[str, str]) -> np.ndarray:
    """The segments around a moment, (H, width, 3) uint8: STRIP_SECONDS of them pass by under a line that marks the moment."""
    size = max(10, width // 32)
    pad = max(6, width // 40)
    height = (round(size * 1.8) + pad + 1) // 2 * 2
    span = min(STRIP_SECONDS, timeline.duration)
    left = min(max(seconds - span / 2, 0.0), timeline.duration - span)
    scale = (width - 2 * pad) / span
    picture = Image.new("RGB", (width, height), DARK)
    draw = ImageDraw.Draw(picture)
    bottom = height - pad
    draw.rectangle([pad, 0, width - pad, bottom], fill=TRACK)
    for each in timeline.segments:
        if each.end <= left or each.start >= left + span:
            continue
        first, last = (pad + (min(max(time, left), left + span) - left) * scale for time in (each.start, each.end))
        draw.rectangle([first, 0, max(first, last - 2), bottom], fill=colours[each.label])
        if last - first > 3 * size:
            text = fitting_text(draw, each.label, last - first - size, size)
            draw.text(((first + last) / 2, bottom / 2), text, font=font(size), fill=ink_on(colours[each.label]), anchor="mm")
    place = pad + (min(seconds, timeline.duration) - left) * scale
    thickness = max(1, size // 8)
    draw.rectangle([place - thickness, 0, place + thickness, bottom], fill=BRIGHT)
    return np.array(picture)


def answer_panel(width: int, scores: Sequence[tuple[str, float]], *, accent: str = ACCENT) -> np.ndarray:
    """Ranked labels with bars and percentages as a strip (H, width, 3) uint8; all sizes grow with the width.

    A label whose score is NaN has neither.
    """
    size = max(12, width // 18)
    small = max(10, round(size * 0.72))
    pad = max(6, width // 40)
    heights = [round(size * 1.6), *[round(small * 1.6)] * (len(scores) - 1)]
    height = (pad * 2 + sum(heights) + 1) // 2 * 2
    strip = Image.new("RGB", (width, height), DARK)
    draw = ImageDraw.Draw(strip)
    top = pad
    share_width = draw.textlength("100 %", font=font(size, bold=True)) + pad
    bar_right = round(width - pad - share_width)
    faces = [(label, font(size, bold=True) if rank == 0 else font(small)) for rank, (label, _) in enumerate(scores)]
    longest = max(draw.textlength(label, font=face) for label, face in faces) if faces else 0.0
    bar_left = round(min(max(longest + 2 * pad, width * LEAST_ROOM), bar_right - width * SHORTEST_BAR))
    for rank, ((label, score), line) in enumerate(zip(scores, heights, strict=True)):
        face, colour = (size, BRIGHT) if rank == 0 else (small, DIM)
        middle = top + line / 2
        bare = math.isnan(score)
        text = fitting_text(draw, label, (width if bare else bar_left) - 2 * pad, face, bold=rank == 0)
        draw.text((pad, middle), text, font=font(face, bold=rank == 0), fill=colour, anchor="lm")
        top += line
        if bare:
            continue
        thickness = max(2, face // 5)
        draw.rounded_rectangle([bar_left, middle - thickness, bar_right, middle + thickness], thickness, fill=TRACK)
        full = bar_left + (bar_right - bar_left) * score
        if full - bar_left >= 2 * thickness:
            bar = accent if rank == 0 else DIM
            draw.rounded_rectangle([bar_left, middle - thickness, full, middle + thickness], thickness, fill=bar)
        draw.text((width - pad, middle), f"{100 * score:.0f} %", font=font(face, bold=rank == 0), fill=colour, anchor="rm")
    return np.array(strip)


def shared_palette(pictures: Iterable[np.ndarray]) -> Image.Image:
    """One palette for a whole GIF, from pictures spread over it: steady colours and a small file."""
    strip = np.concatenate([picture[::2, ::2].reshape(-1, 3) for picture in pictures])
    return Image.fromarray(strip[None]).quantize(256, method=Image.Quantize.MEDIANCUT)


def indexed(picture: np.ndarray, palette: Image.Image) -> np.ndarray:
    """A picture (H, W, 3) as indices (H, W) into a palette; undithered, since dither flickers and does not compress."""
    return np.array(Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE))
