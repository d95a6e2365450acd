"""`gerund index`: what a data set holds, with labels, groups and splits, as `train` would use it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gerund.core.errors import DataError
from gerund.core.progress import note
from gerund.core.recipes import RECIPES
from gerund.core.types import Clip
from gerund.data.datasets import load_dataset
from gerund.data.manifest import assign_splits, write_manifest


def index(
    data: str | Path | Sequence[Clip],
    *,
    split: int | None = None,
    val: float = RECIPES["default"].val,
    group_pattern: str | None = None,
    allow_leak: bool = False,
    background: bool = False,
    seed: int = 0,
    out: Path | None = None,
) -> list[Clip]:
    """List the clips of a data set with their labels, groups and splits, as `train` would use them.

    Clips that cannot be split so (one video per class) are listed all the same, and a line says what `train` would refuse.

    Parameters
    ----------
    data
        A folder with one sub-folder per class, a CSV, or name:path.
    split
        Number of the official split.
    val
        Share of the training groups used for validation.
    group_pattern
        Regular expression for the group in a file's name.
    allow_leak
        Accept a given split that has a group on two sides.
    background
        Add clips of unlabelled time as the class background.
    seed
        Seed of the split.
    out
        CSV manifest to write.
    """
    clips = load_dataset(data, split=split, group_pattern=group_pattern, allow_leak=allow_leak, background=background)
    try:
        clips, notes = assign_splits(clips, val=val, seed=seed)
    except DataError as error:
        notes = [f"Not split, and not yet to be trained on: {error}."]
    for line in notes:
        note(line)
    if out is not None:
        write_manifest(clips, out)
    return clips
