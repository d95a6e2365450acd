"""Which head, and which backbone, is best for a data set: a leaderboard by cross-validation, and the winner trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Unpack

import numpy as np

from gerund.core import options
from gerund.core.errors import DataError, UsageError
from gerund.core.files import write_json
from gerund.core.places import as_path
from gerund.core.printing import percent, table
from gerund.core.progress import note
from gerund.core.recipes import Recipe, resolve, split_words
from gerund.core.results import Printable
from gerund.core.settings import CompareSettings, checked
from gerund.core.types import Clip
from gerund.data.datasets import Sources, recorded_source
from gerund.data.manifest import assign_splits, of_split
from gerund.features.cache import FeatureCache
from gerund.heads import in_closed_form
from gerund.recognition.runs import check_free
from gerund.recognition.token_set import token_set
from gerund.training.leaderboard import (
    COMPARED_HEADS,
    FOLDS,
    Leaderboard,
    Standing,
    available_heads,
    cross_validate,
    processes_on,
    with_head,
)
from gerund.training.prepare import extract_views, labelled_clips, network_seconds, untrained
from gerund.training.run import Training
from gerund.training.train import train_on

COMPARED = ",".join(COMPARED_HEADS)


@dataclass(frozen=True, kw_only=True)
class Comparison(Printable):
    """A leaderboard, the training of its winner if that was asked for, and the videos that could not be decoded, with the reasons."""

    leaderboard: Leaderboard
    training: Training | None
    failed: dict[str, str]
    columns: ClassVar = tuple(name.name for name in fields(Standing) if name.name != "correct")

    @property
    def is_complete(self) -> bool:
        return not self.failed and not self.leaderboard.failed

    def as_json(self) -> dict[str, Any]:
        return {**self.leaderboard.values, "left_out": self.failed, "run": str(self.training.run) if self.training else None}

    def as_rows(self) -> Iterator[Iterable[Any]]:
        return (each.values.values() for each in self.leaderboard.standings)

    def as_text(self) -> Iterator[str]:
        board, training = self.leaderboard, self.training
        header = ("head", "top-1", "95 % interval", "backbone", "parameters", "train s", "ms/clip", "network s/min")
        yield from table(header, [standing_cells(each) for each in board.standings])
        yield from ("", f"{board.num_clips} clips, {board.num_groups} groups, {board.folds} folds")
        for name, reason in board.failed.items():
            yield f"not compared: {name}: {reason}"
        for reason in self.failed.values():
            yield f"left out: {reason}"
        yield f"Winner: {board.winner.name}. {board.reason}."
        if training is not None:
            yield from (
                "",
                f"Run:   {training.run}",
                f"Model: {training.model}",
                "",
                f"Next: gerund predict {training.run} VIDEO",
            )


def standing_cells(standing: Standing) -> tuple[str, ...]:
    return (
        standing.head,
        percent(standing.top1),
        f"{100 * standing.low:.1f} .. {100 * standing.high:.1f} %",
        standing.backbone,
        f"{standing.parameters:,}",
        f"{standing.train_seconds:.1f}",
        f"{standing.ms_per_clip:.2f}",
        "" if standing.network_seconds is None else f"{standing.network_seconds:.1f}",
    )


def compare(
    data: options.Data,
    *,
    heads: options.HeadNames = COMPARED,
    backbones: options.BackboneNames | None = None,
    folds: options.Folds = FOLDS,
    recipe: options.RecipeName | None = None,
    config: options.ConfigFile | None = None,
    workers: options.CompareWorkers | None = None,
    cache: options.CacheFolder | None = None,
    best: options.BestRun | None = None,
    **settings: Unpack[CompareSettings],
) -> Comparison:
    """Compare heads by cross-validation: groups whole, features extracted once, every head trained as `train` does.

    Test clips that the data set gives are left out. The winner has the highest mean top-1; of heads within one standard error
    of it, the one with the fewest parameters.

    Raises UsageError for settings that cannot be, DataError for data with too few groups, TrainingError when no head can be trained.

    Each argument and setting is explained in `gerund.core.options`, and by `gerund compare --help`.
    """
    given = checked(settings, CompareSettings, "compare")
    chosen = resolve(recipe, config, given | {"workers": workers, "data": recorded_source(data)})
    names = available_heads() if heads == COMPARED else split_words("heads", heads)
    bases = with_backbones(chosen, backbones)
    for name in names:
        with_head(chosen, name)  # what cannot be is told before any work is done
    if folds < 2:
        raise UsageError(f"--folds {folds}: at least 2 are needed")
    check_free(best)
    clips, test = clips_to_compare(data, chosen)
    recognizers = [untrained(clips, base, FeatureCache(cache)) for base in bases]
    views = [extract_views(recognizer, base, clips) for recognizer, base in zip(recognizers, bases, strict=True)]
    failed = {name: reason for each in views for name, reason in each[0].left_out.items()}
    usable = [clip for clip in clips if not any(each[0].problem(clip) for each in views)]
    if not usable:
        raise DataError(f"none of the {len(clips)} clips can be used; see the lines above for the reasons")
    candidates = []
    for base, recognizer, seen in zip(bases, recognizers, views, strict=True):
        inside = any(map(in_closed_form, names))
        tokens = token_set(recognizer, seen, usable, draws=base.draws, rng=np.random.default_rng(base.seed), inside=inside)
        candidates += [(with_head(base, name), tokens) for name in names]
    board = cross_validate(
        candidates,
        usable,
        folds=folds,
        seed=chosen.seed,
        processes=processes_on(recognizers[0].device, workers),
        device=recognizers[0].device,
        prices={each.backbone.name: network_seconds(each.extractor) for each in recognizers},
    )
    training = None
    if best is not None:
        base = next(each for each in bases if each.backbone == board.winner.backbone)
        sided, _ = assign_splits([*clips, *test], val=base.val, seed=base.seed)
        training = train_on(sided, with_head(base, board.winner.head), FeatureCache(cache), as_path(best))
        write_json(training.run / "comparison.json", board.values)
    return Comparison(leaderboard=board, training=training, failed=failed)


def with_backbones(settings: Recipe, backbones: str | None) -> list[Recipe]:
    """The settings once for each backbone; NAME=FILE brings its weights."""
    if backbones is None:
        return [settings]
    pairs = [word.partition("=") for word in split_words("backbones", backbones)]
    split_words("backbones", ",".join(name for name, _, _ in pairs))  # the same backbone twice could not be told apart
    if settings.weights is not None and len(pairs) > 1:
        raise UsageError(f"--weights {settings.weights}: which backbone's? With several, write --backbones NAME=FILE,NAME=FILE")
    return [replace(settings, backbone=name, weights=file or settings.weights) for name, _, file in pairs]


def clips_to_compare(data: Sources, settings: Recipe) -> tuple[list[Clip], list[Clip]]:
    """The clips that take part, and those left out since the data set gives them as test. Raises DataError for fewer than two classes."""
    given = labelled_clips(data, settings)
    test = of_split(given, "test")
    if test:
        note(f"The {len(test)} test clips that the data set gives are left out of the comparison.")
    clips, _ = assign_splits([replace(clip, split="train") for clip in given if clip.split != "test"], val=0)
    return clips, test
