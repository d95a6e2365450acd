"""Pillow helpers: fonts that scale and reach beyond Latin, text that fits, colours that tell classes and answers apart."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from PIL import ImageDraw, ImageFont

INK, PAPER, RIGHT, WRONG = "#1b2430", "#ffffff", "#14804a", "#c2371e"
ELLIPSIS = "…"


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
