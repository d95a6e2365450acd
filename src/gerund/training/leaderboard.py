"""Cross-validation of heads by group: who stands where, how sure that is, and whom to take."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from gerund.core.errors import DataError, TrainingError
from gerund.core.progress import note, progress
from gerund.core.recipes import Recipe
from gerund.core.types import Clip
from gerund.data.manifest import carve, group_of, labels_of
from gerund.data.split import divide
from gerund.heads import head_options, in_closed_form
from gerund.recognition.metrics import group_interval, lead_error
from gerund.recognition.token_set import TokenSet
from gerund.training import trials
from gerund.training.trials import Outcome, Trial, write_tokens

COMPARED_HEADS = ("transformer", "bilstm", "mean", "prototype")
"""What is compared when nothing else is asked for."""
FOLDS = 5
ROUNDING = 1e-9
"""A lead that one group makes alone is exactly one standard error."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A candidate's line on the leaderboard. Every clip is tested once, and `top1` (0..1) is over all of them.

    `low` and `high` are its 95 % interval by group. `train_seconds` of one fit and `ms_per_clip` (the head alone,
    in batches) are medians over the folds, on one core. `network_seconds` is what the backbone takes for a minute of video, None where nobody
    measured it. `correct` (N,) bool is in the order of the clips.
    """

    head: str
    backbone: str
    top1: float
    low: float
    high: float
    parameters: int
    train_seconds: float
    ms_per_clip: float
    correct: np.ndarray
    network_seconds: float | None = None

    @property
    def name(self) -> str:
        return f"{self.head} on {self.backbone}"

    @property
    def sentence(self) -> str:
        return (
            f"{self.name}: top-1 {self.top1:.3f} ({self.low:.3f} .. {self.high:.3f}), {self.parameters:,} parameters, "
            f"{self.train_seconds:.1f} s to train{self.price}"
        )

    @property
    def price(self) -> str:
        """What the backbone costs, in words, where that was measured."""
        return "" if self.network_seconds is None else f", network {self.network_seconds:.1f} s a minute of video"

    @property
    def values(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "correct"}


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """All standings, best first; the winner and why; the folds and clips they come from; candidate -> why it could not be trained."""

    standings: list[Standing]
    winner: Standing
    reason: str
    folds: int
    num_clips: int
    num_groups: int
    failed: dict[str, str]

    @property
    def values(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return vars(self) | {"standings": [each.values for each in self.standings], "winner": self.winner.values}


def cross_validate(
    candidates: Sequence[tuple[Recipe, TokenSet]],
    clips: Sequence[Clip],
    *,
    folds: int,
    seed: int,
    processes: int,
    device: str,
    prices: Mapping[str, float] | None = None,
) -> Leaderboard:
    """Try all candidates, settings with the tokens of all clips, on the same folds; `prices` are the backbones' seconds for a minute of video.

    Raises DataError when the clips have too few groups, and TrainingError when no candidate can be trained.
    """
    fold_of = deal(clips, folds, seed)
    groups = [group_of(clip) for clip in clips]
    with tempfile.TemporaryDirectory(prefix="gerund-", ignore_cleanup_errors=True) as folder:
        places: dict[int, Path] = {}
        for _, tokens in candidates:
            if id(tokens) not in places:
                places[id(tokens)] = Path(folder) / str(len(places))
                write_tokens(tokens, places[id(tokens)])
        plan = [
            (number, trial_on(fold, settings, clips, fold_of, places[id(tokens)], device))
            for fold in sorted(set(fold_of))
            for number, (settings, tokens) in enumerate(candidates)
        ]
        results, failed = run_all(plan, processes)
    standings = [
        replace(standing(settings, fits, groups), network_seconds=(prices or {}).get(settings.backbone))
        for number, fits in sorted(results.items())
        if number not in failed and (settings := candidates[number][0])
    ]
    reasons = {f"{candidates[number][0].head} on {candidates[number][0].backbone}": why for number, why in failed.items()}
    if not standings:
        raise TrainingError(f"no head could be trained; {'; '.join(f'{name}: {why}' for name, why in reasons.items())}")
    standings.sort(key=lambda each: (-each.top1, each.parameters))
    winner, reason = choose(standings, groups)
    return Leaderboard(
        standings=standings,
        winner=winner,
        reason=reason,
        folds=len(set(fold_of)),
        num_clips=len(clips),
        num_groups=len(set(groups)),
        failed=reasons,
    )


def available_heads() -> list[str]:
    """What is compared when nothing else is asked for, as far as this installation can train it."""
    return [name for name in COMPARED_HEADS if in_closed_form(name) or find_spec("torch") is not None]


def with_head(settings: Recipe, name: str) -> Recipe:
    """Settings with another head, its options those of the settings if it is theirs. Raises UsageError for an unknown head."""
    options = settings.head_options if name == settings.head else {}
    head_options(name, options)
    return replace(settings, head=name, head_options=options)


def processes_on(device: str, asked: int | None) -> int:
    """Trials side by side: one for each core, but one at a time on a GPU."""
    return (asked or os.cpu_count() or 1) if device == "cpu" else 1


def deal(clips: Sequence[Clip], folds: int, seed: int) -> list[int]:
    """The fold of each clip: groups whole, classes shared out alike. Raises DataError when a class cannot be trained and tested both."""
    groups: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        groups[clip.label or ""].add(group_of(clip))
    for label, members in groups.items():
        if len(members) < 2:
            raise DataError(
                f"class {label!r} has clips of one group only ({next(iter(members))}), so it cannot be trained and tested both; "
                "add clips of other groups, or leave the class out"
            )
    number = len(set().union(*groups.values()))
    if number < folds:
        note(f"There are only {number} groups: {number} folds instead of {folds}.")
        folds = number
    few = sorted(label for label, members in groups.items() if len(members) < folds)
    if few:
        note(f"Fewer groups than folds in {', '.join(few)}: no clip of it is tested in some folds.")
    names = [f"fold {each}" for each in range(folds)]
    free = [replace(clip, split=None) for clip in clips]
    sides = divide(free, [group_of(clip) for clip in clips], dict.fromkeys(names, 1 / folds), seed)
    for fold in sorted(set(sides)):
        lost = set(groups) - {clip.label or "" for clip, side in zip(clips, sides, strict=True) if side != fold}
        if lost:
            raise DataError(
                f"all clips of {', '.join(sorted(lost))} fall into one fold, since their groups have clips of other classes too; "
                "add clips of other groups"
            )
    return [names.index(side) for side in sides]


def trial_on(fold: int, settings: Recipe, clips: Sequence[Clip], fold_of: Sequence[int], tokens: Path, device: str) -> Trial:
    """A trial tested on one fold. Validation clips are carved by group out of the others, as `train` does."""
    sided = [replace(clip, split="test" if side == fold else "train") for clip, side in zip(clips, fold_of, strict=True)]
    if settings.val:
        sided = carve(sided, "val", settings.val, settings.seed)
    rows = {side: [row for row, clip in enumerate(sided) if clip.split == side] for side in ("train", "val", "test")}
    return Trial(settings=settings, tokens=tokens, num_classes=len(labels_of(clips)), device=device, **rows)


def run_all(plan: Sequence[tuple[int, Trial]], processes: int) -> tuple[dict[int, list[tuple[Trial, Outcome]]], dict[int, str]]:
    """Candidate -> its trials and what came of them, and candidate -> the first reason why one failed."""
    results: dict[int, list[tuple[Trial, Outcome]]] = defaultdict(list)
    failed: dict[int, str] = {}
    with progress("Comparing", len(plan), "fits") as bar:
        for index, outcome in trials.run([trial for _, trial in plan], processes):
            number, trial = plan[index]
            if isinstance(outcome, str):
                failed.setdefault(number, outcome)
            else:
                results[number].append((trial, outcome))
            bar.advance()
    return results, failed


def standing(settings: Recipe, fits: Sequence[tuple[Trial, Outcome]], groups: Sequence[str]) -> Standing:
    """Pool a candidate's folds."""
    correct = np.zeros(len(groups), bool)
    for trial, outcome in fits:
        correct[trial.test] = outcome.correct
    low, high = group_interval(correct, groups)
    return Standing(
        head=settings.head,
        backbone=settings.backbone,
        top1=float(correct.mean()),
        low=low,
        high=high,
        parameters=fits[0][1].parameters,
        train_seconds=statistics.median(outcome.train_seconds for _, outcome in fits),
        ms_per_clip=statistics.median(outcome.ms_per_clip for _, outcome in fits),
        correct=correct,
    )


def choose(standings: Sequence[Standing], groups: Sequence[str]) -> tuple[Standing, str]:
    """The winner and why: the highest mean, or, of those that it leads by no more than a standard error, the one with fewest parameters, and
    of those that have as many the one whose network costs least.

    The one-standard-error rule (Breiman et al. 1984, sec. 3.4.3), taken of the lead, since all answer the same clips, and by group.
    """
    best = standings[0]
    error = {each.name: lead_error(best.correct.astype(float) - each.correct, groups) for each in standings}
    tied = [each for each in standings if best.top1 - each.top1 <= error[each.name] + ROUNDING]
    winner = min(tied, key=lambda each: (each.parameters, each.network_seconds or 0.0))
    if winner is best:
        return best, "It has the highest mean top-1, and nothing simpler is within one standard error of it"
    simpler = f"It is simpler than {best.name} ({winner.parameters:,} parameters, not {best.parameters:,})"
    cheaper = f"It costs less than {best.name} ({winner.network_seconds or 0:.1f} s a minute of video, not {best.network_seconds or 0:.1f})"
    return winner, (
        f"{simpler if winner.parameters < best.parameters else cheaper}, which leads by "
        f"{best.top1 - winner.top1:.3f} only: within one standard error of that lead ({error[winner.name]:.3f})"
    )
