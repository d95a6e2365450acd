"""`gerund index`: what a data set holds, with labels, groups and splits, as `train` would use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gerund.core import options
from gerund.core.errors import DataError
from gerund.core.printing import table
from gerund.core.progress import note
from gerund.core.results import Printable
from gerund.core.types import Clip
from gerund.data.annotations import SPLITS, address
from gerund.data.datasets import is_published, load_dataset
from gerund.data.manifest import assign_splits, labels_of, write_manifest
from gerund.data.overlaps import tell_overlaps


class ClipList(list[Clip], Printable):
    """The clips of a data set, with their labels, groups and splits."""

    columns = ("path", "label", "start", "end", "split", "group")

    def as_json(self) -> list[dict[str, Any]]:
        return [{"path": str(clip.path)} | {name: getattr(clip, name) for name in self.columns[1:]} for clip in self]

    def as_rows(self) -> Iterator[list[Any]]:
        return ([address(clip.path), *(getattr(clip, name) for name in self.columns[1:])] for clip in self)

    def as_text(self) -> Iterator[str]:
        """How many clips each class has on each side."""
        sides = [*SPLITS, *({None} & {clip.split for clip in self})]
        counts = [
            (label or "(no label)", *(str(sum(clip.label == label and clip.split == side for clip in self)) for side in sides))
            for label in [*labels_of(self), *({None} & {clip.label for clip in self})]
        ]
        totals = ("all", *(str(sum(clip.split == side for clip in self)) for side in sides))
        yield from table(("class", *(side or "no split" for side in sides)), [*counts, totals])


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
) -> ClipList:
    """List the clips of a data set with their labels, groups and splits, as `train` would use them.

    Clips that cannot be split so (one video per class) are listed all the same, and a line says what `train` would refuse.

    Each argument is explained in `gerund.core.options`, and by `gerund index --help`.
    """
    clips = load_dataset(
        data, split=split, group_pattern=group_pattern, allow_leak=allow_leak, background=background, history=True
    )
    if not is_published(data):
        tell_overlaps(clips)
    try:
        clips, notes = assign_splits(clips, val=val, seed=seed)
    except DataError as error:
        notes = [f"Not split, and not yet to be trained on: {error}."]
    for line in notes:
        note(line)
    if out is not None:
        write_manifest(clips, Path(out))
    return ClipList(clips)
