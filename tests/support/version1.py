"""The files of format 1 in tests/contracts/data: two models, a cache block and a pack, a few KB each, and what they answered.

Written once, by `PYTHONPATH=src:tests python -m support.version1 tests/contracts/data`; a later format gets files of its own beside them.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from support.videos import encode

SPEC = {"backbone": "pixels-0", "fps": 8.0}
VIDEO = "0123456789abcdef" * 2
HEADS = ("prototype", "mean")
"""One in closed form, one learned over epochs."""


def pictures(shift: int, number: int) -> list[np.ndarray]:
    """24 small pictures, a pattern that moves by `shift` pixels in each; exact on every machine."""
    y, x = np.mgrid[:16, :24]
    frames = [np.stack([x * 7 + shift * 9 * i + number * 40, y * 11 + number * 30, (x + y) * 3], -1) for i in range(24)]
    return [(frame % 256).astype(np.uint8) for frame in frames]


def write_clips(folder: Path) -> Path:
    for label, shift in (("left", -1), ("right", 1), ("still", 0)):
        (folder / label).mkdir(parents=True)
        for number in range(6):
            encode(folder / label / f"{number}.mkv", pictures(shift, number))
    return folder


def stored_rows() -> tuple[np.ndarray, np.ndarray, float]:
    """Rows (6, 4), their seconds, and the end of the video, as the cache block and the pack hold them."""
    return (np.arange(24).reshape(6, 4) / 8).astype(np.float16), np.arange(6) / 8, 0.75


def write_all(out: Path) -> None:
    import gerund
    from gerund.core.types import FeatureSpec
    from gerund.features.cache import BlockWriter, FeatureCache
    from gerund.features.packed import pack

    with tempfile.TemporaryDirectory() as folder:
        clips = write_clips(Path(folder) / "clips")
        for head in HEADS:
            run = gerund.train(
                clips, backbone="pixels:4", head=head, epochs=3, out=Path(folder) / head, cache=Path(folder) / "cache"
            )
            shutil.copytree(run.model, out / head)
            scores = gerund.Recognizer.load(out / head)(clips / "left" / "0.mkv")
            (out / f"{head}.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    data, pts, end = stored_rows()
    writer = BlockWriter(FeatureCache(out / "cache"), FeatureSpec(**SPEC), VIDEO)
    writer.add(data, pts)
    writer.close(end)
    pack(out / "cache", out / "packed")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
