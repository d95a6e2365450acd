"""Charts as pictures: the marks of `charts`, drawn with Pillow on white."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

from PIL import Image, ImageColor, ImageDraw

from gerund.training.report.charts import LETTER, Box, Chart, Curve, Dot, Line, Mark, Text
from gerund.video.draw import INK, MUTED, PAPER, font

LETTERS, TITLE = 11, 13
"""Sizes of the letters of a chart and of its title, in its units."""
LARGEST_DRAWN = 6000
"""Pixels of the longer side at most, before the picture is halved: lines are drawn at twice their size."""
MOST_SCALE = 6
ROLES = {
    "accent": "#1f6feb",
    "second": "#c2530c",
    "soft": "#f2f4f6",
    "grid": "#d8dde3",
    "dash": MUTED,
}
INKS = {"": INK, "soft": MUTED, "on": PAPER}
ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}
DASH = 3.0
CHART_GAP = 12
"""Units between charts, and around them."""


class Pen:
    """Draws marks at a place of a sheet that is `scale` pixels per unit."""

    def __init__(self, width: float, height: float) -> None:
        self.scale = min(MOST_SCALE, LARGEST_DRAWN / max(width, height))
        self.sheet = Image.new("RGB", (round(width * self.scale), round(height * self.scale)), PAPER)
        self.draw = ImageDraw.Draw(self.sheet, "RGBA")
        self.left = self.top = 0.0

    def place(self, x: float, y: float) -> tuple[float, float]:
        return (self.left + x) * self.scale, (self.top + y) * self.scale

    def chart(self, chart: Chart, left: float, top: float) -> None:
        self.left, self.top = left, top
        for mark in chart.marks:
            self.mark(mark)

    def mark(self, mark: Mark) -> None:
        match mark:
            case Line(x1, y1, x2, y2, kind):
                self.line((x1, y1), (x2, y2), kind)
            case Text(x, y, words, anchor, kind, turn):
                self.text(x, y, words, anchor=anchor, colour=INKS[kind], turn=turn)
            case Box(x, y, width, height, colour, opacity):
                corner = self.place(x + width, y + height)
                box = (*self.place(x, y), corner[0] - 1, corner[1] - 1)
                self.draw.rectangle(box, fill=(*ImageColor.getrgb(ROLES[colour]), round(255 * opacity)))
            case Curve(points, colour):
                self.draw.line([self.place(*point) for point in points], ROLES[colour], round(1.8 * self.scale), "curve")
            case Dot(x, y, colour):
                self.draw.circle(self.place(x, y), 3 * self.scale, fill=ROLES[colour])

    def line(self, start: tuple[float, float], end: tuple[float, float], kind: str) -> None:
        """Whole, or in dashes of DASH units."""
        parts = max(1, round(math.dist(start, end) / DASH)) if kind == "dash" else 1
        stops = [
            self.place(*(first + (last - first) * number / parts for first, last in zip(start, end, strict=True)))
            for number in range(parts + 1)
        ]
        for number, (one, other) in enumerate(pairwise(stops)):
            if number % 2 == 0:
                self.draw.line([one, other], ROLES[kind], round(self.scale))

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        anchor: str = "start",
        colour: str = INK,
        turn: float = 0,
        size: float = LETTERS,
        bold: bool = False,
    ) -> None:
        """Words on the baseline at (x, y), turned about that place by `turn` degrees, clockwise."""
        face = font(max(1, round(size * self.scale)), bold=bold)
        where = self.place(x, y)
        if not turn:
            self.draw.text(where, words, fill=colour, font=face, anchor=ANCHORS[anchor])
            return
        side = 2 * math.ceil(self.draw.textlength(words, font=face) + 2 * size * self.scale)
        mask = Image.new("L", (side, side))
        ImageDraw.Draw(mask).text((side // 2, side // 2), words, fill=255, font=face, anchor=ANCHORS[anchor])
        left, top = (round(each - side / 2) for each in where)
        self.sheet.paste(colour, (left, top), mask.rotate(-turn, Image.Resampling.BICUBIC))

    def picture(self) -> Image.Image:
        return self.sheet.reduce(2)


def chart_sheet(charts: Mapping[str, Chart], *, key: Mapping[str, str] | None = None, note: str) -> Image.Image:
    """Charts side by side under their titles; below them `key`, name -> colour of a line, and `note`."""
    below = sum(key_width(name) for name in key or {}) + LETTER * len(note)
    width = max(sum(chart.width + CHART_GAP for chart in charts.values()), below + CHART_GAP) + CHART_GAP
    height = max(chart.height for chart in charts.values()) + 2 * TITLE + 4 * CHART_GAP
    pen = Pen(width, height)
    left = float(CHART_GAP)
    for title, chart in charts.items():
        pen.chart(chart, left, TITLE + 2 * CHART_GAP)
        pen.left, pen.top = left, 0
        pen.text(0, CHART_GAP + TITLE, title, size=TITLE, bold=True)
        left += chart.width + CHART_GAP
    pen.left, pen.top = CHART_GAP, height - CHART_GAP
    across = 0.0
    for name, colour in (key or {}).items():
        pen.mark(Box(across, -LETTERS + 1, LETTERS, LETTERS, colour))
        pen.text(across + LETTERS + 4, 0, name)
        across += key_width(name)
    pen.text(across, 0, note, colour=MUTED)
    return pen.picture()


def key_width(name: str) -> float:
    return LETTERS + 20 + LETTER * len(name)
