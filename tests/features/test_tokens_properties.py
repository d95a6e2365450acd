"""Index arithmetic that holds for every video, clip and number of steps."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gerund.core.types import Clip, Features
from gerund.features.tokens import (
    Sampling,
    clip_rows,
    on_screen,
    part_edges,
    part_means,
    picked_rows,
    spread,
    stored_rows,
    tokens,
)
from gerund.video.rate import TIME_SLACK

SEEDS = st.none() | st.integers(0, 2**32 - 1)
STEP = 0.125


def generator(seed: int | None) -> np.random.Generator | None:
    return None if seed is None else np.random.default_rng(seed)


@st.composite
def videos(draw: st.DrawFn) -> Features:
    """1 to 40 rows of width 3 at eighths of a second, some of them left out."""
    steps = draw(st.lists(st.integers(1, 4), min_size=1, max_size=40))
    pts = np.cumsum(steps) * STEP
    data = np.random.default_rng(draw(st.integers(0, 99))).standard_normal((len(pts), 3)).astype(np.float16)
    return Features(data, pts, float(pts[-1]) + STEP)


@st.composite
def clips_of(draw: st.DrawFn, features: Features) -> Clip:
    """A span that begins before the end of the video, and ends after its first picture."""
    start = draw(st.floats(0, features.end))
    end = draw(st.none() | st.floats(max(start + 0.01, float(features.pts[0])), features.end + 5))
    return Clip(path=Path("a.mp4"), start=start, end=end)


@given(st.integers(1, 500), st.integers(1, 64), SEEDS)
def test_parts_cover_all_rows_in_order_and_none_is_empty(num_rows: int, num_parts: int, seed: int | None) -> None:
    edges = part_edges(num_rows, num_parts, generator(seed))
    assert (edges[0], edges[-1], len(edges)) == (0, num_rows, min(num_rows, num_parts) + 1)
    assert (np.diff(edges) >= 1).all()
    picked = picked_rows(edges, generator(seed))
    assert ((edges[:-1] <= picked) & (picked < edges[1:])).all()


@given(st.integers(1, 500), st.integers(1, 64))
def test_without_jitter_parts_differ_by_one_row_at_most(num_rows: int, num_parts: int) -> None:
    assert np.ptp(np.diff(part_edges(num_rows, num_parts, None))) <= 1


@given(videos(), st.integers(1, 12))
def test_the_mean_of_a_part_is_the_mean_of_its_rows(features: Features, num_parts: int) -> None:
    rows = features.data[0:].astype(np.float64)
    edges = part_edges(len(rows), num_parts, None)
    expected = [rows[first:end].mean(axis=0) for first, end in pairwise(edges)]
    assert np.allclose(part_means(rows, edges), expected)


@given(st.data(), videos(), st.integers(1, 20), st.sampled_from(("mean", "middle", "first")), SEEDS)
def test_a_clip_gives_a_token_for_each_part_and_zeros_behind_them(data, features, num_frames, take, seed) -> None:
    clip = data.draw(clips_of(features))
    rows = clip_rows(features, clip)
    sampling = Sampling(num_frames=num_frames, take=take)
    made, valid = tokens(features, clip, sampling, jitter=generator(seed))
    count = min(rows.stop - rows.start, num_frames)
    assert made.shape == (num_frames, sampling.token_dim(3))
    assert valid.tolist() == [True] * count + [False] * (num_frames - count)
    assert not made[~valid].any()
    assert (made[:, 3:] >= 0).all()
    if take == "mean" and seed is None:
        sizes = np.diff(part_edges(rows.stop - rows.start, num_frames, None))
        assert np.allclose(sizes @ made[valid, :3] / sizes.sum(), features.data[rows].astype(np.float32).mean(axis=0), atol=1e-5)


@given(st.data(), videos())
def test_the_rows_of_a_clip_are_those_in_its_span_or_the_nearest_one(data, features: Features) -> None:
    clip = data.draw(clips_of(features))
    rows = clip_rows(features, clip)
    end = np.inf if clip.end is None else clip.end
    inside = np.flatnonzero((features.pts >= clip.start - TIME_SLACK) & (features.pts < end - TIME_SLACK))
    if len(inside):
        assert np.arange(len(features))[rows].tolist() == inside.tolist()
    else:
        middle = clip.start if clip.end is None else (clip.start + clip.end) / 2
        assert rows.stop - rows.start == 1
        assert np.isclose(abs(features.pts[rows.start] - middle), np.abs(features.pts - middle).min())


@given(videos())
def test_what_stands_still_is_shown_as_often_as_its_steps_on_screen(features: Features) -> None:
    shown = on_screen(features.data, features.pts, features.end, STEP)
    behind = stored_rows(shown)
    assert set(behind) == set(range(len(features)))
    assert (np.diff(behind) >= 0).all()
    assert (np.diff(shown.pts) > 0).all()
    lasting = np.diff(features.pts, append=features.end)
    unit = max(STEP, float(np.quantile(lasting, 0.1, method="lower")))
    assert np.bincount(behind).tolist() == [max(1, int(seconds / unit + TIME_SLACK)) for seconds in lasting]
    assert np.array_equal(shown.data[0 : len(shown)], features.data[0:][behind])


@given(st.lists(st.integers(), max_size=60), st.integers(1, 20))
def test_what_is_spread_keeps_order_and_both_ends(items: list[int], count: int) -> None:
    chosen = spread(list(enumerate(items)), count)
    assert len(chosen) == min(count, len(items))
    places = [place for place, _ in chosen]
    assert places == sorted(set(places))
    if len(chosen) > 1:
        assert (places[0], places[-1]) == (0, len(items) - 1)
