"""Charts as SVG for a page: they follow its colours, light and dark. They take numbers and compute nothing but the layout."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 40, 18, 14, 34
NAMED = 30
"""Classes whose names are written at a confusion matrix; those of more are told when pointed at."""
COLOURS = ("var(--accent)", "var(--second)")

STYLE = """
svg { display: block; max-width: 100%; height: auto; font: 11px system-ui, sans-serif; fill: var(--ink) }
svg.fixed { max-width: none }
svg .grid { stroke: var(--line) }
svg .soft { fill: var(--dim) }
svg .on { fill: var(--paper) }
svg polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round }
svg .dash { stroke: var(--dim); stroke-dasharray: 3 3; fill: none }
"""


def svg(width: float, height: float, label: str, marks: Sequence[str], *, kind: str = "wide") -> str:
    """One chart; `label` is what a screen reader says.

    `wide` fills the room there is, `natural` shrinks where there is too little, `fixed` keeps its size for a frame that scrolls.
    """
    size = "100%" if kind == "wide" else f"{width:.0f}"
    start = f'<svg class="{kind}" width="{size}" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(label)}">'
    return start + "".join(marks) + "</svg>"


def text(x: float, y: float, words: str, *, anchor: str = "middle", kind: str = "", turn: float = 0) -> str:
    turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}"{turned}>{escape(words)}</text>'


def ticks(low: float, high: float) -> list[float]:
    """About four round numbers between two values."""
    step = 10 ** math.floor(math.log10((high - low) / 2 or 1))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 5)
    return [step * number for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


class Axes:
    """A frame of WIDTH x HEIGHT units whose values run from (x0, y0) to (x1, y1)."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x0, self.x1 = x if x[1] > x[0] else (x[0], x[0] + 1)
        self.y0, self.y1 = y if y[1] > y[0] else (y[0], y[0] + 1)

    def x(self, value: float) -> float:
        return LEFT + (value - self.x0) / (self.x1 - self.x0) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.y0) / (self.y1 - self.y0) * (HEIGHT - TOP - BOTTOM)

    def marks(self, x_name: str, x_ticks: Mapping[float, str], y_ticks: Mapping[float, str]) -> list[str]:
        """Lines across with their values at the left, values below, and what these are."""
        found = []
        for value, words in y_ticks.items():
            y = self.y(value)
            found.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            found.append(text(LEFT - 6, y + 4, words, anchor="end", kind="soft"))
        found += [text(self.x(value), HEIGHT - BOTTOM + 14, words, kind="soft") for value, words in x_ticks.items()]
        return [*found, text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, x_name, kind="soft")]


def line_chart(label: str, lines: Mapping[str, Sequence[float]], *, kept: int, percent: bool = False) -> str:
    """Lines over the epochs 1, 2 ...; `kept` is the epoch whose weights were kept."""
    values = [value for line in lines.values() for value in line]
    epochs = len(next(iter(lines.values())))
    low, high = (min(0.0, *values), 1.0) if percent else (min(values), max(values))
    axes = Axes((1, epochs), (low, high))
    whole = {float(tick): f"{tick:g}" for tick in (1, *ticks(1, max(epochs, 2))) if tick == int(tick) and tick <= epochs}
    across = {tick: f"{100 * tick:.0f} %" if percent else f"{tick:g}" for tick in ticks(axes.y0, axes.y1)}
    marks = axes.marks("epoch", whole, across)
    x = axes.x(kept)
    marks.append(f'<line class="dash" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    for colour, line in zip(COLOURS, lines.values(), strict=False):
        points = " ".join(f"{axes.x(1 + number):.1f},{axes.y(value):.1f}" for number, value in enumerate(line))
        marks.append(f'<polyline points="{points}" stroke="{colour}"/>')
        marks.append(f'<circle cx="{x:.1f}" cy="{axes.y(line[kept - 1]):.1f}" r="3" fill="{colour}"/>')
    return svg(WIDTH, HEIGHT, label, marks)


def reliability_chart(rows: np.ndarray) -> str:
    """Accuracy over confidence, from `metrics.reliability` (bins, 3): bars of accuracy, the diagonal, and a bar of clips below."""
    axes = Axes((0, 1), (0, 1))
    fifths = {tick / 5: f"{20 * tick} %" for tick in range(6)}
    marks = axes.marks("probability that the model gives its answer", fifths, fifths)
    most = rows[:, 0].max() or 1
    for number, (clips, confidence, accuracy) in enumerate(rows):
        if not clips:
            continue
        left, right = axes.x(number / len(rows)) + 1, axes.x((number + 1) / len(rows)) - 1
        told = f"<title>{clips:.0f} clips: {100 * confidence:.0f} % sure, {100 * accuracy:.0f} % right</title>"
        opacity = 0.25 + 0.75 * clips / most
        marks.append(
            f'<rect x="{left:.1f}" width="{right - left:.1f}" y="{axes.y(accuracy):.1f}" height="{axes.y(0) - axes.y(accuracy):.1f}" '
            f'fill="var(--accent)" opacity="{opacity:.2f}">{told}</rect>'
        )
        marks.append(text((left + right) / 2, max(axes.y(accuracy) - 3, 10), f"{clips:.0f}", kind="soft"))
    marks.append(f'<line class="dash" x1="{axes.x(0)}" y1="{axes.y(0)}" x2="{axes.x(1)}" y2="{axes.y(1)}"/>')
    return svg(WIDTH, HEIGHT, "Accuracy over confidence", marks)


def confusion_chart(matrix: np.ndarray, labels: Sequence[str]) -> str:
    """Counts (K, K + 1) as squares, rows true, columns answered; the last column is shown when some clip has no answer."""
    columns = [*labels, "(no answer)"] if matrix[:, -1].any() else list(labels)
    named = len(labels) <= NAMED
    side = 40 if len(labels) <= 6 else 26 if named else 7
    longest = max(len(name) for name in columns)
    gutter = 6 + 6.2 * longest if named else 8
    top = 10 + 0.72 * 6.2 * longest if named else 8
    width, height = gutter + side * len(columns) + (0.72 * 6.2 * len(columns[-1]) if named else 8), top + side * len(labels) + 6
    totals = np.maximum(matrix.sum(axis=1), 1)
    marks = [
        f'<rect x="{gutter:.1f}" y="{top:.1f}" width="{side * len(columns)}" height="{side * len(labels)}" fill="var(--soft)"/>'
    ]
    for row, column in zip(*np.nonzero(matrix), strict=True):
        x, y, share = gutter + side * column, top + side * row, matrix[row, column] / totals[row]
        told = f"<title>{escape(labels[row])} answered {escape(columns[column])}: {matrix[row, column]} of {totals[row]}</title>"
        colour = "var(--accent)" if row == column else "var(--second)"
        marks.append(
            f'<g><rect x="{x:.1f}" y="{y:.1f}" width="{side - 1}" height="{side - 1}" fill="{colour}" '
            f'opacity="{0.3 + 0.7 * share:.2f}"/>{told}'
            + (text(x + side / 2, y + side / 2 + 4, str(matrix[row, column]), kind="on" if share > 0.5 else "") if named else "")
            + "</g>"
        )
    if named:
        for number, name in enumerate(columns):
            marks.append(text(gutter + side * (number + 0.5), top - 6, name, anchor="start", turn=-45))
        for number, name in enumerate(labels):
            marks.append(text(gutter - 6, top + side * (number + 0.5) + 4, name, anchor="end"))
    return svg(width, height, "Confusion matrix", marks, kind="fixed" if named else "natural")
