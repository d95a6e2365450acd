"""`hmdb51`: HMDB51 (Kuehne et al. 2011, doi:10.1109/ICCV.2011.6126543) with its official splits, one file per class and split."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from gerund.core.errors import DataError, UsageError
from gerund.core.progress import note
from gerund.core.texts import read_lines
from gerund.core.types import Clip
from gerund.data.datasets.files import by_stem, files_like, first_folder, last_part, report_missing, tell_used
from gerund.data.listing import list_videos
from gerund.data.manifest import leaking_groups

HMDB_SPLITS = (1, 2, 3)
HMDB_SIDES = {"0": None, "1": "train", "2": "test"}
TAIL = re.compile(r"_[fhlu]_(cm|nm)_np\d+_(ba|fr|le|ri)_(bad|goo|med)_\d+$")
"""What a name says after source video and class: body part, camera motion, people, view, quality, number."""


def load(path: Path, *, split: int | None = None) -> list[Clip]:
    """Clips of official split 1 (the default), 2 or 3; those that the split does not use are left out.

    The split files (CLASS_test_split1.txt ...) and the videos may lie anywhere below `path`. A group is one source video of a class.
    """
    if (split := 1 if split is None else split) not in HMDB_SPLITS:
        raise UsageError(f"--split {split}: HMDB51 has the official splits 1, 2 and 3")
    lists = first_folder(path, f"*_test_split{split}.txt")
    if lists is None:
        raise DataError(f"{path}: no CLASS_test_split{split}.txt below it; unpack the published test_train_splits there too")
    listing = list_videos(path)
    videos = by_stem(listing)
    clips, missing = [], []
    for file in files_like(lists, f"*_test_split{split}.txt"):
        label = file.name.removesuffix(f"_test_split{split}.txt")
        for name, side in hmdb_listed(file):
            stem = Path(last_part(name)).stem
            if stem in videos and side:
                clips.append(Clip(path=videos[stem], label=label, split=side, group=hmdb_group(stem, label)))
            elif side:
                missing.append(name)
    report_missing(missing, len(clips) + len(missing), path)
    tell_used(listing, clips)
    return kept_apart(clips, split)


def hmdb_listed(file: Path) -> list[tuple[str, str | None]]:
    """File names of a split file with their sides: train, test, or None for unused."""
    found = []
    for number, line in read_lines(file):
        parts = line.rsplit(None, 1)
        if len(parts) != 2 or parts[1] not in HMDB_SIDES:
            raise DataError(f"{file}:{number}: {line[:80]!r} is not a file name and 0, 1 or 2")
        found.append((parts[0].strip(), HMDB_SIDES[parts[1]]))
    return found


def hmdb_group(stem: str, label: str) -> str:
    """The source video, within the class: the official splits keep those apart class by class."""
    return TAIL.sub("", stem).removesuffix(f"_{label}") + f" ({label})"


def kept_apart(clips: list[Clip], split: int) -> list[Clip]:
    """The published split, even where it has one source video on both sides: that is said, and the sides become two groups."""
    parted = leaking_groups(clips)
    if not parted:
        return clips
    note(
        f"HMDB51 split {split} itself has {len(parted)} source videos on both sides, first {next(iter(parted))}; kept as published."
    )
    return [replace(clip, group=f"{clip.group}, {clip.split}") if clip.group in parted else clip for clip in clips]
