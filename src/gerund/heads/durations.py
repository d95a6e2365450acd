"""How long labels last, as a prior for segments of a timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

LONGEST_ROWS = 2048
"""Rows up to which each length has a probability of its own; beyond, a prior falls by the same factor with each row."""
LEAST_SPREAD = 0.25
"""Standard deviation of ln(seconds), at least: clips of a data set are often cut to one length, and what people do is not."""
BROAD = 0.02
"""Share of the prior that says nothing of the length."""
POOLED_AS = 5.0
"""Segments of a label that count as much as what all labels say together."""
UNSEEN = 0.5
"""Added to each count of what comes after what: that something was not seen in few videos does not mean that it never comes."""
UNKNOWN_SPREAD = 0.5
"""Where nobody knows how lengths vary."""


@dataclass(frozen=True)
class Durations:
    """Log-normal lengths: `mean` and `spread` (K,), of ln(seconds) of each label's segments.

    `follow` (K, K), where it was counted, is ln of how many times likelier than any other the label of a column comes after that of a row.
    """

    mean: tuple[float, ...]
    spread: tuple[float, ...]
    follow: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def around(cls, seconds: float, num_labels: int) -> Durations:
        """What is to be expected of a model that only knows the median length of its clips."""
        return cls((float(np.log(seconds)),) * num_labels, (UNKNOWN_SPREAD,) * num_labels)

    @classmethod
    def measured(cls, seconds: Sequence[float], targets: np.ndarray, num_labels: int, *, by_label: bool = False) -> Durations:
        """Of the lengths of segments (N,), N > 0, with labels (N,): the same for all labels, or `by_label`, shrunk towards that.

        Clips cut out of videos say how long an action is shown, not that one label lasts longer than another; annotated videos do.
        """
        logs = np.log(np.maximum(seconds, 1e-3))
        mean, variance = float(logs.mean()), max(float(logs.var()), LEAST_SPREAD**2)
        if not by_label:
            return cls((mean,) * num_labels, (variance**0.5,) * num_labels)
        counts = np.bincount(targets, minlength=num_labels)
        means = (np.bincount(targets, logs, num_labels) + POOLED_AS * mean) / (counts + POOLED_AS)
        squares = np.bincount(targets, np.square(logs - means[targets]), num_labels)
        spreads = np.sqrt(np.maximum((squares + POOLED_AS * variance) / (counts + POOLED_AS), LEAST_SPREAD**2))
        return cls(tuple(means.tolist()), tuple(spreads.tolist()))

    def following(self, sequences: Sequence[Sequence[int]]) -> Durations:
        """The same, with what comes after what in the label sequences of videos; a label that follows itself is one segment."""
        count = len(self.mean)
        counts = np.full((count, count), UNSEEN)
        for sequence in sequences:
            for before, after in pairwise(sequence):
                counts[before, after] += before != after
        np.fill_diagonal(counts, 0)
        ratios = np.log(np.maximum(counts / counts.sum(axis=1, keepdims=True) * (count - 1), 1e-9))
        np.fill_diagonal(ratios, 0)
        return replace(self, follow=tuple(map(tuple, ratios.round(4).tolist())))

    def log_prior(self, step: float) -> np.ndarray:
        """ln of the probability (K, L) of lasting 1 .. L rows of `step` seconds, L at most LONGEST_ROWS: three deviations above the mean."""
        mean, spread = (np.array(each)[:, None] for each in (self.mean, self.spread))
        rows = np.ceil(np.exp(mean + 3 * spread).max() / step)
        length = np.arange(1, int(np.clip(rows, 2, LONGEST_ROWS)) + 1)
        density = np.exp(-np.square((np.log(length * step) - mean) / spread) / 2) / length
        total = np.maximum(density.sum(1, keepdims=True), np.finfo(float).tiny)
        return np.log((1 - BROAD) * density / total + BROAD / len(length))
