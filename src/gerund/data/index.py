"""`gerund index`: what a data set holds, with labels, groups and splits, as `train` would use it."""

from __future__ import annotations

from gerund.core import options
from gerund.core.errors import DataError
from gerund.core.progress import note
from gerund.core.types import Clip
from gerund.data.datasets import load_dataset
from gerund.data.manifest import assign_splits, write_manifest


def index(
    data: options.Data,
    *,
    split: options.OfficialSplit | None = None,
    val: options.ValShare = options.USUAL.val,
    group_pattern: options.GroupPattern | None = None,
    allow_leak: options.AllowLeak = options.USUAL.allow_leak,
    background: options.Background = options.USUAL.background,
    seed: options.Seed = options.USUAL.seed,
    out: options.ManifestFile | None = None,
) -> list[Clip]:
    """List the clips of a data set with their labels, groups and splits, as `train` would use them.

    Clips that cannot be split so (one video per class) are listed all the same, and a line says what `train` would refuse.

    Each argument is explained in `gerund.core.options`, and by `gerund index --help`.
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
