"""Windows over a video: the same statistics as the readout takes of clips, whole rows of scores, and a byte is enough."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gerund.core.types import Clip, Features
from gerund.features.tokens import Sampling, tokens
from gerund.heads.statistics import token_statistics
from gerund.labelling.windows import (
    WINDOW_LENGTHS,
    over_rows,
    part_of,
    parts_in,
    snapped,
    span_statistics,
    window_starts,
    windows_over,
)


def film(count: int, width: int = 6, seed: int = 0) -> Features:
    rows = np.random.default_rng(seed).gamma(1.0, size=(count, width)).astype(np.float16)
    return Features(rows, np.arange(count) / 8, count / 8)


def clip_statistics(features: Features, first: int, length: int) -> np.ndarray:
    """What the readout takes of the rows as a clip, by the road that training goes."""
    clip = Clip(path=__file__, start=first / 8, end=(first + length) / 8)
    data, valid = tokens(features, clip, Sampling(num_frames=parts_in(length)))
    return token_statistics(data[None], valid[None])[0]


def test_lengths_grow_by_about_the_root_of_two():
    ratios = np.array(WINDOW_LENGTHS[1:]) / WINDOW_LENGTHS[:-1]
    assert (ratios > 1.3).all()
    assert (ratios <= 1.5).all()
    assert [snapped(rows) for rows in (0.1, 15, 17, 20, 1000)] == [4, 16, 16, 24, 256]
    assert {length: parts_in(length) for length in (4, 11, 16, 24, 256)} == {4: 4, 11: 11, 16: 16, 24: 12, 256: 16}


@pytest.mark.parametrize("length", [4, 11, 16, 24, 64])
def test_a_windows_statistics_are_those_of_a_clip(length):
    features = film(150)
    found = windows_over(features, length)
    values = found.values(np.arange(len(found.starts)))
    for place in (0, 3, len(found.starts) - 2):
        first = int(found.starts[place])
        part = part_of(length)
        expected = clip_statistics(features, first, length)
        error = np.abs(values[place] - expected)
        inside = np.ones(expected.shape, bool).reshape(4, 2, -1)
        inside[:, 1] = False  # the last difference of a clip repeats the one before; a window looks at the next row
        assert (error <= found.steps[0] / 2 + 4e-3)[inside.ravel()].all()
        assert error.max() < 2.0 / (length / part) ** 0.5 + 0.5


def test_a_span_of_its_own_is_exactly_a_clip():
    features = film(60)
    rows = np.asarray(features.data[10:40], np.float32)
    clip = Clip(path=__file__, start=10 / 8, end=40 / 8)
    data, valid = tokens(features, clip, Sampling(num_frames=16))
    np.testing.assert_allclose(span_statistics(rows, 16), token_statistics(data[None], valid[None])[0], rtol=1e-5)


@given(st.integers(1, 400), st.sampled_from(WINDOW_LENGTHS[:9]))
def test_every_row_is_in_a_window_and_no_window_leaves_a_film_that_is_longer(count, length):
    starts = window_starts(count, length)
    covered = np.zeros(max(count, length), int)
    for start in starts:
        covered[start : start + length] += 1
    assert (covered[:count] > 0).all()
    assert starts[-1] == max(count - length, 0)
    assert (np.diff(starts) > 0).all()


@pytest.mark.parametrize(("count", "length"), [(1, 4), (5, 16), (40, 8), (41, 16)])
def test_rows_get_the_mean_of_their_windows(count, length):
    starts = window_starts(count, length)
    rng = np.random.default_rng(1)
    scores = rng.random((len(starts), 3))
    found = over_rows(scores, starts, length, count)
    middle = (np.arange(length) + 0.5) / length
    weight = np.maximum(1 - np.abs(2 * middle - 1), 0.02)
    for row in range(count):
        covering = [(place, row - start) for place, start in enumerate(starts) if 0 <= row - start < length]
        expected = sum(weight[at] * scores[place] for place, at in covering) / sum(weight[at] for _, at in covering)
        np.testing.assert_allclose(found[row], expected)


def test_bytes_change_scores_by_less_than_a_hundredth_of_their_spread():
    features = film(400, width=64)
    statistics = windows_over(features, 16)
    weight = np.random.default_rng(2).normal(size=(3, 512)).astype(np.float32)
    exact = np.stack([clip_statistics(features, int(start), 16) for start in statistics.starts[::10]]) @ weight.T
    found = statistics.scores(weight, np.array([1.0, 0, 0]))[::10] - [1.0, 0, 0]
    assert np.abs(found - exact).mean() < 0.1 * exact.std()  # the last differences of windows are in it too
    assert statistics.bytes == (len(statistics.starts) + 2 * 4) * 512


def test_scores_are_the_same_however_many_windows_go_together():
    features = film(3000, width=4)
    statistics = windows_over(features, 8)
    weight, bias = np.ones((2, 32), np.float32), np.zeros(2)
    whole = statistics.values(np.arange(len(statistics.starts))).astype(np.float64) @ weight.T
    np.testing.assert_allclose(statistics.scores(weight, bias), whole, rtol=1e-4)
