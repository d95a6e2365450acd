"""What ethologists count of bouts: how many, how long, when first, how often, after what. Numpy only.

Definitions as in Martin and Bateson, Measuring Behaviour (4th ed. 2021), ch. 6 to 8: frequency, duration, latency, bout, transition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gerund.recognition.metrics import bootstrap_interval
from gerund.timelines.observations import Bout

MEASURES = ("count", "total", "share", "mean", "median", "sd", "longest", "latency", "per_hour", "between")


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Numbers of one label in a span of one video; seconds, but for `count`, `share` (0..1) and `per_hour`. None where there is none.

    `total` and `share` are of the time of the span that the label has. All others are of the bouts that begin in the span, at their
    whole length: `sd` is that of a sample (n - 1); `latency` counts from the begin of the span to the first; `between` is the mean
    time from the end of one bout to the start of the next. Point events have a count, a latency, a rate and a time between them.
    """

    count: int
    total: float | None
    share: float | None
    mean: float | None
    median: float | None
    sd: float | None
    longest: float | None
    latency: float | None
    per_hour: float | None
    between: float | None


def measures(bouts: Sequence[Bout], begin: float, end: float, *, last: bool = True, point: bool = False) -> Measures:
    """Of the bouts of one label, in order of time, within `begin` to `end` seconds; a bout at the end counts in the `last` span only."""
    own = [bout for bout in bouts if begin <= bout.start < end or (last and bout.start == end)]
    lengths = np.array([bout.seconds for bout in own])
    gaps = [after.start - bout.end for bout, after in pairwise(own)]
    inside = sum(max(0.0, min(bout.end, end) - max(bout.start, begin)) for bout in bouts)
    timed, span = not point, end - begin
    return Measures(
        count=len(own),
        total=inside if timed else None,
        share=inside / span if timed and span > 0 else None,
        mean=float(lengths.mean()) if timed and own else None,
        median=float(np.median(lengths)) if timed and own else None,
        sd=float(lengths.std(ddof=1)) if timed and len(own) > 1 else None,
        longest=float(lengths.max()) if timed and own else None,
        latency=own[0].start - begin if own else None,
        per_hour=3600 * len(own) / span if span > 0 else None,
        between=float(np.mean(gaps)) if gaps else None,
    )


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A measure over the videos of a group: mean, sample SD, number of videos that have it, and a 95 % interval of the mean.

    The interval is a bootstrap over videos (percentiles of 2,000 draws); one video has neither SD nor interval.
    """

    mean: float | None
    sd: float | None
    n: int
    low: float | None
    high: float | None


def spread_of(values: Sequence[float | None]) -> Spread:
    known = np.array([value for value in values if value is not None], float)
    if not len(known):
        return Spread(mean=None, sd=None, n=0, low=None, high=None)
    if len(known) == 1:
        return Spread(mean=float(known[0]), sd=None, n=1, low=None, high=None)
    low, high = bootstrap_interval(known, [str(place) for place in range(len(known))], np.random.default_rng(0))
    return Spread(mean=float(known.mean()), sd=float(known.std(ddof=1)), n=len(known), low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class Transitions:
    """What comes after what: `counts` (K, K) of label to next label, and `follows` (K, K), the share of bouts of a label after whose
    end one of another begins within `within` seconds; rows are the first label. A row without bouts is 0."""

    labels: Sequence[str]
    counts: np.ndarray
    follows: np.ndarray
    within: float

    @property
    def probabilities(self) -> np.ndarray:
        """Shares (K, K) of the next labels: rows add up to 1, or to 0 where nothing ever follows."""
        totals = self.counts.sum(axis=1, keepdims=True)
        return np.divide(self.counts, totals, out=np.zeros(self.counts.shape), where=totals > 0)


def transitions(sequences: Sequence[Sequence[Bout]], labels: Sequence[str], within: float) -> Transitions:
    """Over sequences of bouts in order of time, each of one subject in one video; nothing leads from one sequence to another."""
    place: Mapping[str, int] = {label: number for number, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), int)
    hits, bouts = np.zeros((len(labels), len(labels))), np.zeros(len(labels))
    for sequence in sequences:
        starts = np.array([bout.start for bout in sequence])
        codes = np.array([place[bout.label] for bout in sequence], int)
        np.add.at(counts, (codes[:-1], codes[1:]), 1)
        np.add.at(bouts, codes, 1)
        for number, bout in enumerate(sequence):
            soon = (starts >= bout.end) & (starts <= bout.end + within)
            soon[number] = False
            hits[codes[number], np.unique(codes[soon])] += 1
    return Transitions(labels=labels, counts=counts, follows=hits / np.maximum(bouts, 1)[:, None], within=within)
