"""How good a recogniser is on labelled clips. Every clip counts; one that cannot be decoded counts as wrong and is listed."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gerund.core import options
from gerund.core.errors import DataError, ModelError, UsageError
from gerund.core.printing import percent, rounded, table
from gerund.core.results import Printable
from gerund.core.types import Clip
from gerund.data.datasets import load_dataset
from gerund.data.manifest import group_of, of_split, read_manifest
from gerund.recognition.folder import find_model
from gerund.recognition.metrics import (
    class_accuracies,
    confusion_matrix,
    expected_calibration_error,
    group_interval,
    log_losses,
    macro_f1,
    negative_log_likelihood,
    reliability,
    topk_accuracy,
    topk_correct,
    wilson_interval,
)
from gerund.recognition.recognizer import Recognizer

MOST_LISTED = 10
"""Confused pairs and worst clips that are listed."""
FAR_APART = 10
"""Per cent between the ends of an interval, above which there were few clips."""
FEW = 5
"""Of which so many are told on a terminal."""
TERMS = "(top-1: the first answer is right; mean class: each class counts alike; calibration error: how far percentages are off)"
"""What the figures are, for people who meet them for the first time."""
SPREAD = ("top1", "top5", "mean_class", "macro_f1", "ece", "nll")
"""Metrics of which several runs have a mean and a spread."""


@dataclass(frozen=True, kw_only=True)
class Evaluation(Printable):
    """Answers beside the truth: `scores` (N, K), NaN rows for clips in `failed` (path, or path and span -> reason).

    `runs` has the single evaluations by run folder when several runs were measured together; then clips and scores are all of theirs.
    Every figure is computed once, when it is first asked for.
    """

    labels: list[str]
    clips: list[Clip]
    scores: np.ndarray
    failed: dict[str, str]
    runs: Mapping[str, Evaluation] = field(default_factory=dict)
    columns: ClassVar = ("label", "clips", "accuracy", "mistaken_for", "low", "high")

    @cached_property
    def targets(self) -> np.ndarray:
        """Class index of each clip (N,)."""
        index = {label: number for number, label in enumerate(self.labels)}
        return np.array([index[clip.label] for clip in self.clips if clip.label is not None], np.int64)

    def reason(self, index: int) -> str:
        """Why a clip has no answer; empty for one that has."""
        clip, answered = self.clips[index], np.isfinite(self.scores[index]).all()
        return "" if answered else self.failed.get(clip.shown) or self.failed.get(str(clip.path), "")

    @cached_property
    def confusion(self) -> np.ndarray:
        """Counts (K, K + 1): rows true, columns predicted, the last column without an answer."""
        return confusion_matrix(self.scores, self.targets, len(self.labels))

    @cached_property
    def reliability(self) -> np.ndarray:
        """Clips, mean confidence and accuracy of 15 bins of confidence (15, 3)."""
        return reliability(self.scores, self.targets)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What metrics.json holds for one split; None where there is nothing to measure.

        `top1_interval` is the 95 % interval by group, `top1_readable` that of the clips that have an answer alone, `mean_class` the
        balanced accuracy, `ece` the expected calibration error (15 bins), `nll` the mean negative log likelihood of the clips that have
        an answer.
        """
        targets, confusion, correct = self.targets, self.confusion, topk_correct(self.scores, self.targets, 1)
        interval = group_interval(correct, [group_of(clip) for clip in self.clips])
        answered = np.isfinite(self.scores).all(axis=1)
        return {
            "top1": topk_accuracy(self.scores, targets, 1),
            "top1_readable": float(correct[answered].mean()) if answered.any() else None,
            "top1_interval": None if math.isnan(interval[0]) else list(interval),
            "top5": topk_accuracy(self.scores, targets, 5),
            "mean_class": float(np.nanmean(class_accuracies(confusion))),
            "macro_f1": macro_f1(confusion),
            "ece": known(expected_calibration_error(self.scores, targets)),
            "nll": known(negative_log_likelihood(self.scores, targets)),
            "num_clips": len(self.clips),
            "failed": sorted(self.failed),
        }

    @cached_property
    def spread(self) -> dict[str, dict[str, float]]:
        """Mean, standard deviation (n - 1), lowest and highest of each metric over `runs`; empty for a single run."""
        if len(self.runs) < 2:
            return {}
        measured = [run.metrics for run in self.runs.values()]
        values = {name: np.array([each[name] for each in measured], float) for name in SPREAD}
        return {
            name: {"mean": float(of.mean()), "std": float(of.std(ddof=1)), "min": float(of.min()), "max": float(of.max())}
            for name, of in values.items()
            if np.isfinite(of).all()
        }

    @cached_property
    def confusion_pairs(self) -> list[dict[str, Any]]:
        """The classes most often taken for another: true label, answer, number of clips, and of how many of the true label."""
        counts = self.confusion[:, :-1].copy()
        np.fill_diagonal(counts, 0)
        totals = self.confusion.sum(axis=1)
        pairs = sorted(zip(*np.nonzero(counts), strict=True), key=lambda pair: -counts[pair])[:MOST_LISTED]
        return [
            {"label": self.labels[row], "answer": self.labels[column], "clips": int(counts[row, column]), "of": int(totals[row])}
            for row, column in pairs
        ]

    @cached_property
    def worst(self) -> list[int]:
        """Indices of the clips with the highest loss, the worst first, each clip once however many runs answered it.

        Clips without an answer have no loss; `failed` lists them.
        """
        losses = log_losses(self.scores, self.targets)
        first: dict[Clip, int] = {}
        for index in np.argsort(-losses, kind="stable"):
            if np.isfinite(losses[index]):
                first.setdefault(self.clips[index], int(index))
        return list(first.values())[:MOST_LISTED]

    @cached_property
    def worst_clips(self) -> list[dict[str, Any]]:
        """The clips with the highest loss: what they are, what was answered, and the probabilities of both."""
        targets, rows = self.targets, []
        for index in self.worst:
            clip, scores = self.clips[index], self.scores[index]
            rows.append(
                {
                    "path": str(clip.path),
                    "start": clip.start,
                    "end": clip.end,
                    "label": clip.label,
                    "label_score": float(scores[targets[index]]),
                    "answer": self.labels[int(scores.argmax())],
                    "answer_score": float(scores.max()),
                }
            )
        return rows

    @cached_property
    def per_class(self) -> list[dict[str, Any]]:
        """One row per class that has clips: label, number of clips, accuracy, the label it is most often taken for, and an interval.

        The 95 % interval of the accuracy is Wilson's with each group counted once: a class has few groups, and a bootstrap of few
        that are all right would claim certainty.
        """
        groups: dict[str, set[str]] = defaultdict(set)
        for clip in self.clips:
            groups[clip.label or ""].add(group_of(clip))
        rows = []
        for index, (label, counts, accuracy) in enumerate(
            zip(self.labels, self.confusion, class_accuracies(self.confusion), strict=True)
        ):
            if counts.sum():
                others = np.where(np.arange(len(counts)) == index, 0, counts)
                mistaken = (*self.labels, "(no answer)")[int(others.argmax())] if others.any() else ""
                interval = wilson_interval(float(accuracy), len(groups[label]))
                rows.append(
                    {
                        "label": label,
                        "clips": int(counts.sum()),
                        "accuracy": float(accuracy),
                        "mistaken_for": mistaken,
                        "interval": list(interval),
                    }
                )
        return rows

    @property
    def is_complete(self) -> bool:
        return not self.failed

    def as_json(self) -> dict[str, Any]:
        values = {
            **self.metrics,
            "per_class": self.per_class,
            "confusion_pairs": self.confusion_pairs,
            "worst_clips": self.worst_clips,
            "failed": self.failed,
        }
        if self.runs:
            values |= {"runs": {run: each.metrics for run, each in self.runs.items()}, "spread": self.spread}
        return values

    def as_rows(self) -> Iterator[list[Any]]:
        return ([*list(row.values())[:4], *row["interval"]] for row in self.per_class)

    def as_text(self) -> Iterator[str]:
        yield from (*self.summary(), *self.mistakes(), *self.by_run())

    def summary(self) -> Iterator[str]:
        """Lines for people: the classes, and the metrics of all clips."""
        rows = [(row["label"], str(row["clips"]), percent(row["accuracy"]), row["mistaken_for"]) for row in self.per_class]
        yield from (self.sentence, "")
        yield from table(("class", "clips", "correct", "most mistaken for"), rows)
        metrics, top1 = self.metrics, f"top-1 {percent(self.metrics['top1'])}"
        yield ""
        top5 = f"   top-5 {percent(metrics['top5'])}" * (len(self.labels) > 5)  # of five, one is always among the first five
        yield f"{top1}{top5}   mean class {percent(metrics['mean_class'])}   ({metrics['num_clips']} clips)"
        trust = f"calibration error {rounded(metrics['ece'])}   log loss {rounded(metrics['nll'])}"
        yield f"macro F1 {percent(metrics['macro_f1'])}   {trust}"
        if interval := metrics["top1_interval"]:
            yield f"95 % interval of top-1 (Wilson, a group counted once): {percent(interval[0])} to {percent(interval[1])}"
        if self.failed and metrics["top1_readable"] is not None:
            yield f"top-1 of the clips that could be read: {percent(metrics['top1_readable'])}"
        yield TERMS
        for reason in self.failed.values():
            yield f"counted as wrong: {reason}"

    @property
    def sentence(self) -> str:
        """How many clips are right, in plain words, and how far that can be luck."""
        right, count = int(topk_correct(self.scores, self.targets, 1).sum()), len(self.clips)
        clips = f"{count} answers" if self.runs else f"{count} clip{'s' * (count != 1)}"
        interval = self.metrics["top1_interval"]
        if interval is None:
            return f"{right} of {clips} right; all are of one group, so nobody knows of others."
        low, high = (round(100 * each) for each in interval)
        few = "with so few, " if high - low > FAR_APART else ""
        return f"{right} of {clips} right; {few}{low} to {high} % of new ones would be."

    def mistakes(self) -> Iterator[str]:
        """Lines for people: the most confused pairs of classes and the worst clips, a few of each."""
        if pairs := self.confusion_pairs[:FEW]:
            yield from ("", "most confused:")
        for pair in pairs:
            yield f"  {pair['label']} taken for {pair['answer']}: {pair['clips']} of {pair['of']} clips"
        if worst := [clip for clip in self.worst_clips if clip["answer"] != clip["label"]][:FEW]:
            yield from ("", "most certain mistakes:")
        for clip in worst:
            scores = f"{clip['label']} {percent(clip['label_score'])}, {clip['answer']} {percent(clip['answer_score'])}"
            yield f"  {clip['path']}: {scores}"

    def by_run(self) -> Iterator[str]:
        """Lines for people: one per run, then mean and spread of the columns."""
        if not self.runs:
            return
        shown = {
            "top1": "top-1",
            "mean_class": "mean class",
            "macro_f1": "macro F1",
            "ece": "calibration error",
            "nll": "log loss",
        }
        columns = {name: title for name, title in shown.items() if name in self.spread}
        measured = {run: each.metrics for run, each in self.runs.items()}
        rows = [[run, str(of["num_clips"]), *(rounded(of[name]) for name in columns)] for run, of in measured.items()]
        rows += [[what, "", *(rounded(self.spread[name][what]) for name in columns)] for what in ("mean", "std", "min", "max")]
        yield from ("", *table(("run", "clips", *columns.values()), rows, left=(0,)))


def known(value: float) -> float | None:
    return None if math.isnan(value) else value


def pooled(runs: Mapping[str, Evaluation]) -> Evaluation:
    """Evaluations of several runs as one over all their clips. Raises DataError for runs of different label sets."""
    (first_run, first), *others = runs.items()
    for run, other in others:
        if odd := sorted(set(other.labels) ^ set(first.labels)):
            raise DataError(
                f"{first_run} and {run} do not have the same labels ({len(first.labels)} and {len(other.labels)}; only one has "
                f"{odd[0]!r}), so their results cannot be put together"
            )
    return Evaluation(
        labels=first.labels,
        clips=[clip for each in runs.values() for clip in each.clips],
        scores=np.concatenate([each.scores[:, [each.labels.index(label) for label in first.labels]] for each in runs.values()]),
        failed={path: reason for each in runs.values() for path, reason in each.failed.items()},
        runs=dict(runs),
    )


def evaluate_clips(recognizer: Recognizer, clips: Sequence[Clip]) -> Evaluation:
    """Run a recogniser over labelled clips. Raises DataError for no clips, or a label that the model does not know."""
    if not clips:
        raise DataError("no clips to evaluate")
    unknown = sorted({str(clip.label) for clip in clips} - set(recognizer.labels))
    if unknown:
        known = ", ".join(recognizer.labels[:8]) + (" ..." if len(recognizer.labels) > 8 else "")
        raise DataError(
            f"the data has {len(unknown)} labels that the model does not know, first {unknown[0]!r} (it knows {known})"
        )
    extraction = recognizer.extractor.extract(clip.path for clip in clips)
    scores, errors = recognizer.scores(extraction, clips)
    failed = {extraction.name(clips[index]): reason for index, reason in errors.items()}
    return Evaluation(labels=recognizer.labels, clips=list(clips), scores=scores, failed=failed)


def evaluate(
    model: options.ModelPath,
    *more: options.MoreRuns,
    split: options.OfficialSplit | None = None,
    group_pattern: options.GroupPattern | None = None,
    device: options.Device = options.USUAL.device,
    cache: options.CacheFolder | None = None,
) -> Evaluation:
    """Evaluate a model, or several runs together (or the folder that holds those of train --seeds), on labelled clips.

    Raises DataError for runs of different labels, and for clips whose label is none of theirs.

    Each argument is explained in `gerund.core.options`, and by `gerund evaluate --help`.
    """
    named = {each: runs_in(each) for each in (model, *more)}
    runs = list(dict.fromkeys([*(named[model] or [str(model)]), *(run for each in more for run in named[each])]))
    data = [each for each in more if not named[each]]
    if len(data) > 1:
        raise UsageError(f"{' and '.join(str(each) for each in data)} are no runs, and one data set is evaluated at a time")
    given = load_dataset(data[0], split=split, group_pattern=group_pattern, allow_leak=True) if data else None
    evaluations = {}
    for run in runs:
        recognizer = Recognizer.load(run, device=device, cache=cache)
        clips = given or recorded_clips(run)
        evaluations[run] = evaluate_clips(recognizer, of_split(clips, "test") or clips)
    return pooled(evaluations) if len(runs) > 1 else evaluations[runs[0]]


def runs_in(place: str | Path) -> list[str]:
    """The run or model that a place is, or all runs in a folder of them, in order of their names."""
    if is_model(place):
        return [str(place)]
    folder = Path(place)
    inside = sorted(folder.iterdir(), key=in_numbers) if folder.is_dir() else []
    return [str(each) for each in inside if each.is_dir() and is_model(each)]


def in_numbers(path: Path) -> list[tuple[bool, int, str]]:
    """A key that sorts seed2 before seed10."""
    parts = re.split(r"(\d+)", path.name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def is_model(path: str | Path) -> bool:
    try:
        return bool(find_model(path))
    except ModelError:
        return False


def recorded_manifest(model: str | Path) -> Path | None:
    """The clips.csv that training left in the run folder that a model is, or lies in."""
    files = (folder / "clips.csv" for folder in (Path(model), Path(model).parent))
    return next((file for file in files if file.is_file()), None)


def recorded_clips(model: str | Path) -> list[Clip]:
    """The clips of the run that a model is from. Raises DataError when it lies there without them."""
    if manifest := recorded_manifest(model):
        return read_manifest(manifest)
    raise DataError(f"{model}: no clips.csv beside this model, so say what to evaluate on: gerund evaluate {model} DATA")
