"""Small pictures of videos for lists and timelines."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from gerund import video

PICTURE_HEIGHT = 108
QUALITY = 80


def film_picture(path: Path, seconds: float) -> bytes:
    """The picture on screen at a time, PICTURE_HEIGHT high, as JPEG. Raises VideoError."""
    picture = Image.fromarray(video.frame_at(path, seconds))
    width = max(1, round(picture.width * PICTURE_HEIGHT / picture.height))
    out = io.BytesIO()
    picture.resize((min(width, 4 * PICTURE_HEIGHT), PICTURE_HEIGHT), Image.Resampling.BILINEAR).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
