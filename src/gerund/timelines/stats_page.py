"""The page of `gerund stats --html`: ethogram, bars with every video as a dot, what comes next, curves over time. One file."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gerund.core.files import write_text
from gerund.core.html import fill_template
from gerund.timelines.measures import Spread, spread_of
from gerund.timelines.observations import Bout, Observation
from gerund.timelines.statistics import GroupRow, Statistics, shown
from gerund.video.draw import calm_colours

UNITS = 10_000
"""Width of a row of the ethogram in units of its drawing."""
LEAST_UNITS = 12
"""What a bout has at least, so that it is seen."""
SAME_SCALE = 5.0
"""Videos up to so many times as long as the shortest share one time axis."""
ROWS_NAMED = 80
"""Rows of an ethogram up to which each is named; more are thin, and told when pointed at."""
GROUP_COLOURS = ("#7b8794", "#e07b39", "#7e57c2", "#26a69a")
"""Others than those of labels; the first group is grey."""
HEADROOM = 1.05
"""How much longer an axis is than what stands furthest along it."""
SAME_LENGTH_TIMES = 1.5
"""Where videos are more than so many times as long as others, bouts per hour are compared in place of bouts."""
PANELS = (
    ("count", "Bouts", "number"),
    ("per_hour", "Bouts per hour", "number"),
    ("share", "Share of the time", "percent"),
    ("mean", "Mean length of a bout", "s"),
    ("latency", "Time to the first", "s"),
)


@dataclass(frozen=True)
class Tick:
    """A place from 0 to 100 % and what stands there."""

    place: float
    words: str


@dataclass(frozen=True)
class Strokes:
    """All bouts of a label in a row: their outline in UNITS, and what is said when it is pointed at."""

    colour: str
    outline: str
    told: str


@dataclass(frozen=True)
class RasterRow:
    """A video, or a subject in it; `length` is its share of the axis in %, `points` are places of point events in %."""

    name: str
    group: str
    length: float
    strokes: Sequence[Strokes]
    points: Sequence[tuple[str, float, str]]


@dataclass(frozen=True)
class Raster:
    """Videos of about one length on one time axis; `named` says whether there is room for their names."""

    rows: Sequence[RasterRow]
    ticks: Sequence[Tick]
    named: bool


@dataclass(frozen=True)
class BarRow:
    """A label in a group: its mean as a bar, the interval of the mean, every video as a dot; places in %."""

    label: str
    group: str
    colour: str
    mean: float
    interval: tuple[float, float] | None
    dots: Sequence[float]
    told: str


@dataclass(frozen=True)
class Panel:
    title: str
    rows: Sequence[BarRow]
    ticks: Sequence[Tick]


@dataclass(frozen=True)
class CurveLine:
    """Means over the time bins: points and, around them, the interval, in UNITS from the top left."""

    group: str
    colour: str
    line: str
    band: str


@dataclass(frozen=True)
class CurvePanel:
    title: str
    lines: Sequence[CurveLine]
    across: Sequence[Tick]
    up: Sequence[Tick]


def write_stats_page(statistics: Statistics, path: Path) -> None:
    """Write the page, whole or not at all. Raises DataError when it cannot be written."""
    whole = replace(statistics, bin=None) if statistics.bin is not None else statistics
    colours = calm_colours(statistics.labels)
    groups = list(dict.fromkeys(row.group for row in sorted(whole.rows, key=lambda row: str(row.group))))
    own = GROUP_COLOURS if len(groups) <= len(GROUP_COLOURS) else calm_colours([str(group) for group in groups]).values()
    group_colours = dict(zip(groups, own, strict=False)) if len(groups) > 1 else {}
    videos = len(whole.usable)
    page = fill_template(
        "timelines/stats.html",
        title=f"{videos} video{'s' * (videos != 1)}, {sum(each.duration for each in whole.usable) / 3600:.2f} hours",
        statistics=statistics,
        summary=[whole.label_line(label) for label in whole.labels],
        colours=colours,
        group_colours={str(group): colour for group, colour in group_colours.items()},
        rasters=list(rasters(whole, colours)),
        panels=list(panels(whole, colours, group_colours)),
        transitions=transition_table(whole),
        curves=list(curves(statistics, colours, group_colours)) if statistics.bin else [],
    )
    write_text(path, page)


def rasters(statistics: Statistics, colours: dict[str, str]) -> Iterator[Raster]:
    """The videos by group, in rasters of videos of about one length."""
    waiting: list[Observation] = []
    for each in sorted(statistics.usable, key=lambda each: each.duration):
        if waiting and each.duration > SAME_SCALE * max(waiting[0].duration, 1e-9):
            yield raster(statistics, waiting, colours)
            waiting = []
        waiting.append(each)
    if waiting:
        yield raster(statistics, waiting, colours)


def raster(statistics: Statistics, found: Sequence[Observation], colours: dict[str, str]) -> Raster:
    longest = max(each.duration for each in found) or 1.0
    order = sorted(found, key=lambda each: (str(statistics.groups_of.get(each.path)), str(each.path)))
    rows = [raster_row(statistics, each, subject, longest, colours) for each in order for subject in each.subjects]
    return Raster(rows, time_ticks(longest), len(rows) <= ROWS_NAMED)


def raster_row(
    statistics: Statistics, each: Observation, subject: str | None, longest: float, colours: dict[str, str]
) -> RasterRow:
    own: dict[str, list[Bout]] = defaultdict(list)
    for bout in each.bouts:
        if bout.subject == subject:
            own[bout.label].append(bout)
    name = each.path.name + (f" ({subject})" if subject else "")
    strokes, points = [], []
    for label, bouts in own.items():
        spans = [bout for bout in bouts if not bout.is_point]
        points += [(colours[label], 100 * b.start / longest, f"{name}: {label} at {b.start:.1f} s") for b in bouts if b.is_point]
        if spans:
            told = f"{name}: {label}, {len(spans)} bouts, {sum(bout.seconds for bout in spans):.1f} s"
            strokes.append(Strokes(colours[label], "".join(outline(bout, longest) for bout in spans), told))
    return RasterRow(name, statistics.groups_of.get(each.path) or "", 100 * each.duration / longest, strokes, points)


def outline(bout: Bout, longest: float) -> str:
    left = round(UNITS * bout.start / longest)
    width = max(LEAST_UNITS, round(UNITS * bout.end / longest) - left)
    return f"M{left} 0h{width}v1h-{width}z"


def round_ticks(most: float, about: int = 4) -> list[float]:
    """Round numbers from 0 to about `most`."""
    step = 10 ** math.floor(math.log10(most / about)) if most > 0 else 1.0
    step = next(step * factor for factor in (1, 2, 5, 10) if most / (step * factor) <= about + 1)
    return [step * number for number in range(math.floor(most / step + 1e-9) + 1)]


def time_ticks(longest: float) -> list[Tick]:
    """Times along an axis: seconds, minutes or hours, whichever says it shortest."""
    size, unit = (3600, "h") if longest >= 2 * 3600 else (60, "min") if longest >= 120 else (1, "s")
    ticks = [Tick(100 * value * size / longest, f"{value:g}") for value in round_ticks(longest / size)]
    return [*ticks[:-1], replace(ticks[-1], words=f"{ticks[-1].words} {unit}")]


def panels(statistics: Statistics, colours: dict[str, str], groups: dict[str | None, str]) -> Iterator[Panel]:
    """The measures that have values; counts only where videos are about equally long, rates only where they are not."""
    lengths = [each.duration for each in statistics.usable]
    left_out = "count" if max(lengths, default=0) > SAME_LENGTH_TIMES * min(lengths, default=0) else "per_hour"
    for name, title, unit in PANELS:
        if name != left_out and (panel := bars(statistics, name, title, unit, colours, groups)).rows:
            yield panel


def bars(
    statistics: Statistics, name: str, title: str, unit: str, colours: dict[str, str], groups: dict[str | None, str]
) -> Panel:
    """One measure: a row for each label, and in it for each group."""
    values: dict[tuple[str, str | None], list[float]] = defaultdict(list)
    for row in statistics.rows:
        value = getattr(row.measures, name)
        if value is not None:
            values[row.label, row.group].append(value)
    most = HEADROOM * (max((value for own in values.values() for value in own), default=0.0) or 1.0)
    rows = []
    for label in statistics.labels:
        for group in groups or [next(iter({row.group for row in statistics.rows}), None)]:
            if own := values.get((label, group)):
                rows.append(bar_row(label, group, own, most, groups.get(group) or colours[label], unit))
    words = {"percent": lambda value: f"{100 * value:g} %", "s": lambda value: f"{value:g} s"}.get(
        unit, lambda value: f"{value:g}"
    )
    return Panel(title, rows, [Tick(100 * value / most, words(value)) for value in round_ticks(most)])


def bar_row(label: str, group: str | None, values: Sequence[float], most: float, colour: str, unit: str) -> BarRow:
    found: Spread = spread_of(values)
    factor, sign = (100, " %") if unit == "percent" else (1, " s" if unit == "s" else "")
    between = "" if found.low is None or found.high is None else f" ({shown(factor * found.low)} to {shown(factor * found.high)})"
    told = f"{shown(factor * (found.mean or 0))}{sign}{between}"
    interval = None if found.low is None or found.high is None else (100 * found.low / most, 100 * found.high / most)
    return BarRow(
        label,
        str(group) if group else "",
        colour,
        100 * (found.mean or 0) / most,
        interval,
        [100 * value / most for value in values],
        told,
    )


def transition_table(statistics: Statistics) -> list[dict[str, Any]]:
    """Rows of the transition matrix: label, and for each next label the count and the share of the row."""
    after = statistics.transitions
    return [
        {"label": label, "cells": [(int(n), float(share)) for n, share in zip(counts, shares, strict=True)]}
        for label, counts, shares in zip(after.labels, after.counts, after.probabilities, strict=True)
    ]


def curves(statistics: Statistics, colours: dict[str, str], groups: dict[str | None, str]) -> Iterator[CurvePanel]:
    """A panel for each label: its share of the time, of points the bouts per hour."""
    found = {measure: statistics.spreads(measure) for measure in ("share", "per_hour")}
    for label in statistics.labels:
        measure = "per_hour" if label in statistics.points else "share"
        own = [row for row in found[measure] if row.label == label and row.begin is not None]
        yield curve(label, measure, own, statistics.bin or 1.0, {None: colours[label], **groups})


def curve(label: str, measure: str, rows: Sequence[GroupRow], width: float, colours: Mapping[str | None, str]) -> CurvePanel:
    """The mean over the videos that last so long, in bins of `width` seconds."""
    last = max((row.begin + width for row in rows if row.begin is not None), default=1.0)
    most = max((max(row.spread.high or 0, row.spread.mean or 0) for row in rows), default=0.0) or 1.0
    lines = []
    for group in dict.fromkeys(row.group for row in rows):
        own = [(row.begin + width / 2, row.spread) for row in rows if row.group == group and row.begin is not None]
        places = [(round(UNITS * time / last), each) for time, each in own if each.mean is not None]
        line = " ".join(f"{x},{height(each.mean, most)}" for x, each in places)
        known = [(x, each) for x, each in places if each.low is not None]
        edges = [(x, each.high) for x, each in known] + [(x, each.low) for x, each in reversed(known)]
        band = " ".join(f"{x},{height(value, most)}" for x, value in edges)
        lines.append(CurveLine(str(group) if group else "", colours.get(group) or colours[None], line, band))
    up = [
        Tick(100 * value / most, f"{100 * value:g} %" if measure == "share" else f"{value:g} / h")
        for value in round_ticks(most, 2)
    ]
    return CurvePanel(label, lines, time_ticks(last), up)


def height(value: float | None, most: float) -> int:
    return round(UNITS * (1 - (value or 0.0) / most))
