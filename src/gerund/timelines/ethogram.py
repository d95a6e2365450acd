"""The ethogram of many videos as a figure for a paper: every bout, and each label's share of the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gerund.core.errors import DataError
from gerund.core.files import whole
from gerund.timelines.measures import spread_of
from gerund.timelines.observations import Observation
from gerund.timelines.statistics import Statistics
from gerund.video.draw import GRID, INK, MUTED, calm_colours


def ethogram_plot(path: Path, statistics: Statistics) -> None:
    """All videos as rows of an ethogram, and each label's share of the time (points have none), every video as a dot.

    Raises DataError when it cannot be written.
    """
    from matplotlib.figure import Figure

    statistics = replace(statistics, bin=None)
    colours = calm_colours(statistics.labels)
    rows = [(each, subject) for each in statistics.usable for subject in each.subjects]
    height = 1.6 + min(14.0, 0.16 * len(rows)) + 0.32 * len(statistics.labels)
    figure = Figure(figsize=(7.2, height), dpi=200, layout="constrained")
    tall, low = figure.subplots(nrows=2, height_ratios=(max(1, 0.16 * len(rows)), max(0.6, 0.32 * len(statistics.labels))))
    draw_ethogram(tall, rows, colours)
    draw_shares(low, statistics, colours)
    key = [tall.barh(0, 0, color=colour) for colour in colours.values()]
    made = figure.legend(key, list(colours), loc="outside upper center", ncols=6, frameon=False, fontsize=8, handlelength=1)
    for text in made.get_texts():
        text.set_parse_math(False)
    try:
        with whole(path) as temporary:
            figure.savefig(temporary)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None


def draw_ethogram(axes: Any, rows: Sequence[tuple[Observation, str | None]], colours: Mapping[str, str]) -> None:
    for place, (each, subject) in enumerate(rows):
        axes.barh(place, each.duration, height=0.8, color=GRID)
        for label, colour in colours.items():
            own = [bout for bout in each.bouts if bout.label == label and bout.subject == subject]
            axes.broken_barh(
                [(bout.start, bout.seconds) for bout in own if not bout.is_point], (place - 0.4, 0.8), facecolors=colour
            )
            points = [bout.start for bout in own if bout.is_point]
            axes.plot(points, [place] * len(points), "o", color=colour, markersize=2.5)
    names = [each.path.stem + (f" ({subject})" if subject else "") for each, subject in rows]
    axes.set_yticks(range(len(rows)) if len(rows) <= 60 else [], names if len(rows) <= 60 else [], fontsize=6, parse_math=False)
    axes.invert_yaxis()
    axes.margins(x=0, y=0.01)
    axes.set_xlabel("seconds", fontsize=8, color=INK)
    plain_axes(axes)


def draw_shares(axes: Any, statistics: Statistics, colours: Mapping[str, str]) -> None:
    """A bar for each label, its mean over the videos with the interval, and the videos as dots."""
    states = [label for label in statistics.labels if label not in statistics.points]
    for place, label in enumerate(states):
        known = np.array([row.measures.share for row in statistics.rows if row.label == label], float)
        known = known[np.isfinite(known)]
        found = spread_of(known.tolist())
        axes.barh(place, found.mean, height=0.55, color=colours[label], alpha=0.4)
        axes.plot(known, place + np.resize((-0.15, 0.05, 0.15, -0.05), len(known)), "o", color=colours[label], markersize=2)
        if found.low is not None and found.high is not None:
            axes.plot([found.low, found.high], [place, place], color=INK, linewidth=1)
    axes.set_yticks(range(len(states)), states, fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("share of the time; bar: mean and 95 % interval, dots: videos", fontsize=8, color=INK)
    plain_axes(axes)


def plain_axes(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(colors=MUTED, labelsize=7)
