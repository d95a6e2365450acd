"""What a list of clips shows without opening a video: labels that look wrong, classes that are too small, splits that leak."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gerund.core.types import Clip, composed
from gerund.data.annotations import SPLITS
from gerund.data.manifest import group_of, labels_of, leaking_groups, of_split

FEW_CLIPS = 5
FEW_GROUPS = 3
"""A class needs a group for each of train, val and test."""
IMBALANCE = 10
"""How many times as many clips as the smallest class the largest may have."""
TYPO_SHARE = 3
"""How many times rarer a misspelled label must be than the right one; Kinetics has both "shaking head" and "shaving head"."""
MOST_SHOWN = 5
PIECES = r"(.+)[ _-](?:c|clip|part|piece|seg|take)[ _-]?[0-9]+$"
"""Names of pieces: numbers that are called so. A bare number counts a folder's files as often as the pieces of a recording."""
PART_OF = re.compile(PIECES.removeprefix("(.+)"), re.IGNORECASE)
ONE_CLASS = {"handstandpushups": "UCF-101"}
"""Labels (small letters only) that a published list writes in two ways: UCF-101's folder is HandstandPushups, its files are
named HandStandPushups."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong (`problem`), or odd but usable (`remark`).

    `paths` are the files in question and `others` what they are compared with: the one of several copies that is kept.
    """

    area: Literal["file", "label", "split"]
    kind: str
    message: str
    paths: tuple[Path, ...] = ()
    others: tuple[Path, ...] = ()
    level: Literal["problem", "remark"] = "problem"


def some(names: Collection[str]) -> str:
    """The first few names, and how many more there are."""
    shown = list(names)[:MOST_SHOWN]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def check_clips(clips: Sequence[Clip], *, published: bool = False) -> list[Finding]:
    """All findings on labels and splits. `published` labels come from a data set's own list: similar ones are no typos."""
    siblings = [] if published else suspected_siblings(clips)
    return [*label_findings(clips, published=published), *siblings, *split_findings(clips)]


def label_findings(clips: Sequence[Clip], *, published: bool = False) -> list[Finding]:
    counts = Counter(clip.label for clip in clips if clip.label is not None)
    findings = [*unlabelled(clips), *listed_twice(clips)]
    if not published:
        findings += [*variants(counts), *typos(counts)]
    return [*findings, *small_classes(clips, counts), *imbalance(counts)]


def suspected_siblings(clips: Sequence[Clip]) -> Iterator[Finding]:
    """Files without a group whose names differ in a part number only (`ann c01`, `ann c02`): they may be pieces of one recording."""
    stems: dict[str, set[Path]] = defaultdict(set)
    for clip in clips:
        match = PART_OF.search(clip.path.stem) if clip.group is None else None
        if match:
            stems[clip.path.stem[: match.start()]].add(clip.path)
    pieces = {stem: sorted(paths) for stem, paths in stems.items() if len(paths) > 1}
    if pieces:
        first = next(iter(pieces.values()))
        message = (
            f"{sum(map(len, pieces.values()))} files look like pieces of {len(pieces)} recordings ({first[0].stem}, {first[1].stem}); if they "
            f"are, keep them on one side with --group-pattern '{PIECES}'"
        )
        yield Finding(area="split", kind="siblings", message=message, paths=tuple(first), level="remark")


def unlabelled(clips: Sequence[Clip]) -> Iterator[Finding]:
    paths = tuple(clip.path for clip in clips if clip.label is None)
    if paths:
        yield Finding(
            area="label", kind="no-label", message=f"clips without a label: {some([str(path) for path in paths])}", paths=paths
        )


def listed_twice(clips: Sequence[Clip]) -> Iterator[Finding]:
    """The same span of the same file in two rows: with two labels, or for nothing."""
    rows: dict[tuple[Path, float, float | None], list[Clip]] = defaultdict(list)
    for clip in clips:
        rows[clip.path, clip.start, clip.end].append(clip)
    for (path, _, _), same in rows.items():
        labels = sorted({clip.label or "(none)" for clip in same})
        if len(labels) > 1:
            message = f"{path} is listed with {len(labels)} labels: {', '.join(labels)}"
            yield Finding(area="label", kind="conflicting-labels", message=message, paths=(path,))
        elif len(same) > 1:
            message = f"{path} is listed {len(same)} times with the same span and label {labels[0]!r}"
            yield Finding(area="label", kind="listed-twice", message=message, paths=(path,))


def letters(label: str) -> str:
    """A label without case and punctuation. Marks on letters stay: a vowel sign makes another word."""
    plain = composed(label.casefold())
    return "".join(letter for letter in plain if letter.isalnum() or unicodedata.category(letter).startswith("M"))


def variants(counts: Mapping[str, int]) -> Iterator[Finding]:
    """Labels that differ in case, spaces, hyphens or underscores only."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for label in sorted(counts):
        spellings[letters(label) or label].append(label)
    for key, labels in spellings.items():
        if len(labels) == 1:
            continue
        shown = ", ".join(f"{label!r} ({counts[label]} clips)" for label in labels)
        if key in ONE_CLASS:
            message = f"{shown} are one class of {ONE_CLASS[key]}, spelled in two ways; give both the same label"
            yield Finding(area="label", kind="two-spellings", message=message, level="remark")
        else:
            message = f"{shown} differ in case or punctuation only; one class?"
            yield Finding(area="label", kind="case-variant", message=message)


def typos(counts: Mapping[str, int]) -> Iterator[Finding]:
    """Rare labels that are one slip (two in long ones) away from a label at least TYPO_SHARE times as frequent."""
    keys = {label: letters(label) for label in counts}
    for label, key in sorted(keys.items()):
        frequent = [
            other
            for other, right in keys.items()
            if counts[other] >= TYPO_SHARE * counts[label] and right != key and slips(key, right) <= allowed_slips(key)
        ]
        if frequent:
            best = max(frequent, key=lambda other: counts[other])
            message = f"{label!r} ({counts[label]} clips) looks like {best!r} ({counts[best]} clips); a typo?"
            yield Finding(area="label", kind="typo", message=message)


def allowed_slips(key: str) -> int:
    return 0 if len(key) < 4 else 1 if len(key) < 9 else 2


def slips(one: str, other: str) -> int:
    """Letters to insert, drop, change, or swap with their neighbour (optimal string alignment distance); 3 when it is more than 2."""
    if abs(len(one) - len(other)) > 2 or (Counter(one) - Counter(other)).total() > 2:
        return 3
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        earlier, before, row = before, row, [i]
        for j, target in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != target))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == target:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
    return min(row[-1], 3)


def small_classes(clips: Sequence[Clip], counts: Mapping[str, int]) -> Iterator[Finding]:
    few = [f"{label} ({count})" for label, count in sorted(counts.items()) if count < FEW_CLIPS]
    if few:
        message = f"classes with fewer than {FEW_CLIPS} clips: {some(few)}"
        yield Finding(area="label", kind="few-clips", message=message)
    groups: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        groups[clip.label or ""].add(group_of(clip))
    few = [f"{label} ({len(groups[label])})" for label in sorted(counts) if len(groups[label]) < FEW_GROUPS]
    if few:
        message = f"classes with fewer than {FEW_GROUPS} groups (one each for train, val and test): {some(few)}"
        yield Finding(area="label", kind="few-groups", message=message)


def imbalance(counts: Mapping[str, int]) -> Iterator[Finding]:
    if not counts:
        return
    most, least = max(counts, key=lambda label: counts[label]), min(counts, key=lambda label: counts[label])
    if counts[most] > IMBALANCE * counts[least]:
        message = (
            f"{most!r} has {counts[most]} clips, {least!r} has {counts[least]}: more than {IMBALANCE} times as many; "
            "collect more, or train with --class-weights"
        )
        yield Finding(area="label", kind="imbalance", message=message)


def split_findings(clips: Sequence[Clip]) -> list[Finding]:
    sides = [side for side in SPLITS if of_split(clips, side)]
    findings = [*leaks(clips)]
    for side in sides if len(sides) > 1 else []:
        missing = sorted(set(labels_of(clips)) - set(labels_of(of_split(clips, side))))
        if missing:
            message = f"no {side} clip of {some(missing)}"
            findings.append(Finding(area="split", kind="class-missing", message=message))
    return findings


def leaks(clips: Sequence[Clip]) -> Iterator[Finding]:
    """One finding for all groups on two sides, which says how many test clips have a sibling in train."""
    groups = leaking_groups(clips)
    if groups:
        siblings, tested = siblings_in_train(clips)
        share = (
            f"; {siblings} of {tested} test clips ({100 * siblings / tested:.1f} %) have a sibling in train" if siblings else ""
        )
        message = f"{leak_sentence(groups)}{share}"
        paths = tuple(clip.path for clip in clips if group_of(clip) in groups)
        yield Finding(area="split", kind="group-leak", message=message, paths=paths)


def leak_sentence(groups: Mapping[str, Collection[str]]) -> str:
    """Which groups stand on more than one side."""
    named = [f"{group} ({', '.join(sorted(sides))})" for group, sides in sorted(groups.items())]
    return f"{len(groups)} group{'s' * (len(groups) > 1)} on more than one side of the split: {some(named)}"


def siblings_in_train(clips: Sequence[Clip]) -> tuple[int, int]:
    """Number of test clips with a clip of the same group in train, and of all test clips."""
    trained = {group_of(clip) for clip in of_split(clips, "train")}
    tested = of_split(clips, "test")
    return sum(group_of(clip) in trained for clip in tested), len(tested)


def class_table(clips: Sequence[Clip]) -> list[dict[str, str | int]]:
    """One row per class: label, clips in train, val, test and without a split, and groups."""
    counts = Counter((clip.label or "", clip.split or "none") for clip in clips)
    groups: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        groups[clip.label or ""].add(group_of(clip))
    return [
        {"label": label, **{side: counts[label, side] for side in (*SPLITS, "none")}, "groups": len(groups[label])}
        for label in labels_of(clips)
    ]
