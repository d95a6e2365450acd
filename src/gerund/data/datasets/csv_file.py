"""`csv`: a manifest with the columns path, label and, if wanted, start, end, split, group."""

from __future__ import annotations

from pathlib import Path

from gerund.core.types import Clip
from gerund.data.manifest import read_manifest


def load(path: Path, *, split: int | None = None) -> list[Clip]:
    return read_manifest(path)
