"""A timeline as one picture: what was seen, the segments, and the probabilities over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gerund import video
from gerund.core.errors import DataError
from gerund.core.files import whole
from gerund.core.printing import visible
from gerund.core.types import Resize, Segment, Timeline
from gerund.video.draw import GRID, INK, MUTED, ink_on, label_colours

PLOT_SUFFIXES = (".png", ".jpg", ".svg", ".pdf")
PLOT_WIDTH, PLOT_HEIGHT = 12.0, 4.6
"""Inches."""
PLOT_THUMBNAILS = 10
BINS = 1200
"""Places in time that the bands are drawn at, at most."""
LABELS_NAMED = 12
"""Labels that get a colour and a line in the key, at most: those with most probability."""
CHARACTER = 0.075
"""Inches that a letter of a segment's name needs."""
OTHERS_COLOUR = "#d5dae0"


def timeline_plot(path: Path, timeline: Timeline) -> None:
    """Thumbnails, segments and probability bands of one video, as .png, .jpg, .svg or .pdf. Raises DataError when it cannot be written."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PLOT_WIDTH, PLOT_HEIGHT), dpi=150, layout="constrained")
    figure.suptitle(visible(timeline.path.name), x=0.01, ha="left", fontsize=11, color=INK, fontweight="bold", parse_math=False)
    pictures, bars, bands = figure.subplots(nrows=3, sharex=True, height_ratios=(1.25, 0.5, 2))
    colours = colours_of(timeline)
    draw_thumbnails(pictures, timeline)
    draw_segments(bars, timeline.segments, colours, timeline.duration)
    draw_bands(bands, timeline, colours)
    bands.set_xlim(0, timeline.duration)
    try:
        with whole(path) as temporary:
            figure.savefig(temporary)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None


def colours_of(timeline: Timeline) -> dict[str, str]:
    """Colours of the labels that are seen most; each has the one it has in every picture of this model."""
    colours = label_colours(timeline.labels)
    seen = np.argsort(-timeline.scores.mean(axis=0), kind="stable")
    found = dict.fromkeys(segment.label for segment in timeline.segments)
    ranked = list(dict.fromkeys([*found, *(timeline.labels[index] for index in seen)]))[:LABELS_NAMED]
    return {label: colours[label] for label in timeline.labels if label in ranked}


def draw_thumbnails(axes: Any, timeline: Timeline) -> None:
    """Frames from evenly spaced times, each where it was seen."""
    axes.set_axis_off()
    info = video.probe(timeline.path)
    inches = (PLOT_WIDTH - 0.8) / PLOT_THUMBNAILS
    height = 160
    width = round(min(height * info.width / max(info.height, 1), 2 * height))
    resize = Resize(height=height, width=width, fit="letterbox")
    part = timeline.duration / PLOT_THUMBNAILS
    axes.set_ylim(0, 1)
    for number in range(PLOT_THUMBNAILS):
        picture = video.frame_at(timeline.path, (number + 0.5) * part, resize)
        box = axes.inset_axes([(number + 0.03) * part, 0, 0.94 * part, 1], transform=axes.transData)
        box.imshow(picture)
        box.set_anchor("S")
        box.set_axis_off()
    axes.set_box_aspect(min(inches * height / width, 1.4) / (PLOT_WIDTH - 0.8))


def draw_segments(axes: Any, segments: Sequence[Segment], colours: Mapping[str, str], duration: float) -> None:
    """One bar per segment, with its name where there is room."""
    axes.set_axis_off()
    axes.set_ylim(0, 1)
    for segment in segments:
        colour = colours.get(segment.label, OTHERS_COLOUR)
        length = segment.end - segment.start
        axes.barh(0.5, length, left=segment.start, height=1, color=colour, edgecolor="white", linewidth=0.6)
        room = int(length / duration * (PLOT_WIDTH - 1) / CHARACTER)
        if room >= 4:
            text = segment.label if len(segment.label) <= room else f"{segment.label[: room - 1]}…"
            style = {"ha": "center", "va": "center", "fontsize": 8, "color": ink_on(colour), "clip_on": True}
            axes.text(segment.start + length / 2, 0.48, text, parse_math=False, **style)


def draw_bands(axes: Any, timeline: Timeline, colours: Mapping[str, str]) -> None:
    """Probabilities stacked up to 1; labels that are hardly seen together in grey."""
    from matplotlib.ticker import FuncFormatter, PercentFormatter

    times, scores = binned(timeline)
    named = [list(timeline.labels).index(label) for label in colours]
    rest = 1 - scores[:, named].sum(axis=1)
    names = list(colours) + (["all others"] if len(named) < len(timeline.labels) else [])
    layers = [*scores[:, named].T, rest][: len(names)]
    axes.stackplot(times, *layers, colors=[*colours.values(), OTHERS_COLOUR], labels=names, linewidth=0)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: hours(seconds, timeline.duration)))
    axes.set_ylabel("probability", color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(colors=MUTED, labelsize=9)
    key = axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=6, frameon=False, fontsize=8, labelcolor=INK, handlelength=1
    )
    for text in key.get_texts():
        text.set_parse_math(False)


def binned(timeline: Timeline) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,) and mean probabilities (n, K) of at most BINS equal parts, drawn from the start of the video to its end."""
    edges = np.unique(np.linspace(0, len(timeline.pts), BINS + 1).round().astype(int))
    scores = np.add.reduceat(timeline.scores, edges[:-1], axis=0) / np.diff(edges)[:, None]
    starts = timeline.pts[edges[:-1]]
    ends = np.append(starts[1:], timeline.duration)
    return np.repeat(np.append(starts, ends[-1]), 2)[1:-1], np.repeat(scores, 2, axis=0)


def hours(seconds: float, duration: float) -> str:
    """1:02:03, or 2:03 in a video shorter than an hour, or 2.5 s in one shorter than a minute."""
    if duration < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if duration >= 3600 else f"{minutes}:{rest:02d}"
