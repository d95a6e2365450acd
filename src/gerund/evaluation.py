"""How good a recogniser is on labelled clips. Every clip counts; one that cannot be decoded counts as wrong and is listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gerund.datasets import load_dataset
from gerund.errors import DataError
from gerund.manifest import of_split, read_manifest
from gerund.metrics import class_accuracies, confusion_matrix, topk_accuracy
from gerund.recognizer import Recognizer
from gerund.types import Clip


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Answers beside the truth: `scores` (N, K), NaN rows for clips in `failed` (path -> reason)."""

    labels: list[str]
    clips: list[Clip]
    scores: np.ndarray
    failed: dict[str, str]

    @property
    def targets(self) -> np.ndarray:
        """Class index of each clip (N,)."""
        index = {label: number for number, label in enumerate(self.labels)}
        return np.array([index[clip.label] for clip in self.clips if clip.label is not None], np.int64)

    @property
    def confusion(self) -> np.ndarray:
        """Counts (K, K + 1): rows true, columns predicted, the last column without an answer."""
        return confusion_matrix(self.scores, self.targets, len(self.labels))

    @property
    def metrics(self) -> dict[str, Any]:
        """What metrics.json holds for one split."""
        return {
            "top1": topk_accuracy(self.scores, self.targets, 1),
            "top5": topk_accuracy(self.scores, self.targets, 5),
            "mean_class": float(np.nanmean(class_accuracies(self.confusion))),
            "num_clips": len(self.clips),
            "failed": sorted(self.failed),
        }

    @property
    def per_class(self) -> list[dict[str, Any]]:
        """One row per class that has clips: label, number of clips, accuracy, and the label it is most often taken for."""
        rows = []
        for index, (label, counts, accuracy) in enumerate(
            zip(self.labels, self.confusion, class_accuracies(self.confusion), strict=True)
        ):
            if counts.sum():
                others = np.where(np.arange(len(counts)) == index, 0, counts)
                mistaken = (*self.labels, "(no answer)")[int(others.argmax())] if others.any() else ""
                rows.append({"label": label, "clips": int(counts.sum()), "accuracy": float(accuracy), "mistaken_for": mistaken})
        return rows


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
    failed = {str(clips[index].path): reason for index, reason in errors.items()}
    return Evaluation(labels=recognizer.labels, clips=list(clips), scores=scores, failed=failed)


def evaluate(
    model: str | Path,
    data: str | Path | None = None,
    *,
    split: int | None = None,
    group_pattern: str | None = None,
    device: str = "auto",
    cache: Path | None = None,
) -> Evaluation:
    """Evaluate a model on labelled clips.

    Parameters
    ----------
    model
        A run folder, or a model folder.
    data
        A folder, a CSV or name:path; of data with splits, the test part. Without it: the test clips recorded in the run.
    split
        Number of the official split.
    group_pattern
        Regular expression for the group in a file's name.
    device
        cpu, cuda, mps or auto.
    cache
        Folder for features.
    """
    recognizer = Recognizer.load(model, device=device, cache=cache)
    if data is None:
        manifest = recorded_clips(model)
        if manifest is None:
            raise DataError(f"{model}: no clips.csv beside this model, so say what to evaluate on: gerund evaluate {model} DATA")
        clips = read_manifest(manifest)
    else:
        clips = load_dataset(data, split=split, group_pattern=group_pattern, allow_leak=True)
    return evaluate_clips(recognizer, of_split(clips, "test") or clips)


def recorded_clips(model: str | Path) -> Path | None:
    """The clips.csv that training left in the run folder that a model is, or lies in."""
    files = (folder / "clips.csv" for folder in (Path(model), Path(model).parent))
    return next((file for file in files if file.is_file()), None)
