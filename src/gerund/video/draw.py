"""Pillow helpers: fonts that scale and reach beyond Latin, text that fits, colours that tell classes and answers apart."""

from __future__ import annotations

import colorsys
import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import ImageDraw, ImageFont

INK, PAPER, RIGHT, WRONG = "#1b2430", "#ffffff", "#14804a", "#c2371e"
MUTED, GRID = "#5b6673", "#e6e9ed"
ELLIPSIS = "…"
GOLDEN = 0.618034
"""Share of the colour circle from one label to the next: neighbours are far apart, however many there are."""


def label_colours(labels: Sequence[str]) -> dict[str, str]:
    """A colour for each label, by its place among all labels of a model: the same in every picture."""
    colours = {}
    for place, label in enumerate(labels):
        lightness = (0.50, 0.62, 0.42)[place // 8 % 3]
        red, green, blue = colorsys.hls_to_rgb((0.58 + GOLDEN * place) % 1.0, lightness, 0.62)
        colours[label] = f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"
    return colours


CALM = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee7733", "#009988")
"""Colours that people with any colour vision tell apart, on white and on black (Paul Tol's bright scheme, and two of his vibrant one)."""


def calm_colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name, for figures; of more names than there are calm ones, by their place."""
    return dict(zip(names, CALM, strict=False)) if len(names) <= len(CALM) else label_colours(names)


def ink_on(colour: str) -> str:
    """Dark or light text, whichever is read better on a colour (relative luminance of WCAG 2)."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return INK if 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.18 else PAPER


@cache
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans (it comes with matplotlib: Latin, Greek, Cyrillic, Arabic and more) in pixels, or Pillow's own font."""
    spec = importlib.util.find_spec("matplotlib")  # finds the folder without importing it
    if spec is not None and spec.origin:
        path = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf"
        if path.is_file():
            return ImageFont.truetype(path, size)
    return ImageFont.load_default(size)


def fitting_text(draw: ImageDraw.ImageDraw, text: str, width: float, size: int, *, bold: bool = False) -> str:
    """The text, cut with an ellipsis where it is wider than `width` pixels."""
    face = font(size, bold=bold)
    if draw.textlength(text, font=face) <= width:
        return text
    while text and draw.textlength(text + ELLIPSIS, font=face) > width:
        text = text[:-1]
    return text.rstrip() + ELLIPSIS
