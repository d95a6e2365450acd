"""The one manifest format, CSV <-> list[Clip], and splits that never part a group."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from gerund.core.errors import DataError, UsageError
from gerund.core.types import Clip
from gerund.data.annotations import ANNOTATION_COLUMNS, Annotation, clips_to_use, read_annotations, write_annotations

COLUMNS = ("path", "label", "start", "end", "split", "group")
VAL_SHARE, TEST_SHARE = 0.15, 0.2


def read_manifest(path: Path) -> list[Clip]:
    """The confirmed clips of a CSV with the columns path, label and, if wanted, start, end (seconds), split, group and an annotation's.

    Raises DataError with file, line and column for what cannot be read.
    """
    return clips_to_use(read_annotations(path), path)


def write_manifest(clips: Iterable[Clip], path: Path) -> None:
    """Write clips as CSV, whole or not at all; paths relative to the CSV's folder where they lie below it, else absolute.

    Where some are annotations with a history, all of their columns are written.
    """
    found = list(clips)
    plain = not any(isinstance(clip, Annotation) and clip.has_history for clip in found)
    write_annotations(found, path, COLUMNS if plain else ANNOTATION_COLUMNS)


def group_of(clip: Clip) -> str:
    """What must stay on one side of a split: the clip's group, or else its file."""
    return clip.group or str(clip.path)


def labels_of(clips: Iterable[Clip]) -> list[str]:
    """All labels, sorted without regard to case (which is UCF-101's own order, classInd.txt)."""
    return sorted({clip.label for clip in clips if clip.label is not None}, key=lambda label: (label.casefold(), label))


def of_split(clips: Iterable[Clip], *splits: str) -> list[Clip]:
    return [clip for clip in clips if clip.split in splits]


def assign_splits(clips: Sequence[Clip], *, val: float = 0.15, seed: int = 0) -> tuple[list[Clip], list[str]]:
    """Give every clip a split and say in sentences what was done.

    Splits that the data set brings are kept; when it brings none, a fifth of the groups is set aside as test. Validation is
    carved by group out of the training clips unless the data set brings its own.
    Raises DataError when splits are given for some clips only, and when a class has nothing left to train on.
    """
    if not 0 <= val < 1:
        raise UsageError(f"--val {val:g}: the share of training groups used for validation lies between 0 and 1")
    unlabelled = next((clip for clip in clips if clip.label is None), None)
    if unlabelled:
        raise DataError(f"{unlabelled.path}: no label; training and evaluation need one for every clip")
    given = Counter(clip.split for clip in clips)
    if given[None] and len(given) > 1:
        without = next(clip for clip in clips if clip.split is None)
        raise DataError(f"{without.path}: no split, though {len(clips) - given[None]} other clips have one; give all or none")
    labels = labels_of(clips)
    if not labels:
        raise DataError("no clips; there is nothing to split")
    if len(labels) < 2:
        raise DataError(f"only one class, {labels[0]!r}; a recogniser needs clips of at least two")
    notes = []
    if given[None]:
        for label in labels:
            groups = {group_of(clip) for clip in clips if clip.label == label}
            if len(groups) < 2:
                raise DataError(
                    f"class {label!r} has clips of one group only ({next(iter(groups))}); it needs another one to be tested on, "
                    "or leave the class out"
                )
        clips = carve(clips, "test", TEST_SHARE, seed)
        notes.append(f"No split given: {share(clips, 'test')} set aside as test, by group, the same whenever clips are added.")
    if val and not given["val"]:
        clips = carve(clips, "val", val, seed)
        notes.append(f"Validation: {share(clips, 'val')} carved by group from the training clips.")
    missing = set(labels_of(clips)) - set(labels_of(of_split(clips, "train")))
    if missing:
        raise DataError(f"no clip of {', '.join(sorted(missing))} is left to train on; add clips of other groups")
    return list(clips), notes


def share(clips: Sequence[Clip], split: str) -> str:
    chosen = of_split(clips, split)
    groups = len({group_of(clip) for clip in chosen})
    return f"{len(chosen)} of {len(clips)} clips ({groups} group{'s' * (groups != 1)})"


def carve(clips: Sequence[Clip], split: str, fraction: float, seed: int) -> list[Clip]:
    """Move about `fraction` of the groups that are not test into `split`; what had no split becomes train.

    A group moves when its hash falls below `fraction`, whatever else is in the data set: adding clips never moves an existing
    group. Only for a class that this leaves without a clip in `split` does the group of lowest hash stand in, if the class has
    another one to train on.
    """
    pool = [clip for clip in clips if clip.split in (None, "train")]
    rank = {group_of(clip): group_hash(relative_name(group_of(clip)), f"{seed}/{split}") for clip in pool}
    groups: dict[str, set[str]] = defaultdict(set)
    for clip in pool:
        groups[clip.label or ""].add(group_of(clip))
    chosen = {group for group, value in rank.items() if value < fraction}
    for members in groups.values():
        if len(members) > 1 and members <= chosen:
            chosen.discard(max(members, key=lambda group: rank[group]))
    for members in groups.values():
        if len(members) > 1 and not members & chosen:
            chosen.add(min(members, key=lambda group: rank[group]))
    for members in groups.values():  # a stand-in shared with another class must not take that class's last training group
        if members <= chosen:
            chosen.discard(max(members, key=lambda group: rank[group]))
    return [
        replace(clip, split=split if group_of(clip) in chosen else "train") if clip.split in (None, "train") else clip
        for clip in clips
    ]


def relative_name(group: str) -> str:
    """A file standing for its own group hashes by its last two parts, so that moving the data set moves no clip."""
    return "/".join(Path(group).parts[-2:])


def group_hash(group: str, salt: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(f"{salt}/{group}".encode(errors="surrogatepass")).digest()[:6]) / 2**48


def leaking_groups(clips: Iterable[Clip]) -> dict[str, set[str]]:
    """Groups with clips on more than one side: group -> its splits."""
    sides: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        if clip.split:
            sides[group_of(clip)].add(clip.split)
    return {group: splits for group, splits in sides.items() if len(splits) > 1}
