"""Segments that hold for any scores: in order, apart, long enough, and seen somewhere as clearly as was asked."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gerund.timelines.segments import LOW_SHARE, NOTHING, find_segments, runs_of, step_states

LABELS = ("kicking", "waving", "background")


@st.composite
def scored(draw: st.DrawFn) -> np.ndarray:
    """Probabilities (N, 3) of up to 60 steps, which stay for a while as those of a model do."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=12))
    rows = np.repeat(rng.dirichlet((0.4, 0.4, 0.4), len(lengths)), lengths, axis=0)
    return (0.9 * rows + 0.1 * rng.dirichlet((1, 1, 1), len(rows))).astype(np.float32)


THRESHOLDS = st.floats(0.2, 0.95)


@given(st.lists(st.integers(-1, 2), max_size=50))
def test_runs_cover_all_steps_and_neighbours_differ(states: list[int]) -> None:
    found = runs_of(np.array(states, dtype=np.int64))
    assert [state for first, end in found for state in states[first:end]] == states
    assert all(len(set(states[first:end])) == 1 for first, end in found)
    assert all(states[end - 1] != states[end] for _, end in found[:-1])


@given(scored(), THRESHOLDS)
def test_a_run_counts_when_it_reaches_the_threshold_and_goes_on_above_a_share_of_it(scores: np.ndarray, threshold: float) -> None:
    states = step_states(scores, threshold, nothing=(2,))
    assert set(states) <= {NOTHING, 0, 1}
    for first, end in runs_of(states):
        if states[first] != NOTHING:
            part = scores[first:end, states[first]]
            assert part.max() >= np.float32(threshold)
            assert part.min() >= np.float32(LOW_SHARE * threshold)
    clear = (scores.max(axis=1) >= threshold + 1e-6) & (scores.argmax(axis=1) != 2)
    assert (states[clear] == scores.argmax(axis=1)[clear]).all()


@given(scored(), THRESHOLDS, st.floats(0, 3), st.sampled_from((0.1, 0.25, 0.5)))
def test_segments_are_in_order_apart_and_long_enough(scores: np.ndarray, threshold: float, least: float, step: float) -> None:
    edges = np.arange(len(scores) + 1) * step
    found = find_segments(scores, edges, LABELS, threshold=threshold, min_duration=least, nothing=(2,))
    assert all(segment.label in LABELS[:2] and 0 <= segment.score <= 1 for segment in found)
    assert all(one.end <= other.start for one, other in pairwise(found))
    assert all(one.end < other.start or one.label != other.label for one, other in pairwise(found))
    shortest = min(least, edges[-1])
    assert all(segment.end - segment.start >= shortest - 1e-6 for segment in found)
    assert all(0 <= segment.start < segment.end <= edges[-1] for segment in found)
