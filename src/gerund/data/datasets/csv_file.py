"""`csv`: a manifest with the columns of an annotation, of which only path must be there."""

from __future__ import annotations

from pathlib import Path

from gerund.data.annotations import Annotation, read_annotations


def load(path: Path, *, split: int | None = None) -> list[Annotation]:
    return read_annotations(path)
