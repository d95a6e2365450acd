"""Kappa as scikit-learn has it, pairs of bouts and spans that differ by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gerund.timelines.agreement import (
    NO_LABEL,
    codes_at,
    confusion_of,
    differing_runs,
    kappa,
    label_pairs,
    pairs_overlapping,
    pairs_within,
)
from gerund.timelines.observations import Bout


def bouts_of(text: str) -> list[Bout]:
    spans = [(each[0], *each[1:].split("-")) for each in text.split()]
    return [Bout(label=label, start=float(start), end=float(end), score=1.0) for label, start, end in spans]


def test_kappa_of_cohens_own_example() -> None:
    """Cohen 1960, table 1: proportions of agreement 0.7, by chance 0.41."""
    assert kappa(np.array([[88, 14, 18], [10, 40, 10], [2, 6, 12]])) == pytest.approx((0.70 - 0.41) / (1 - 0.41))
    assert kappa(np.array([[5, 0], [0, 0]])) is None
    assert kappa(np.zeros((2, 2))) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_kappa_equals_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    from sklearn import metrics

    first, second = np.array(pairs).T
    table = confusion_of(first, second, 4)
    np.testing.assert_array_equal(table, metrics.confusion_matrix(first, second, labels=range(4)))
    if len({*first, *second}) > 1:
        assert kappa(table) == pytest.approx(metrics.cohen_kappa_score(first, second), abs=1e-12)
    else:
        assert kappa(table) is None


def test_codes_are_those_of_the_steps() -> None:
    times = np.arange(5) + 0.5
    assert codes_at(bouts_of("a0-2 b3-4.6"), times, ["a", "b"]).tolist() == [0, 0, 2, 1, 1]
    assert codes_at(bouts_of("a0-4 b2-3"), times, ["a", "b"]).tolist() == [0, 0, 1, 0, 2], "the one that began last"


def test_bouts_within_a_tolerance_are_paired_one_to_one_those_of_one_label_first() -> None:
    first, second = bouts_of("a0-1 b5-6 a9-10 p20-20"), bouts_of("a0.5-1 c4.8-6 b5.9-7 p20.4-20.4 p30-30")
    assert label_pairs(pairs_within(first, second, 1.0)) == {
        ("a", "a"): 1,
        ("b", "b"): 1,
        ("a", NO_LABEL): 1,
        ("p", "p"): 1,
        (NO_LABEL, "c"): 1,
        (NO_LABEL, "p"): 1,
    }
    assert label_pairs(pairs_within(first, second, 0.3))[("b", "c")] == 1
    assert label_pairs(pairs_within([], second[:1], 1.0)) == {(NO_LABEL, "a"): 1}


def test_bouts_that_overlap_most_are_partners() -> None:
    first, second = bouts_of("a0-4 a5-9 b10-11"), bouts_of("a3-9 a0-3 b12-13")
    found = [(one and one.start, other and other.start) for one, other in pairs_overlapping(first, second)]
    assert found == [(0, 0), (5, 3), (10, None), (None, 12)]


def test_runs_of_steps_that_differ_are_spans() -> None:
    first, second = np.array([0, 0, 1, 1, 1, 2, 2, 0]), np.array([0, 0, 0, 2, 2, 2, 1, 0])
    assert list(differing_runs(first, second, 0.5, 0.0)) == [(1.0, 1.5, 1, 0), (1.5, 2.5, 1, 2), (3.0, 3.5, 2, 1)]
    assert list(differing_runs(first, second, 0.5, 1.0)) == [(1.5, 2.5, 1, 2)]
    assert list(differing_runs(first[:0], first[:0], 0.5, 0.0)) == []
