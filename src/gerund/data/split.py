"""Split a data set into train, val and test, or into folds: groups whole, classes shared out as evenly as groups allow."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gerund.core import options
from gerund.core.errors import DataError, UsageError
from gerund.core.places import as_path
from gerund.core.printing import percent, table
from gerund.core.progress import note
from gerund.core.results import Printable
from gerund.core.types import Clip
from gerund.data.annotations import SPLITS
from gerund.data.datasets import Sources, load_dataset, named_sources
from gerund.data.manifest import TEST_SHARE, VAL_SHARE, group_hash, group_of, of_split, relative_name, write_manifest

ALL = "\0all"
"""Counted like one more class, so that small misses of the classes do not add up on one side."""
PASSES = 10
"""How often the groups are gone through, at most, to move one to a side where it fits better."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """One side of a split: the share of clips asked for and got, and the class whose own share is furthest from it."""

    fold: int | None
    split: str
    asked: float
    got: float
    clips: int
    groups: int
    worst_class: str
    worst_got: float


@dataclass(frozen=True, kw_only=True)
class Splitting(Printable):
    """All clips with their splits, once or once per fold; the files that hold them; and how close the shares are."""

    manifests: list[list[Clip]]
    files: list[Path]
    shares: list[Share]
    columns: ClassVar = ("split", "asked", "got", "furthest off", "got", "clips", "groups")

    def as_json(self) -> dict[str, Any]:
        return {"files": [str(file) for file in self.files], "shares": [asdict(share) for share in self.shares]}

    def as_rows(self) -> Iterator[tuple[str, ...]]:
        for share in self.shares:
            side = f"fold {share.fold}" if share.fold else share.split
            worst = share.worst_class, percent(share.worst_got)
            yield (side, percent(share.asked), percent(share.got), *worst, str(share.clips), str(share.groups))

    def as_text(self) -> Iterator[str]:
        yield from table(self.columns, self.as_rows())
        for file in self.files:
            yield f"Written: {file}"


def split(
    data: options.Data,
    *,
    by: options.Together = "group",
    folds: options.SplitFolds | None = None,
    val: options.SplitVal | None = None,
    test: options.SplitTest | None = None,
    anew: options.Anew = False,
    group_pattern: options.GroupPattern | None = None,
    background: options.Background = options.USUAL.background,
    seed: options.Seed = options.USUAL.seed,
    out: options.SplitFile | None = None,
) -> Splitting:
    """Give every clip a split: clips of one group on one side, every class shared out alike, as far as groups allow.

    Clips that have a split keep it, and so do new clips of their groups; so a manifest that is added to can be split again.
    Without `out`, a manifest clips.csv gives clips-split.csv beside it, or clips-fold1.csv, clips-fold2.csv ...

    Raises UsageError for shares that cannot be, DataError when there is nothing to split or too little for the folds.

    Each argument is explained in `gerund.core.options`, and by `gerund split --help`.
    """
    asked = shares_asked(folds, val, test)
    clips = load_dataset(data, group_pattern=group_pattern, allow_leak=anew or by == "clip", background=background, history=True)
    if anew:
        clips = [replace(clip, split=None) for clip in clips]
    keys = [group_of(clip) if by == "group" else f"{clip.path} {clip.start}" for clip in clips]
    check_folds(clips, keys, folds)
    sides = divide(clips, keys, asked, seed)
    if folds is None:
        manifests = [[replace(clip, split=side) for clip, side in zip(clips, sides, strict=True)]]
    else:
        manifests = [
            [replace(c, split=s if s in SPLITS else "test" if s == part else "train") for c, s in zip(clips, sides, strict=True)]
            for part in asked
        ]
    if by == "clip":
        note("Split by clip: scores will be too good wherever two clips come from one video or person.")
    return Splitting(
        manifests=manifests,
        files=write_manifests(manifests, data, folds, as_path(out)),
        shares=shares_got(manifests, asked, folds),
    )


def shares_asked(folds: int | None, val: float | None, test: float | None) -> dict[str, float]:
    """Side -> the share of clips it should have."""
    if folds is not None:
        if folds < 2:
            raise UsageError(f"--folds {folds}: at least 2 are needed")
        for flag, value in (("--val", val), ("--test", test)):
            if value is not None:
                raise UsageError(
                    f"{flag} {value:g} and --folds {folds} exclude each other: each of the folds is the test side once"
                )
        return {f"fold{number}": 1 / folds for number in range(1, folds + 1)}
    shares = {"val": VAL_SHARE if val is None else val, "test": TEST_SHARE if test is None else test}
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise UsageError(f"--{name} {share:g}: a share of the clips lies between 0 and 1")
    train = round(1 - sum(shares.values()), 12)
    if train <= 0:
        raise UsageError(f"--val {shares['val']:g} and --test {shares['test']:g} leave nothing to train on")
    return {side: share for side, share in {"train": train, **shares}.items() if share}


def check_folds(clips: Sequence[Clip], keys: Sequence[str], folds: int | None) -> None:
    """Refuse what has no clip left to split, or fewer groups than folds."""
    free = {key for clip, key in zip(clips, keys, strict=True) if clip.split is None}
    if not free:
        raise DataError("every clip has a split already; --anew forgets them all, or empty the column 'split' of some")
    if folds and len(free) < folds:
        raise DataError(f"--folds {folds}: there are only {len(free)} groups to share out")


def divide(clips: Sequence[Clip], keys: Sequence[str], asked: Mapping[str, float], seed: int) -> list[str]:
    """The side of every clip. Large groups are placed first, each where the classes' shares then miss `asked` least."""
    totals = Counter(label for clip in clips for label in (clip.label, ALL))
    sizes: dict[str, Counter[str | None]] = defaultdict(Counter)
    fixed: dict[str, str] = {}
    for clip, key in zip(clips, keys, strict=True):
        sizes[key].update((clip.label, ALL))
        if clip.split is not None:
            fixed[key] = clip.split
    held = {side: Counter[str | None]() for side in (*asked, *SPLITS)}
    for key, side in fixed.items():
        held[side].update(sizes[key])

    def miss(side: str, group: Counter[str | None]) -> float:
        """How much worse the squared misses of all classes get when `side` takes a group."""
        before = ((held[side][label] / totals[label] - asked[side], count / totals[label]) for label, count in group.items())
        return sum(more * (2 * off + more) for off, more in before)

    free = sorted(sizes.keys() - fixed.keys(), key=lambda key: (-sizes[key].total(), group_hash(relative_name(key), str(seed))))
    placed: dict[str, str] = {}
    for _ in range(PASSES):
        moved = False
        for key in free:
            old = placed.get(key)
            if old is not None:
                held[old].subtract(sizes[key])
            placed[key] = min(asked, key=lambda side: (miss(side, sizes[key]), side != old))
            held[placed[key]].update(sizes[key])
            moved |= placed[key] != old
        if not moved:
            break
    return [clip.split or fixed.get(key) or placed[key] for clip, key in zip(clips, keys, strict=True)]


def dealt_folds(clips: Sequence[Clip], keys: Sequence[str], folds: int, salt: str) -> np.ndarray:
    """The fold (N,) of each clip, for what is trained and judged in passing: keys are dealt out in turn, class by class.

    Their order depends on their names and the salt alone; a key is never parted. `divide` also looks at how many clips a key has.
    """
    label_of = {key: clip.label or "" for clip, key in zip(clips, keys, strict=True)}
    in_order = sorted(label_of, key=lambda key: (label_of[key], group_hash(relative_name(key), salt)))
    fold_of = {key: place % folds for place, key in enumerate(in_order)}
    return np.array([fold_of[key] for key in keys])


def shares_got(manifests: Sequence[Sequence[Clip]], asked: Mapping[str, float], folds: int | None) -> list[Share]:
    """What came of the shares asked for; a class without a clip to train on is told."""
    shares = []
    for number, clips in enumerate(manifests, start=1):
        totals = Counter(clip.label for clip in clips)
        wanted = {"test": 1 / folds} if folds else asked
        for side, share in wanted.items():
            chosen = of_split(clips, side)
            counts = Counter(clip.label for clip in chosen)
            worst = max(totals, key=lambda label: abs(counts[label] / totals[label] - share))
            shares.append(
                Share(
                    fold=number if folds else None,
                    split=side,
                    asked=share,
                    got=len(chosen) / len(clips),
                    clips=len(chosen),
                    groups=len({group_of(clip) for clip in chosen}),
                    worst_class=worst or "",
                    worst_got=counts[worst] / totals[worst],
                )
            )
        lost = sorted(str(label) for label in totals if not any(c.label == label for c in of_split(clips, "train")))
        if lost:
            where = f"fold {number}" if folds else "this split"
            note(f"No clip of {', '.join(lost)} is left to train on in {where}; add clips of other groups.")
    return shares


def write_manifests(manifests: Sequence[Sequence[Clip]], data: Sources, folds: int | None, out: Path | None) -> list[Path]:
    """Write the manifests where `out` says, or beside the one they were read from; nowhere if neither is there."""
    if out is None:
        sources = named_sources(data)
        source = Path(sources[0].removeprefix("csv:")) if len(sources) == 1 else None
        if source is None or not source.is_file():
            note("Nothing is written; name a file with --out.")
            return []
        out = source if folds else source.with_name(f"{source.stem}-split.csv")
    files = [out.with_name(f"{out.stem}-fold{number}.csv") for number in range(1, folds + 1)] if folds else [out]
    for file, clips in zip(files, manifests, strict=True):
        write_manifest(clips, file)
    return files
