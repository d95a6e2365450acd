"""Charts as marks: what stands where, in which role. They take numbers and compute nothing but the layout.

`chart.html` writes them as SVG that follows the colours of a page, light and dark; `plots` draws them as pictures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

CHART_WIDTH, CHART_HEIGHT = 340, 210
MARGIN_LEFT, MARGIN_RIGHT, MARGIN_TOP, MARGIN_BOTTOM = 40, 18, 14, 34
CLASSES_NAMED = 30
"""Classes whose names are written at a confusion matrix; those of more are told when pointed at."""
LETTER = 6.2
"""Width of a letter, about."""


@dataclass(frozen=True)
class Line:
    """`kind` is grid or dash."""

    x1: float
    y1: float
    x2: float
    y2: float
    kind: str
    shape: ClassVar[str] = "line"


@dataclass(frozen=True)
class Text:
    """`y` is that of the baseline; `kind` is soft, on (a filled square) or empty; `turn` in degrees, clockwise."""

    x: float
    y: float
    words: str
    anchor: Literal["start", "middle", "end"] = "middle"
    kind: str = ""
    turn: float = 0
    shape: ClassVar[str] = "text"


@dataclass(frozen=True)
class Box:
    """`told` is what is said when it is pointed at."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    opacity: float = 1.0
    told: str = ""
    shape: ClassVar[str] = "box"


@dataclass(frozen=True)
class Curve:
    points: Sequence[tuple[float, float]]
    colour: str
    shape: ClassVar[str] = "curve"


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    colour: str
    shape: ClassVar[str] = "dot"


Mark = Line | Text | Box | Curve | Dot


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Marks on a sheet of width x height units; `label` is what a screen reader says. Colours are accent, second and soft.

    `wide` fills the room there is, `natural` shrinks where there is too little, `fixed` keeps its size for a frame that scrolls.
    """

    label: str
    width: float = CHART_WIDTH
    height: float = CHART_HEIGHT
    kind: Literal["wide", "natural", "fixed"] = "wide"
    marks: list[Mark] = field(default_factory=list)


def ticks(low: float, high: float) -> list[float]:
    """About four round numbers between two values."""
    step = 10 ** math.floor(math.log10((high - low) / 2 or 1))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 5)
    return [step * number for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


class Axes:
    """A frame of CHART_WIDTH x CHART_HEIGHT units whose values run from (x0, y0) to (x1, y1)."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x0, self.x1 = x if x[1] > x[0] else (x[0], x[0] + 1)
        self.y0, self.y1 = y if y[1] > y[0] else (y[0], y[0] + 1)

    def x(self, value: float) -> float:
        return MARGIN_LEFT + (value - self.x0) / (self.x1 - self.x0) * (CHART_WIDTH - MARGIN_LEFT - MARGIN_RIGHT)

    def y(self, value: float) -> float:
        return (
            CHART_HEIGHT - MARGIN_BOTTOM - (value - self.y0) / (self.y1 - self.y0) * (CHART_HEIGHT - MARGIN_TOP - MARGIN_BOTTOM)
        )

    def marks(self, x_name: str, x_ticks: Mapping[float, str], y_ticks: Mapping[float, str]) -> list[Mark]:
        """Lines across with their values at the left, values below, and what these are."""
        found: list[Mark] = []
        for value, words in y_ticks.items():
            y = self.y(value)
            found += [
                Line(MARGIN_LEFT, y, CHART_WIDTH - MARGIN_RIGHT, y, "grid"),
                Text(MARGIN_LEFT - 6, y + 4, words, "end", "soft"),
            ]
        found += [Text(self.x(value), CHART_HEIGHT - MARGIN_BOTTOM + 14, words, kind="soft") for value, words in x_ticks.items()]
        return [*found, Text((MARGIN_LEFT + CHART_WIDTH - MARGIN_RIGHT) / 2, CHART_HEIGHT - 5, x_name, kind="soft")]


@dataclass(frozen=True, kw_only=True)
class History:
    """Loss and top-1 accuracy over the epochs; `kept` is the epoch whose weights were kept, from 1.

    `second` says what the second line of both is of.
    """

    losses: dict[str, list[float]]
    accuracies: dict[str, list[float]]
    kept: int
    second: str


def history_of(rows: Sequence[Mapping[str, Any]], *, validated: bool) -> History:
    """From the rows of results.csv; where nothing was validated, the last epoch was kept."""
    second = "validation" if validated else "training clips after the epoch"

    def lines(train: str, other: str) -> dict[str, list[float]]:
        return {"train": [float(row[train]) for row in rows], second: [float(row[other]) for row in rows]}

    losses = lines("train/loss", "val/loss")
    kept = int(np.argmin(losses[second])) + 1 if validated else len(rows)
    accuracies = lines("train/accuracy_top1", "metrics/accuracy_top1")
    return History(losses=losses, accuracies=accuracies, kept=kept, second=second)


def line_chart(label: str, lines: Mapping[str, Sequence[float]], *, kept: int, percent: bool = False) -> Chart:
    """Lines over the epochs 1, 2 ...; `kept` is the epoch whose weights were kept."""
    values = [value for line in lines.values() for value in line]
    epochs = len(next(iter(lines.values())))
    low, high = (min(0.0, *values), 1.0) if percent else (min(values), max(values))
    axes = Axes((1, epochs), (low, high))
    whole = {float(tick): f"{tick:g}" for tick in (1, *ticks(1, max(epochs, 2))) if tick == int(tick) and tick <= epochs}
    across = {tick: f"{100 * tick:.0f} %" if percent else f"{tick:g}" for tick in ticks(axes.y0, axes.y1)}
    x = axes.x(kept)
    marks = [*axes.marks("epoch", whole, across), Line(x, MARGIN_TOP, x, CHART_HEIGHT - MARGIN_BOTTOM, "dash")]
    for colour, line in zip(("accent", "second"), lines.values(), strict=False):
        marks.append(Curve([(axes.x(1 + number), axes.y(value)) for number, value in enumerate(line)], colour))
        marks.append(Dot(x, axes.y(line[kept - 1]), colour))
    return Chart(label=label, marks=marks)


def reliability_chart(rows: np.ndarray) -> Chart:
    """Accuracy over confidence, from `metrics.reliability` (bins, 3): bars of accuracy, the diagonal, and the number of clips."""
    axes = Axes((0, 1), (0, 1))
    fifths = {tick / 5: f"{20 * tick} %" for tick in range(6)}
    marks = axes.marks("probability that the model gives its answer", fifths, fifths)
    most = rows[:, 0].max() or 1
    for number, (clips, confidence, accuracy) in enumerate(rows):
        if not clips:
            continue
        left, right, top = axes.x(number / len(rows)) + 1, axes.x((number + 1) / len(rows)) - 1, axes.y(accuracy)
        told = f"{clips:.0f} clips: {100 * confidence:.0f} % sure, {100 * accuracy:.0f} % right"
        marks.append(Box(left, top, right - left, axes.y(0) - top, "accent", 0.25 + 0.75 * clips / most, told))
        marks.append(Text((left + right) / 2, max(top - 3, 10), f"{clips:.0f}", kind="soft"))
    marks.append(Line(axes.x(0), axes.y(0), axes.x(1), axes.y(1), "dash"))
    return Chart(label="Accuracy over confidence", marks=marks)


def confusion_chart(matrix: np.ndarray, labels: Sequence[str], *, normalized: bool = False) -> Chart:
    """Counts (K, K + 1) as squares, rows true, columns answered; the last column is shown when some clip has no answer.

    `normalized` writes the share of the true class, in per cent, in place of the count.
    """
    columns = [*labels, "(no answer)"] if matrix[:, -1].any() else list(labels)
    named = len(labels) <= CLASSES_NAMED
    side = 60 if len(labels) <= 6 else 32 if named else 7
    longest = max(len(name) for name in columns)
    left, top = (6 + LETTER * longest, 10 + 0.72 * LETTER * longest) if named else (8, 8)
    right = 0.72 * LETTER * len(columns[-1]) if named else 8
    totals = np.maximum(matrix.sum(axis=1), 1)
    marks: list[Mark] = [Box(left, top, side * len(columns), side * len(labels), "soft")]
    for row, column in zip(*np.nonzero(matrix), strict=True):
        x, y, share = left + side * column, top + side * row, matrix[row, column] / totals[row]
        told = f"{labels[row]} answered {columns[column]}: {matrix[row, column]} of {totals[row]}"
        colour = "accent" if row == column else "second"
        marks.append(Box(x, y, side - 1, side - 1, colour, 0.3 + 0.7 * share, told))
        if named:
            words = f"{100 * share:.0f}" if normalized else str(matrix[row, column])
            marks.append(Text(x + side / 2, y + side / 2 + 4, words, kind="on" if share > 0.5 else ""))
    if named:
        marks += [Text(left + side * (place + 0.5), top - 6, name, "start", turn=-45) for place, name in enumerate(columns)]
        marks += [Text(left - 6, top + side * (place + 0.5) + 4, name, "end") for place, name in enumerate(labels)]
    size = {"width": left + side * len(columns) + right, "height": top + side * len(labels) + 6}
    return Chart(label="Confusion matrix", **size, kind="fixed" if named else "natural", marks=marks)
