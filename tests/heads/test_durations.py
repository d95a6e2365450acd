"""How long labels last: a prior that is a probability, pooled over clips, by label over annotated videos."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gerund.heads.durations import BROAD, LEAST_SPREAD, LONGEST_ROWS, Durations


def test_a_prior_is_a_probability_over_all_its_lengths_and_follows_the_log_normal() -> None:
    prior = np.exp(Durations((math.log(4.0),), (0.4,)).log_prior(0.125))[0]
    assert prior.sum() == pytest.approx(1)
    assert len(prior) == math.ceil(4 * math.exp(3 * 0.4) / 0.125)
    density = [math.exp(-((math.log(n * 0.125 / 4) / 0.4) ** 2) / 2) / n for n in range(1, len(prior) + 1)]
    expected = (1 - BROAD) * np.array(density) / sum(density) + BROAD / len(prior)
    np.testing.assert_allclose(prior, expected)
    assert Durations((math.log(3600.0),), (0.4,)).log_prior(0.125).shape == (1, LONGEST_ROWS)


def test_clips_give_one_prior_for_all_labels_and_annotated_videos_one_for_each() -> None:
    seconds, targets = [2.0] * 40 + [20.0] * 40, np.repeat([0, 1], 40)
    pooled = Durations.measured(seconds, targets, 2)
    assert pooled.mean[0] == pooled.mean[1] == pytest.approx(math.log(math.sqrt(40)))
    own = Durations.measured(seconds, targets, 2, by_label=True)
    assert own.mean[0] == pytest.approx((40 * math.log(2) + 5 * pooled.mean[0]) / 45)
    assert own.mean[0] < pooled.mean[0] < own.mean[1]


def test_a_label_without_segments_lasts_as_the_others_do() -> None:
    own = Durations.measured([1.0, 2.0, 3.0], np.zeros(3, int), 2, by_label=True)
    pooled = Durations.measured([1.0, 2.0, 3.0], np.zeros(3, int), 2)
    assert own.mean[1] == pytest.approx(pooled.mean[1])
    assert own.spread[1] == pytest.approx(pooled.spread[1])


def test_clips_that_are_all_cut_to_one_length_still_leave_room() -> None:
    assert Durations.measured([3.0] * 10, np.zeros(10, int), 2).spread == (LEAST_SPREAD, LEAST_SPREAD)


def test_what_comes_after_what_is_counted_against_any_other() -> None:
    found = np.array(Durations.around(1.0, 3).following([[0, 1, 0, 1], [0, 1, 1, 2]]).follow)
    counts = np.array([[0, 3.5, 0.5], [1.5, 0, 1.5], [0.5, 0.5, 0]])
    expected = np.log(counts / counts.sum(1, keepdims=True) * 2, where=counts > 0, out=np.zeros((3, 3)))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (np.array(Durations.around(1.0, 3).following([]).follow) == 0).all(), "nothing was seen, and so nothing is likelier"
