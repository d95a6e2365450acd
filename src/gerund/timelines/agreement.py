"""How far two records of the same video agree: kappa, confusion, offsets, and where they do not. Numpy only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from gerund.timelines.metrics import overlaps
from gerund.timelines.observations import Bout
from gerund.timelines.segments import runs_of

NO_LABEL = "(none)"
"""Time without a label, and a bout that the other side does not have."""

BoutPair = tuple[Bout | None, Bout | None]


def kappa(confusion: np.ndarray) -> float | None:
    """Cohen's kappa (1960, doi:10.1177/001316446002000104) of counts or seconds (K, K); None where chance alone agrees everywhere."""
    total = confusion.sum()
    if not total:
        return None
    expected = float(confusion.sum(axis=0) @ confusion.sum(axis=1)) / total**2
    return None if np.isclose(expected, 1.0) else (float(np.trace(confusion)) / total - expected) / (1 - expected)


def confusion_of(first: np.ndarray, second: np.ndarray, size: int) -> np.ndarray:
    """Counts (size, size): rows are the codes of the first, columns those of the second."""
    return np.bincount(first * size + second, minlength=size * size).reshape(size, size)


def codes_at(bouts: Sequence[Bout], times: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """The place (N,) of the label on at each time, len(labels) for none; of bouts that overlap, the one that began last."""
    codes = np.full(len(times), len(labels))
    for bout in bouts:
        first, end = np.searchsorted(times, (bout.start, bout.end))
        codes[first:end] = labels.index(bout.label)
    return codes


def pairs_within(first: Sequence[Bout], second: Sequence[Bout], tolerance: float) -> list[BoutPair]:
    """Bouts of both sides whose starts lie within `tolerance` seconds, one to one; what has no partner stands beside None.

    Partners of one label come first, then those of two; among them the nearest (tolerance as in Bakeman and Quera 2011, ch. 6).
    """
    starts = np.array([bout.start for bout in second])
    near = [
        (one.label != second[other].label, abs(one.start - second[other].start), place, other)
        for place, one in enumerate(first)
        for other in np.flatnonzero(np.abs(starts - one.start) <= tolerance + 1e-9).tolist()
    ]
    return matched(first, second, [(place, other) for *_, place, other in sorted(near)])


def pairs_overlapping(first: Sequence[Bout], second: Sequence[Bout]) -> list[BoutPair]:
    """Bouts of one label that overlap, one to one, those of largest overlap (intersection over union) first."""
    shares = [(place, overlaps(one, second)) for place, one in enumerate(first)]
    ranked = sorted((-share[other], place, other) for place, share in shares for other in np.flatnonzero(share).tolist())
    return matched(first, second, [(place, other) for _, place, other in ranked])


def matched(first: Sequence[Bout], second: Sequence[Bout], ranked: Sequence[tuple[int, int]]) -> list[BoutPair]:
    """The pairs in their rank, each bout once, then those without a partner."""
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for place, other in ranked:
        if place not in partner and other not in taken:
            partner[place] = other
            taken.add(other)
    alone = [(None, bout) for other, bout in enumerate(second) if other not in taken]
    return [*((one, second[partner[place]] if place in partner else None) for place, one in enumerate(first)), *alone]


def label_pairs(pairs: Sequence[BoutPair]) -> Counter[tuple[str, str]]:
    """How often a label of the first side stands beside one of the second."""
    return Counter(
        (one.label if one is not None else NO_LABEL, other.label if other is not None else NO_LABEL) for one, other in pairs
    )


def differing_runs(
    first: np.ndarray, second: np.ndarray, step: float, shortest: float
) -> Iterator[tuple[float, float, int, int]]:
    """Start and end in seconds of runs of steps whose codes differ, and the two codes; runs shorter than `shortest` seconds are left out."""
    both = first * (max(first.max(initial=0), second.max(initial=0)) + 1) + second
    for begin, end in runs_of(both):
        if first[begin] != second[begin] and (end - begin) * step >= shortest - 1e-9:
            yield begin * step, end * step, int(first[begin]), int(second[begin])
