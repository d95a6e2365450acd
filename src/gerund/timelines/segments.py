"""From labels at each step to segments, no run shorter than a given time; and whom segments show."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from gerund.core.types import Segment, Timeline

NOTHING = -1
"""State of a step at which no action is seen."""


def borders(states: np.ndarray) -> np.ndarray:
    """Where runs of equal states begin, and the number of steps at the end: (runs + 1,)."""
    return np.concatenate([[0], np.flatnonzero(np.diff(states)) + 1, [len(states)]])


def runs_of(states: np.ndarray) -> list[tuple[int, int]]:
    """First and end index of every run of equal states, in order; the runs cover all steps."""
    return list(pairwise(borders(states).tolist())) if len(states) else []


def without_short_runs(states: np.ndarray, scores: np.ndarray, edges: np.ndarray, min_duration: float, low: float) -> np.ndarray:
    """States (N,) in which every run, of nothing too, lasts at least `min_duration` seconds; `edges` (N + 1,) are the steps' borders.

    The shortest run goes first. Between two runs of one action it becomes that action (merging); otherwise its steps are divided
    between the neighbours where their probabilities add up to most; nothing counts as `low`.
    """
    states = states.copy()
    while True:
        found = borders(states)
        lengths = np.diff(edges[found])
        if len(lengths) < 2 or lengths.min() >= min_duration - 1e-9:
            return states
        place = int(lengths.argmin())
        first, end = found[place : place + 2]
        before = states[first - 1] if first > 0 else states[end]
        after = states[end] if end < len(states) else before
        cut = best_cut(evidence(scores[first:end], before, low), evidence(scores[first:end], after, low))
        states[first : first + cut], states[first + cut : end] = before, after


def evidence(scores: np.ndarray, state: int, low: float) -> np.ndarray:
    return np.full(len(scores), low) if state == NOTHING else scores[:, state]


def best_cut(before: np.ndarray, after: np.ndarray) -> int:
    """How many steps to give to the one before, so that the sum of both is highest."""
    gains = np.concatenate([[0.0], np.cumsum(before.astype(np.float64) - after)])
    return int(gains.argmax())


def segments_of_states(states: np.ndarray, scores: np.ndarray, edges: np.ndarray, labels: Sequence[str]) -> list[Segment]:
    """Segments of states (N,) in order of time: steps have borders `edges` (N + 1,) seconds; the score is the mean of scores (N, K)."""
    return [
        Segment(
            start=float(edges[first]),
            end=float(edges[end]),
            label=labels[states[first]],
            score=float(scores[first:end, states[first]].mean()),
        )
        for first, end in runs_of(states)
        if states[first] != NOTHING
    ]


def subject_of(segment: Segment) -> str | None:
    """Whom a segment shows; only those that people labelled say so."""
    return getattr(segment, "subject", None)


def subjects_of(timeline: Timeline) -> list[str | None]:
    """Everybody who is named, and None where a segment names nobody."""
    return sorted({subject_of(each) for each in timeline.segments}, key=lambda name: (name is None, name))
