"""Segments that hold for any scores: in order, apart and long enough."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gerund.timelines.segments import NOTHING, runs_of, segments_of_states, without_short_runs

LABELS = ("kicking", "waving", "background")


@st.composite
def scored(draw: st.DrawFn) -> np.ndarray:
    """Probabilities (N, 3) of up to 60 steps, which stay for a while as those of a model do."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=12))
    rows = np.repeat(rng.dirichlet((0.4, 0.4, 0.4), len(lengths)), lengths, axis=0)
    return (0.9 * rows + 0.1 * rng.dirichlet((1, 1, 1), len(rows))).astype(np.float32)


@given(st.lists(st.integers(-1, 2), max_size=50))
def test_runs_cover_all_steps_and_neighbours_differ(states: list[int]) -> None:
    found = runs_of(np.array(states, dtype=np.int64))
    assert [state for first, end in found for state in states[first:end]] == states
    assert all(len(set(states[first:end])) == 1 for first, end in found)
    assert all(states[end - 1] != states[end] for _, end in found[:-1])


def states_of(scores: np.ndarray) -> np.ndarray:
    """The likeliest label of each step, nothing where that is the third."""
    return np.where(scores.argmax(axis=1) == 2, NOTHING, scores.argmax(axis=1))


@given(scored(), st.floats(0, 3), st.sampled_from((0.1, 0.25, 0.5)))
def test_segments_are_in_order_apart_and_long_enough(scores: np.ndarray, least: float, step: float) -> None:
    edges = np.arange(len(scores) + 1) * step
    states = without_short_runs(states_of(scores), scores, edges, least, 0.3)
    found = segments_of_states(states, scores, edges, LABELS)
    assert all(segment.label in LABELS[:2] and 0 <= segment.score <= 1 for segment in found)
    assert all(one.end <= other.start for one, other in pairwise(found))
    assert all(one.end < other.start or one.label != other.label for one, other in pairwise(found))
    shortest = min(least, edges[-1])
    assert all(segment.end - segment.start >= shortest - 1e-6 for segment in found)
    gaps = [after.start - before.end for before, after in pairwise(found)]
    assert all(gap == 0 or gap >= shortest - 1e-6 for gap in gaps)
    assert all(0 <= segment.start < segment.end <= edges[-1] for segment in found)
