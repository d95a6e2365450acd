"""What is least like anything that is labelled: where the model cannot know that it knows nothing."""

from __future__ import annotations

import numpy as np

from gerund.labelling.learner import Learner, rows_per_second
from gerund.labelling.lessons import LiveReadout
from gerund.labelling.windows import snapped

MOST_SPANS = 400
"""Spans that are compared with the examples; of more, as many spread evenly."""
FLOOR = 0.05
"""Of a dimension's deviation, as a share of the mean one."""


def spread_evenly(count: int) -> np.ndarray:
    """Places (n,) of at most MOST_SPANS among `count`."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_SPANS)).round().astype(int)) if count else np.zeros(0, int)


def middle_statistics(learner: Learner, readout: LiveReadout, video: str, seconds: float) -> np.ndarray:
    """The statistics (S,) of the window around a time; of a clip those of the whole."""
    if learner.of_clips:
        return learner.whole[video]
    features = learner.library.features[video]
    length = snapped(readout.lesson.length * rows_per_second(features))
    windows = learner.windows_of(video, features, length)
    first = int(np.searchsorted(features.pts, seconds)) - length // 2
    place = int(np.abs(windows.starts - first).argmin())
    return windows.values(np.array([place]))[0]


def strangeness(readout: LiveReadout, found: np.ndarray) -> np.ndarray:
    """How unlike the nearest example statistics (n, S) are (n,): 1 less the cosine, every dimension scaled by how much examples differ in it."""
    examples = readout.lesson.statistics
    mean, deviation = examples.mean(0), examples.std(0)
    scale = np.maximum(deviation, FLOOR * deviation.mean() + 1e-6)

    def unit(rows: np.ndarray) -> np.ndarray:
        z = (rows - mean) / scale
        return z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-9)

    return 1 - (unit(found) @ unit(examples).T).max(1)
