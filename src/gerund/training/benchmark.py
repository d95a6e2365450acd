"""The recipes on a published data set's official splits, and on random splits beside them, which leak."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from gerund.backbones import load_backbone
from gerund.core import options
from gerund.core.errors import BackboneError, UsageError
from gerund.core.printing import percent, table
from gerund.core.progress import note
from gerund.core.recipes import Recipe, resolve, split_words
from gerund.core.results import Printable
from gerund.core.settings import BenchmarkSettings, checked
from gerund.core.types import Clip
from gerund.data.datasets import SPLIT_NUMBERS, load_dataset
from gerund.data.manifest import group_of, of_split
from gerund.data.split import divide
from gerund.training.train import train

OFFICIAL_SPLITS = (1, 2, 3)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Top-1 (0..1) of a recipe on each official split, and on random splits, each the mean over the seeds."""

    recipe: str
    backbone: str
    by_split: list[float]
    leaking: float

    @property
    def mean(self) -> float:
        return statistics.mean(self.by_split)


@dataclass(frozen=True, kw_only=True)
class Benchmark(Printable):
    """One row per recipe, in the layout of the literature; recipe -> why it could not run; how far the random splits leak.

    `left_out` has the videos and spans that could not be used, with the reasons.
    """

    splits: tuple[int, ...]
    seeds: int
    rows: list[Row]
    failed: dict[str, str]
    left_out: dict[str, str]
    siblings: float

    @property
    def warning(self) -> str:
        return (
            f"the last column is of random splits, in which {100 * self.siblings:.1f} % of the test clips have a sibling from the same "
            "source video in training. It is here for comparison with published figures that were made so; it says nothing of new videos."
        )

    @property
    def values(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rows = [vars(each) | {"mean": each.mean} for each in self.rows]
        return {**vars(self), "rows": rows, "warning": self.warning}

    @property
    def is_complete(self) -> bool:
        return not self.failed and not self.left_out

    @property
    def columns(self) -> tuple[str, ...]:
        return ("recipe", *(f"split {split}" for split in self.splits), "mean", "random clips (leaks)")

    def as_json(self) -> dict[str, Any]:
        return self.values

    def as_rows(self) -> Iterator[tuple[Any, ...]]:
        return ((each.recipe, *each.by_split, each.mean, each.leaking) for each in self.rows)

    def as_text(self) -> Iterator[str]:
        yield from table(self.columns, [(recipe, *map(percent, shares)) for recipe, *shares in self.as_rows()])
        yield from ("", f"Top-1 of the test clips; mean over {self.seeds} seed{'s' * (self.seeds != 1)}.")
        yield f"WARNING: {self.warning}"
        for recipe, reason in self.failed.items():
            yield f"not run: {recipe}: {reason}"
        for reason in self.left_out.values():
            yield f"left out: {reason}"


def benchmark(
    data: options.OfficialData,
    *,
    recipes: options.RecipeNames = options.RECIPE_NAMES,
    seeds: options.SeedCount = 1,
    cache: options.CacheFolder | None = None,
    out: options.RunsFolder | None = None,
    **settings: Unpack[BenchmarkSettings],
) -> Benchmark:
    """Train recipes on the three official splits of a data set, and on as many random splits of its clips, which leak.

    A recipe whose backbone has no weights here is left out, with the reason.

    Each argument and setting is explained in `gerund.core.options`, and by `gerund benchmark --help`.
    """
    flags = checked(settings, BenchmarkSettings, "benchmark")
    if data.partition(":")[0] not in SPLIT_NUMBERS:
        raise UsageError(
            f"{data}: no official splits are known for it (they are for {', '.join(f'{name}:DIR' for name in SPLIT_NUMBERS)}); "
            "for other data, gerund compare cross-validates"
        )
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: at least 1 is needed")
    resolved = {name: resolve(name, None, flags) for name in split_words("recipes", recipes)}
    official = {split: load_dataset(data, split=split) for split in OFFICIAL_SPLITS}
    leaking = {split: shuffled(clips, split) for split, clips in official.items()}
    failed = {name: reason for name, each in resolved.items() if (reason := missing_backbone(each))}
    for name, reason in failed.items():
        note(f"Not run: {name}: {reason}")
    rows = []
    left_out: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="gerund-", ignore_cleanup_errors=True) as folder:
        keep = Path(out or folder)

        def top1(recipe: str, split: int, clips: list[Clip], kind: str) -> float:
            """Mean over the seeds on one split."""
            found = []
            for seed in range(seeds):
                note(f"{recipe}, {kind} split {split}, seed {seed}")
                run = keep / f"{recipe}-{kind}{split}-seed{seed}"
                training = train(clips, recipe=recipe, seed=seed, allow_leak=True, cache=cache, out=run, **flags)
                found.append(training.metrics["test"]["top1"])
                left_out.update(training.failed)
            return statistics.mean(found)

        for name in (each for each in resolved if each not in failed):
            by_split = [top1(name, split, clips, "official") for split, clips in official.items()]
            random = statistics.mean(top1(name, split, clips, "random") for split, clips in leaking.items())
            rows.append(Row(recipe=name, backbone=resolved[name].backbone, by_split=by_split, leaking=random))
    return Benchmark(
        splits=OFFICIAL_SPLITS,
        seeds=seeds,
        rows=rows,
        failed=failed,
        left_out=left_out,
        siblings=statistics.mean(map(siblings, leaking.values())),
    )


def missing_backbone(settings: Recipe) -> str | None:
    """Why the backbone of some settings cannot be had here; None when it can."""
    weights = Path(settings.weights) if settings.weights else None
    try:
        load_backbone(
            settings.backbone, weights=weights, pretrained=settings.pretrained, image_size=settings.image_size, fit=settings.fit
        )
    except BackboneError as error:
        return str(error)
    return None


def shuffled(clips: Sequence[Clip], seed: int) -> list[Clip]:
    """The same clips on random sides: as large a share as before for testing, classes alike, groups parted."""
    share = len(of_split(clips, "test")) / len(clips)
    free = [replace(clip, split=None) for clip in clips]
    keys = [f"{clip.path} {clip.start}" for clip in clips]
    sides = divide(free, keys, {"train": 1 - share, "test": share}, seed)
    return [replace(clip, split=side) for clip, side in zip(clips, sides, strict=True)]


def siblings(clips: Sequence[Clip]) -> float:
    """Share of the test clips that have a clip of their group in training."""
    trained = {group_of(clip) for clip in of_split(clips, "train")}
    test = of_split(clips, "test")
    return sum(group_of(clip) in trained for clip in test) / len(test)
