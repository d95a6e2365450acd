"""How much a leaking split flatters: one quick head, tested on random clips, and on clips of groups it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gerund.core.errors import DataError
from gerund.core.types import Clip
from gerund.data.manifest import group_of, labels_of
from gerund.data.split import dealt_folds
from gerund.features.extractor import Extractor
from gerund.features.tokens import Sampling, tokens
from gerund.heads.ridge import ridge
from gerund.heads.statistics import row_moments

LEAK_FOLDS = 20
"""Many, so that a random fold seldom takes all siblings of a clip out of training with it."""
STRENGTH = 0.1
"""Of the penalty, as of the default head."""
SAMPLING = Sampling(num_frames=1, take="mean", motion=False)


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """Accuracy (0..1) of a linear head on mean features, cross-validated both ways over all clips."""

    random_split: float
    group_safe: float
    num_clips: int
    num_groups: int

    @property
    def sentence(self) -> str:
        return f"random split {self.random_split:.2f}, group-safe {self.group_safe:.2f}"


def leakage_of(clips: Sequence[Clip], extractor: Extractor, *, seed: int = 0) -> Leakage:
    """Cross-validate with folds of random clips, then with folds of whole groups. Clips without features are left out.

    Raises DataError when there are fewer than two classes, or no class with two groups.
    """
    clips = [clip for clip in clips if clip.label is not None]
    labels = labels_of(clips)
    groups = {label: {group_of(clip) for clip in clips if clip.label == label} for label in labels}
    if len(labels) < 2 or max(len(each) for each in groups.values()) < 2:
        raise DataError("--measure-leak needs at least two classes, and two groups in one of them")
    extraction = extractor.extract(clip.path for clip in clips)
    clips = extraction.usable(clips)
    parts = [tokens(extraction.features[clip.path], clip, SAMPLING) for clip in clips]
    data = np.concatenate([data for data, _ in parts])
    targets = np.array([labels.index(clip.label or "") for clip in clips])
    accuracies = {}
    for name, keys in (
        ("random_split", [str(number) for number in range(len(clips))]),
        ("group_safe", list(map(group_of, clips))),
    ):
        folds = dealt_folds(clips, keys, LEAK_FOLDS, f"leak {seed}")
        accuracies[name] = float((held_out_scores(data, targets, folds).argmax(1) == targets).mean())
    return Leakage(num_clips=len(clips), num_groups=len({group_of(clip) for clip in clips}), **accuracies)


def held_out_scores(data: np.ndarray, targets: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Scores (N, K) of ridge regression on rows (N, D), of each fold as if it had been left out."""
    mean, std = row_moments(data)
    return ridge((data - mean) / std, np.eye(targets.max() + 1)[targets], folds, STRENGTH)[2]
