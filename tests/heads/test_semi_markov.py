"""Segments by their durations: the likeliest segmentation of all, whatever is tried beside it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gerund.core.types import Features
from gerund.heads.durations import Durations
from gerund.heads.semi_markov import (
    FREE_PRICE,
    HIGHEST_BORDER,
    Following,
    SegmentPrior,
    border_scores,
    likeliest_states,
    row_evidence,
)
from gerund.timelines.segments import runs_of

STEP = 0.125
MEDIAN = 40
"""Rows of the median training clip: 5 seconds."""


def likeliest(evidence: np.ndarray, log_prior: np.ndarray, free: np.ndarray, border: np.ndarray, follow: np.ndarray) -> list[int]:
    """By trying every labelling there is."""
    count, labels = evidence.shape
    longest = log_prior.shape[1]

    def value(states: tuple[int, ...]) -> float:
        total = 0.0
        for first, end in runs_of(np.array(states)):
            label, length = states[first], end - first
            total += border[first] + evidence[first:end, label].sum() + (follow[states[first - 1], label] if first else 0)
            if free[label]:
                total += FREE_PRICE
            else:
                total += log_prior[label, min(length, longest) - 1] + max(0, length - longest) * np.log1p(-1 / (longest + 1))
        return total

    return list(max(itertools.product(range(labels), repeat=count), key=value))


@given(st.integers(0, 2**32 - 1))
def test_it_is_the_likeliest_of_all_labellings(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, labels, longest = rng.integers(1, 7), rng.integers(2, 4), rng.integers(1, 4)
    evidence, border = rng.normal(0, 1, (count, labels)), rng.normal(0, 0.5, count)
    log_prior, free = np.log(rng.dirichlet(np.ones(longest), labels)), rng.random(labels) < 0.3
    follow = np.log(rng.dirichlet(np.ones(labels), labels))
    found = likeliest_states(evidence, log_prior, free, border, follow)
    assert found.tolist() == likeliest(evidence, log_prior, free, border, follow)
    plain = likeliest_states(evidence, log_prior, free)
    assert plain.tolist() == likeliest(evidence, log_prior, free, np.zeros(count), np.zeros((labels, labels)))


@given(st.integers(0, 2**32 - 1))
def test_without_looking_ahead_it_is_the_likeliest_story_so_far_whose_last_segment_may_go_on(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, labels, longest = int(rng.integers(1, 7)), int(rng.integers(2, 4)), int(rng.integers(1, 4))
    evidence, free = rng.normal(0, 1, (count, labels)), rng.random(labels) < 0.3
    log_prior, follow = np.log(rng.dirichlet(np.ones(longest), labels)), np.log(rng.dirichlet(np.ones(labels), labels))
    falling = longest / (longest + 1)

    def at_least(label: int, length: int) -> float:
        """ln of the probability of lasting so long or longer; some thousand rows of a tail are all of it."""
        if free[label]:
            return FREE_PRICE
        chances = np.append(np.exp(log_prior[label]), np.exp(log_prior[label, -1]) * falling ** np.arange(1, 2000))
        return float(np.log(chances[length - 1 :].sum()))

    def value(states: tuple[int, ...]) -> float:
        total = 0.0
        for first, end in runs_of(np.array(states)):
            label, length = states[first], end - first
            total += evidence[first:end, label].sum() + (follow[states[first - 1], label] if first else 0)
            if end == len(states):
                total += at_least(label, length)
            elif free[label]:
                total += FREE_PRICE
            else:
                total += log_prior[label, min(length, longest) - 1] + max(0, length - longest) * np.log(falling)
        return total

    story = Following(SegmentPrior(log_prior, free, follow))
    for row in range(count):
        best = max(itertools.product(range(labels), repeat=row + 1), key=value)
        began = max([0, *(place for place in range(1, row + 1) if best[place] != best[place - 1])])
        assert story.add(evidence[row]) == (best[-1], began)


def probabilities(states: np.ndarray, labels: int, rng: np.random.Generator) -> np.ndarray:
    """Rows (N, K) that mostly speak for the label that is there, and now and then for another."""
    said = np.where(rng.random(len(states)) < 0.1, rng.integers(labels, size=len(states)), states)
    return np.eye(labels)[said] * 0.8 + 0.2 / labels


@pytest.mark.parametrize("kind", ["a label", "background"])
def test_what_lasts_a_hundred_times_the_median_clip_is_one_segment(kind: str) -> None:
    """Films made of clips do not show it: a prior with an upper end cuts what lasts, and no label may follow itself."""
    free = np.array([False, False, kind == "background"])
    truth = np.concatenate([np.full(MEDIAN, 0), np.full(100 * MEDIAN, 2), np.full(MEDIAN, 1)])
    prior = Durations((np.log(MEDIAN * STEP),) * 3, (0.4,) * 3).log_prior(STEP)
    assert prior.shape[1] < 5 * MEDIAN
    scores = probabilities(truth, 3, np.random.default_rng(0))
    found = likeliest_states(row_evidence(scores), prior, free, np.random.default_rng(1).normal(0, 1, len(truth)))
    assert [int(found[first]) for first, _ in runs_of(found)] == [0, 2, 1]
    assert np.abs(np.flatnonzero(np.diff(found)) + 1 - [MEDIAN, 101 * MEDIAN]).max() <= 2


def test_a_flicker_is_no_segment_and_a_segment_of_usual_length_is() -> None:
    truth = np.repeat([0, 1, 0], MEDIAN)
    scores = probabilities(truth, 2, np.random.default_rng(2))
    assert len(runs_of(scores.argmax(1))) > 10
    prior = Durations((np.log(MEDIAN * STEP),) * 2, (0.4,) * 2).log_prior(STEP)
    found = likeliest_states(row_evidence(scores), prior, np.zeros(2, bool))
    assert len(runs_of(found)) == 3
    assert np.abs(np.flatnonzero(np.diff(found)) + 1 - [MEDIAN, 2 * MEDIAN]).max() <= 2


def test_one_label_or_no_row_needs_no_search() -> None:
    prior = np.zeros((1, 3))
    assert likeliest_states(np.zeros((4, 1)), prior, np.zeros(1, bool)).tolist() == [0, 0, 0, 0]
    assert likeliest_states(np.zeros((0, 2)), np.zeros((2, 3)), np.zeros(2, bool)).tolist() == []


def test_a_border_is_where_the_picture_changes() -> None:
    rows = np.random.default_rng(3).normal(0, 0.1, (60, 8))
    rows[30:] += 1.0
    scores = border_scores(Features(rows.astype(np.float16), np.arange(60) * STEP), 5)
    assert abs(scores.argmax() - 30) <= 1
    assert scores.max() == pytest.approx(HIGHEST_BORDER)
    assert (scores[:5] == 0).all()
    assert np.isfinite(scores).all()


def test_borders_are_those_of_a_loop_over_the_rows_and_do_not_depend_on_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(4).normal(0, 1, (50, 3)).astype(np.float16)
    features = Features(rows, np.arange(50) * STEP)
    rooted = np.sign(rows.astype(float)) * np.sqrt(np.abs(rows.astype(float)))
    distance = np.array([np.linalg.norm(rooted[at : at + 4].mean(0) - rooted[at - 4 : at].mean(0)) for at in range(4, 47)])
    expected = np.minimum((distance - np.median(distance)) / distance.std(), HIGHEST_BORDER)
    whole = border_scores(features, 4)
    np.testing.assert_allclose(whole[4:47], expected, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr("gerund.heads.semi_markov.BORDER_ROWS", 7)
    np.testing.assert_allclose(border_scores(features, 4), whole, atol=1e-6)


def test_a_video_without_change_or_too_short_has_no_borders() -> None:
    still = Features(np.ones((40, 4), np.float16), np.arange(40) * STEP)
    assert not border_scores(still, 4).any()
    assert not border_scores(Features(np.ones((5, 4), np.float16), np.arange(5) * STEP), 4).any()
