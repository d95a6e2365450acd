"""Data sets: a place on disk in, clips out. A new one = one file with `load` + one line here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from gerund.core.errors import DataError, UsageError, unknown_name
from gerund.core.files import readable
from gerund.core.places import AnyPath, default_cache
from gerund.core.printing import label_problem
from gerund.core.progress import note
from gerund.core.texts import exists, is_table
from gerund.core.types import Clip
from gerund.data.annotations import Annotation, annotation_of, as_clips, confirmed
from gerund.data.checks import leak_sentence, some
from gerund.data.datasets import (
    activitynet,
    boris,
    csv_file,
    cvat,
    elan,
    folder,
    frames,
    hmdb51,
    kinetics,
    labelstudio,
    per_frame,
    ssv2,
    text_list,
    toy,
    ucf101,
    via,
)
from gerund.data.datasets.background import with_background
from gerund.data.datasets.boris_project import PROJECT_SUFFIX
from gerund.data.datasets.files import head_columns, is_of_boris
from gerund.data.manifest import leaking_groups
from gerund.data.overlaps import Overlap, apart, of_subject

__all__ = ["DATASETS", "load_annotations", "load_dataset"]

DATASETS: dict[str, Callable[..., Sequence[Clip]]] = {
    "folder": folder.load,
    "csv": csv_file.load,
    "ucf101": ucf101.load,
    "ucf101-top5": ucf101.load_top5,
    "hmdb51": hmdb51.load,
    "kinetics": kinetics.load,
    "ssv2": ssv2.load,
    "activitynet": activitynet.load,
    "list": text_list.load,
    "frames": frames.load,
    "via": via.load,
    "elan": elan.load,
    "boris": boris.load,
    "cvat": cvat.load,
    "labelstudio": labelstudio.load,
    "per-frame": per_frame.load,
    "toy": toy.load,
    "toy-small": toy.load_small,
}
MADE = ("toy", "toy-small")
"""Data sets that are made where they are not there yet, in the cache where no place is named."""
SPLIT_NUMBERS = ("ucf101", "ucf101-top5", "hmdb51")
"""Data sets with several official splits."""
CLASS_MAPS = ("list", "frames")
"""Data sets whose labels may be numbers; `name:path::file` gives their class map."""

COMPLETE = ("ucf101", "ucf101-top5")
"""Data sets whose every listed file must be there."""

PUBLISHED = frozenset({"ucf101", "ucf101-top5", "hmdb51", "kinetics", "ssv2", "activitynet", *MADE})
"""Data sets whose labels are a publisher's own list."""

Sources = Sequence[AnyPath | Clip] | AnyPath
"""What data sets are loaded from: a place or a name, several, or clips themselves."""

GROUP_PATTERNS = (r"^(v_.+_g\d+)_c\d+",)
"""File names that tell their group without being asked: UCF-101's v_Class_gNN_cNN."""


def load_dataset(
    data: Sources,
    *,
    split: int | None = None,
    group_pattern: str | None = None,
    allow_leak: bool = False,
    allow_missing: bool = False,
    background: bool = False,
    subject: str | None = None,
    overlap: Overlap | None = None,
    one_at_a_time: bool = False,
    history: bool = False,
) -> list[Clip]:
    """Clips of a folder, a table, or `name:path` (one of DATASETS), or of several together; clips in a list are taken as they are.

    Of annotations the confirmed ones are taken, with `subject` those of one subject; `one_at_a_time` refuses spans of different labels
    that overlap, or resolves them with `overlap` (`data.overlaps`). With `history`, annotations keep subject and history, to be written
    again. `split` is the number of an official split. `group_pattern` is a regular expression whose first bracket (or whole match) in a
    file's name is its group; a name that it does not match is a group of its own. `background` adds clips of unlabelled time as the class
    `background`. Raises DataError for what cannot be used, for a given split that parts a group unless `allow_leak`, and for files that
    an official list names but that are not there; `allow_missing` puts up with some, not with all.
    """
    sources = named_sources(data)
    where = ", ".join(sources) or "the clips given"
    found = confirmed(loaded(data, split, allow_missing=allow_missing), where)
    if subject is not None:
        found = of_subject(found, subject, where)
    if overlap is not None or (one_at_a_time and any(isinstance(each, Annotation) for each in found) and not is_published(data)):
        found = apart(found, overlap)
    clips = as_clips(found, history=history)
    check_labels(clips)
    clips = with_groups(clips, group_pattern)
    if background:
        clips = with_background(clips)
    leaks = leaking_groups(clips)
    if leaks and not allow_leak:
        raise DataError(
            f"the given split leaks, {leak_sentence(leaks)}; scores would be too good. Split by group, or insist with --allow-leak"
        )
    return clips


def check_labels(clips: Sequence[Clip]) -> None:
    """Raise DataError for a label that could not be written into a line, a table or a picture."""
    first = {clip.label: clip for clip in reversed(clips) if clip.label is not None}
    for label, clip in first.items():
        if problem := label_problem(label):
            raise DataError(f"{clip.path}: {problem}; rename it")


def named_sources(data: Sources) -> list[str]:
    """The places and names that `load_dataset` is given, without the clips."""
    return [str(each) for each in ([data] if isinstance(data, str | Path) else data) if not isinstance(each, Clip)]


def recorded_source(data: Sources) -> str | list[str] | None:
    """What a run's config.json holds of what it was given: a lone source as a text, None for clips."""
    sources = named_sources(data)
    return sources[0] if len(sources) == 1 else sources or None


def loaded(data: Sources, split: int | None, *, allow_missing: bool) -> list[Clip]:
    """The clips of every source, one after the other."""
    found: list[Clip] = []
    for each in [data] if isinstance(data, str | Path) else data:
        found += [each] if isinstance(each, Clip) else load_by_name(str(each), split, allow_missing=allow_missing)
    return found


def is_published(data: Sources) -> bool:
    """Whether the labels of what `load_dataset` is given come from a publisher's own list."""
    sources = named_sources(data)
    return bool(sources) and all(each.partition(":")[0] in PUBLISHED and (":" in each or each in MADE) for each in sources)


def load_annotations(data: AnyPath) -> list[Annotation]:
    """All annotations of a folder, a CSV, or `name:path`, with subjects, points, and what is not confirmed. Raises as `load_dataset`."""
    found = [annotation_of(clip) for clip in load_by_name(str(data), None, allow_missing=False)]
    check_labels(found)
    return found


def load_by_name(data: str, split: int | None, *, allow_missing: bool) -> Sequence[Clip]:
    name, colon, rest = data.partition(":")
    if "://" in data:
        name, rest = "csv", data
    elif data in MADE:
        name, rest = data, str(default_cache() / data)
        if exists(Path(data)):
            note(f"{data}: the synthetic clips; for what lies here under that name give ./{data}")
    elif not colon or (name not in DATASETS and (len(name) == 1 or Path(data).exists())):  # C:\clips is a path, not a data set
        name, rest = kind_of_place(Path(data).expanduser()), data
    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS, f"; or is {data!r} a folder or a CSV that is not there?")
    rest, _, classes = rest.partition("::") if name in CLASS_MAPS else (rest, "", "")
    path = Path(rest).expanduser()
    for each in (path, Path(classes).expanduser()) if classes else (path,):
        if name not in MADE and "://" not in data and not exists(each):
            raise DataError(f"{each}: no such file or folder")
    if split is not None and name not in SPLIT_NUMBERS:
        raise UsageError(f"--split {split}: {name} data has no numbered splits; leave the option out")
    options = {"classes": Path(classes).expanduser()} if classes else {}
    clips = DATASETS[name](path, split=split, **options)
    if name in COMPLETE:
        check_complete(clips, allow_missing=allow_missing)
    return clips


def kind_of_place(path: Path) -> str:
    """Which data set a path without a name is: a manifest, a file of BORIS or ELAN, or a folder of classes."""
    if named := {".eaf": "elan", PROJECT_SUFFIX: "boris"}.get(path.suffix.lower()):
        return named
    if not is_table(path):
        return "folder"
    return "boris" if path.is_file() and is_of_boris(head_columns(path)) else "csv"


def check_complete(clips: Sequence[Clip], *, allow_missing: bool) -> None:
    """Raise DataError for clips whose file is not there; with `allow_missing` only when none is."""
    missing = [clip.path for clip in clips if not exists(clip.path)]
    if missing and not (allow_missing and len(missing) < len(clips)):
        raise DataError(
            f"{missing[0]}: listed but not there ({len(missing)} of {len(clips)} clips missing); is the download complete?"
        )


def with_groups(clips: Sequence[Clip], pattern: str | None) -> list[Clip]:
    """Clips with their groups. Raises DataError for a pattern that matches no name at all."""
    free = [clip for clip in clips if clip.group is None]
    found = [with_group(clip, pattern) for clip in clips]
    if pattern and free:
        alone = [clip.path for clip in found if clip.group is None]
        if len(alone) == len(free):
            raise DataError(f"{alone[0]}: --group-pattern '{pattern}' does not match this name, nor any other")
        if alone:
            names = some([path.name for path in alone])
            note(
                f"--group-pattern '{pattern}' does not match {len(alone)} of {len(free)} names, each a group of its own: {names}"
            )
    return found


def with_group(clip: Clip, pattern: str | None) -> Clip:
    """Fill in a missing group from the file's name, where a pattern matches it."""
    if clip.group is not None:
        return clip
    for each in (pattern,) if pattern else GROUP_PATTERNS:
        try:
            match = re.search(each, clip.path.stem)
        except re.error as error:
            raise UsageError(f"--group-pattern '{each}' is not a regular expression ({error})") from None
        if match:
            return replace(clip, group=readable(match[1] if match.groups() else match[0]))
    return clip
