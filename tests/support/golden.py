"""Three tiny videos in a lossless codec, and the rows that `pixels` and `lite` make of them: tests/features/golden.json.

Written anew by `PYTHONPATH=src:tests python -m support.golden tests/features/golden.json`, after EXTRACTOR_VERSION was raised.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from gerund.backbones import load_backbone
from gerund.core.types import EXTRACTOR_VERSION
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from support.videos import encode

BACKBONES = ("pixels:4", "lite")


def waves(size: tuple[int, int], count: int) -> list[np.ndarray]:
    """Coloured patterns that move, in whole numbers: the same on every machine."""
    y, x = np.mgrid[: size[0], : size[1]]
    frames = (np.stack([x * 5 + 7 * i, y * 6 - 4 * i, (x + y) * 2 + 11 * i], -1) for i in range(count))
    return [np.abs(frame % 512 - 256).clip(0, 255).astype(np.uint8) for frame in frames]


def write_videos(folder: Path) -> dict[str, Path]:
    """A wide video at 25 frames per second, a tall one with irregular times, and a grey one in which a picture stands still."""
    grey = [np.repeat(picture[..., :1], 3, axis=-1) for picture in waves((32, 32), 3)]
    return {
        "wide": encode(folder / "wide.mkv", waves((36, 64), 20), pix_fmt="yuv444p"),
        "tall": encode(folder / "tall.mkv", waves((60, 20), 6), pix_fmt="yuv420p", pts_ms=[0, 90, 130, 300, 310, 600]),
        "still": encode(folder / "still.mkv", grey, pix_fmt="gray", pts_ms=[0, 150, 900]),
    }


def rows_of(folder: Path) -> dict[str, Any]:
    """Version, and by backbone and video the seconds (N,) and the rows (N, 16) that are stored of it at 8 frames per second.

    A row of more than 16 numbers stands there as the means of 16 equal parts of it.
    """
    videos = write_videos(folder)
    return {"version": EXTRACTOR_VERSION, "videos": {name: seen_by(name, videos, folder / "cache") for name in BACKBONES}}


def seen_by(name: str, videos: dict[str, Path], cache: Path) -> dict[str, Any]:
    extractor = Extractor(load_backbone(name), fps=8.0, cache=FeatureCache(cache), device="cpu", precision="f32")
    found = extractor.extract(videos.values())
    assert not found.failed, found.failed
    return {
        video: {
            "pts": np.round((each := found.features[path]).pts, 4).tolist(),
            "end": round(each.end, 4),
            "rows": np.round(each.data[0 : len(each)].astype(float).reshape(len(each), 16, -1).mean(axis=2), 4).tolist(),
        }
        for video, path in videos.items()
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        text = json.dumps(rows_of(Path(place)))
    Path(sys.argv[1]).write_text(text.replace("], [", "],\n[").replace(', "', ',\n"') + "\n", encoding="utf-8")
