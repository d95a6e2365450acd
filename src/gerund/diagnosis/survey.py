"""What the files of a data set are like together: their problems, what is odd about some, and statistics."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gerund.data.checks import Finding, some
from gerund.diagnosis.inspection import Inspection

EXTREME = 10
"""How many times shorter or longer than the median video one is called extreme."""
UNEVEN_SHARE = 0.25
"""Share of frames off the usual distance above which the frame rate is called variable; real clips with dropped frames have up to 0.09."""
ORDINARY_PIXELS = frozenset("yuv420p yuvj420p nv12 yuv422p yuvj422p".split())


class Survey:
    """What is kept of the inspections of N files: a few numbers of each, and a sentence of those with a problem."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self.seconds = np.full(len(paths), math.nan)
        self.frames = np.zeros(len(paths), np.int64)
        self.pixels = np.zeros(len(paths), np.int64)
        self.digests: dict[int, str] = {}
        self.broken: dict[int, tuple[str, str]] = {}
        self.odd: dict[str, list[int]] = defaultdict(list)
        self.counts: dict[str, Counter[str]] = {
            name: Counter() for name in ("containers", "codecs", "pixel_formats", "sizes", "fps")
        }
        self.bytes = 0

    def add(self, index: int, inspection: Inspection) -> None:
        record = inspection.record
        self.bytes += inspection.size
        if record.frames:
            self.frames[index], self.pixels[index] = record.frames, record.width * record.height
            self.count(inspection)
        if inspection.problem is not None:
            self.broken[index] = (inspection.problem, inspection.reason)
            return
        self.seconds[index] = inspection.seconds
        self.digests[index] = inspection.digest
        if inspection.uneven > UNEVEN_SHARE:
            self.odd["variable-frame-rate"].append(index)
        if record.rotation:
            self.odd["rotated"].append(index)
        if record.pixel_format not in ORDINARY_PIXELS:
            self.odd[f"pixel-format {record.pixel_format}"].append(index)

    def count(self, inspection: Inspection) -> None:
        record = inspection.record
        self.counts["containers"][record.container] += 1
        self.counts["codecs"][record.codec] += 1
        self.counts["pixel_formats"][str(record.pixel_format)] += 1
        self.counts["sizes"][f"{record.width}x{record.height}"] += 1
        self.counts["fps"][f"{inspection.fps:.3g}"] += 1

    def problems(self) -> Iterator[Finding]:
        for index, (kind, why) in sorted(self.broken.items()):
            path = self.paths[index]
            message = why if str(path) in why else f"{path}: {why}"
            yield Finding(area="file", kind=kind, message=message, paths=(path,))

    def remarks(self) -> Iterator[Finding]:
        """What is odd about healthy files; gerund can use them as they are."""
        meanings = {
            "variable-frame-rate": "a variable frame rate; their frames are used at their own times",
            "rotated": "a rotation in the header; their frames are turned upright",
        }
        middle = float(np.nanmedian(self.seconds)) if np.isfinite(self.seconds).any() else 0.0
        extremes = {
            "short": (np.flatnonzero(self.seconds < middle / EXTREME), "shorter"),
            "long": (np.flatnonzero(self.seconds > middle * EXTREME), "longer"),
        }
        for kind, (indices, word) in extremes.items():
            yield from self.remark(
                kind, indices.tolist(), f"more than {EXTREME} times {word} than the median video ({middle:.2f} s)"
            )
        for kind, members in self.odd.items():
            name, _, pixels = kind.partition(" ")
            meaning = meanings.get(name) or f"the pixel format {pixels}; colours are converted to 8 bits"
            yield from self.remark(name, sorted(members), f"with {meaning}")

    def remark(self, kind: str, indices: Sequence[int], meaning: str) -> Iterator[Finding]:
        if indices:
            paths = tuple(self.paths[index] for index in indices)
            message = f"{len(paths)} file{'s' * (len(paths) > 1)} {meaning}: {some([path.name for path in paths])}"
            yield Finding(area="file", kind=kind, message=message, paths=paths, level="remark")

    def statistics(self) -> dict[str, Any]:
        seconds = self.seconds[np.isfinite(self.seconds)]
        spread = [round(float(value), 2) for value in np.percentile(seconds, (0, 50, 100))] if len(seconds) else []
        return {
            "files": len(self.paths),
            "healthy_files": len(seconds),
            "bytes": self.bytes,
            "hours": round(float(seconds.sum()) / 3600, 3),
            "seconds": dict(zip(("shortest", "median", "longest"), spread, strict=False)),
            "frames": int(self.frames.sum()),
            **{name: dict(counter.most_common(10)) for name, counter in self.counts.items()},
        }
