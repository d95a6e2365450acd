"""What a program wrote, read whole and closed again."""

from __future__ import annotations

import csv
from pathlib import Path

from PIL import Image


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV with a header."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_picture(path: Path) -> Image.Image:
    """A picture with its pixels."""
    with Image.open(path) as image:
        image.load()
    return image
