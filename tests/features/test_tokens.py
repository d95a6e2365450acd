"""Which frames are kept at a rate, which rows belong to a clip, and what a head sees of them."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from gerund.core.errors import ClipError, UsageError
from gerund.core.types import Clip, Features
from gerund.features import tokens as sampling
from gerund.features.tokens import Sampling, clip_rows, part_edges, picked_rows, tokens
from gerund.video.rate import PACKET_REFERENCE, PACKET_UNUSED, PACKET_WANTED, at_rate, packet_needs


def kept(pts: list[float], fps: float | None) -> list[int]:
    """Numbers of the frames that at_rate keeps of frames at these seconds."""
    return [index for _, index in at_rate(zip(pts, itertools.count(), strict=False), fps)]


def on_screen(pts: list[float], fps: float) -> list[int]:
    """The same by hand: walk over the instants 0, 1/fps ... and look which frame is shown."""
    end = pts[-1] + (pts[-1] - pts[-2])
    found = []
    for k in range(math.ceil(end * fps)):
        shown = max(index for index, time in enumerate(pts) if time <= k / fps + 1e-9)
        if k / fps < end - 1e-9 and shown not in found:
            found.append(shown)
    return found


def features_at(pts: list[float] | np.ndarray, width: int = 3) -> Features:
    """Row i holds i, 10 i, 100 i ..."""
    rows = np.arange(len(pts))[:, None] * 10.0 ** np.arange(width)
    return Features(rows.astype(np.float16), np.asarray(pts, np.float64))


def clip(start: float = 0.0, end: float | None = None) -> Clip:
    return Clip(path=Path("clip.mp4"), label="waving", start=start, end=end)


@pytest.mark.parametrize("fps", [1, 3, 8, 10, 12.5, 24])
@pytest.mark.parametrize("native", [25, 30])
def test_the_frames_on_screen_at_each_instant_are_kept(native: int, fps: float) -> None:
    pts = [index / native for index in range(77)]
    assert kept(pts, fps) == on_screen(pts, fps)


def test_25_frames_per_second_at_8_keeps_every_third_and_sometimes_fourth() -> None:
    assert kept([index / 25 for index in range(25)], 8) == [0, 3, 6, 9, 12, 15, 18, 21]


@pytest.mark.parametrize("fps", [25, None])
def test_the_native_rate_and_none_keep_every_frame(fps: float | None) -> None:
    assert kept([index / 25 for index in range(60)], fps) == list(range(60))


@pytest.mark.parametrize("fps", [10.1, 25, 60, 200])
def test_a_video_slower_than_wanted_keeps_every_frame_once(fps: float) -> None:
    assert kept([index / 10 for index in range(30)], fps) == list(range(30))


@pytest.mark.parametrize("fps", [2, 5, 7.5])
def test_a_variable_frame_rate_is_sampled_by_time_not_by_number(fps: float) -> None:
    pts = [0.0, 0.1, 0.5, 0.52, 0.54, 1.0, 1.9, 2.0]
    assert kept(pts, fps) == on_screen(pts, fps)


def test_a_frame_shown_for_long_is_kept_once() -> None:
    assert kept([0.0, 5.0, 5.1], 10) == [0, 1, 2]


@pytest.mark.parametrize(
    ("native", "fps"), [(30, 8), (30, 10), (30, 15), (30000 / 1001, 30000 / 1001), (60, 20), (24, 8), (60, 60)]
)
def test_times_rounded_to_milliseconds_keep_the_same_frames_as_exact_ones(native: float, fps: float) -> None:
    exact = [index / native for index in range(301)]
    assert kept([round(time, 3) for time in exact], fps) == kept(exact, fps)


@pytest.mark.parametrize("fps", [0.1, 1, 25, 1000, None])
def test_a_lone_frame_is_kept_at_any_rate(fps: float | None) -> None:
    assert kept([0.0], fps) == [0]


def test_no_frame_gives_no_frame() -> None:
    assert kept([], 8) == kept([], None) == []


def test_frames_are_taken_one_at_a_time() -> None:
    endless = ((index / 25, index) for index in itertools.count())
    assert next(at_rate(endless, 8)) == (0.0, 0)
    assert next(endless)[1] == 2  # one frame further than the kept one, and no more


def test_the_last_item_lasts_as_long_as_it_says_and_the_end_is_told() -> None:
    for fps in (8, None):
        ends: list[float] = []
        timed = [(0.0, 0.1), (0.1, 0.1), (0.21, 5.0)]
        assert len(list(at_rate(timed, fps, lasts=lambda own: own, ended=ends.append))) == 3
        assert ends == [5.21]
    assert [pts for pts, _ in at_rate([(0.0, 0.1), (0.13, 0.04)], 8, lasts=lambda own: own)] == [0.0]  # gone before 1/4 s
    assert [pts for pts, _ in at_rate([(0.0, 0.1), (0.13, 0.0)], 8, lasts=lambda own: own)] == [0.0, 0.13]  # it does not say


@pytest.mark.parametrize("fps", [None, 1.0, 5.0, 8.0, 25.0])
@pytest.mark.parametrize("native", [0.2, 1, 4, 5, 7, 7.99, 8, 9, 10, 12, 12.5, 15, 23.976, 24, 25, 29.97, 30, 50, 60, 120])
@pytest.mark.parametrize("digits", [3, 9])
def test_rows_of_a_constant_rate_are_there_once(native: float, fps: float | None, digits: int) -> None:
    for count in (1, 2, 3, 7, 40, 301):
        times = [round(index / native, digits) for index in range(count + 1)]
        pts = np.array([pts for pts, _ in at_rate(((time, None) for time in times[:-1]), fps)])
        features = sampling.on_screen(np.zeros((len(pts), 3)), pts, times[-1], 1 / fps if fps else None)
        assert features.pts is pts
        assert features.end == times[-1]


def test_a_row_is_there_for_every_step_that_its_picture_is_on_screen() -> None:
    data = np.arange(31.0)[:, None]
    features = sampling.on_screen(data, np.arange(31) / 10, 8.0, 0.1)
    assert len(features) == 80
    np.testing.assert_allclose(features.pts, np.arange(80) / 10)
    np.testing.assert_array_equal(features.data[0:80][:, 0], np.minimum(np.arange(80), 30))
    np.testing.assert_array_equal(features.data[28:33][:, 0], [28, 29, 30, 30, 30])
    assert features.data[5:5].shape == (0, 1)
    assert features.data.shape == (80, 1)
    np.testing.assert_array_equal(sampling.stored_rows(features), np.minimum(np.arange(80), 30))


def test_what_stands_still_weighs_as_long_as_it_is_seen() -> None:
    for lasting in ([1.0, 7.0], [7.0, 1.0], [2.0, 2.1, 0.5, 5.4], [0.1] * 30 + [5.0]):
        pts = np.concatenate([[0], np.cumsum(lasting)[:-1]])
        features = sampling.on_screen(np.eye(len(pts)), pts, sum(lasting), min(1 / 8, *lasting))
        shares = tokens(features, clip(), Sampling(num_frames=1, motion=False))[0][0]
        np.testing.assert_allclose(shares, np.array(lasting) / sum(lasting), atol=0.05)


def test_stills_make_no_more_rows_than_two_hours_of_video() -> None:
    features = sampling.on_screen(np.zeros((100, 3)), np.arange(100) / 100, 36_000.0, 1 / 100)
    assert len(features) <= sampling.MOST_STILL_ROWS + 100
    assert features.end == 36_000


def test_a_clip_that_is_over_before_the_first_picture_is_refused() -> None:
    late = Features(np.zeros((3, 2), np.float16), np.array([2.0, 2.125, 2.25]))
    with pytest.raises(ClipError, match=r"clip\.mp4: the clip ends at 1 s, but the first picture comes at 2\.00 s"):
        clip_rows(late, clip(0, 1))
    assert clip_rows(late, clip(0, 1.9)) == slice(0, 1)  # the picture may have come a little before the first row


def test_a_clip_has_the_rows_from_its_start_up_to_but_without_its_end() -> None:
    features = features_at([0.0, 0.5, 1.0, 1.5, 2.0])
    assert clip_rows(features, clip()) == slice(0, 5)
    assert clip_rows(features, clip(0.5, 1.5)) == slice(1, 3)
    assert clip_rows(features, clip(0.6, 1.6)) == slice(2, 4)
    assert clip_rows(features, clip(1.2)) == slice(3, 5)
    assert clip_rows(features, clip(0, 99)) == slice(0, 5)


def test_the_border_of_a_clip_forgives_the_rounding_of_milliseconds() -> None:
    features = features_at([0.0, 0.333, 0.667, 1.0])
    assert clip_rows(features, clip(1 / 3, 2 / 3)) == slice(1, 2)


@pytest.mark.parametrize(("start", "end", "row"), [(1.1, 1.3, 1), (1.6, 1.9, 2), (1.7, 1.71, 2), (1.2, 1.95, 2), (0.1, 0.2, 0)])
def test_a_span_between_two_rows_uses_the_nearer_one(start: float, end: float, row: int) -> None:
    assert clip_rows(features_at([0.0, 1.0, 2.0, 3.0]), clip(start, end)) == slice(row, row + 1)


def test_a_span_in_the_time_of_the_last_row_uses_the_last_row() -> None:
    assert clip_rows(features_at([0.0, 1.0, 2.0]), clip(2.5)) == slice(2, 3)


def test_a_clip_that_starts_after_its_video_is_refused() -> None:
    with pytest.raises(ClipError, match=r"clip\.mp4: the clip starts at 9 s, but the video ends at 3\.00 s"):
        clip_rows(features_at([0.0, 1.0, 2.0]), clip(9))


def test_a_video_without_rows_is_refused() -> None:
    with pytest.raises(ClipError, match=r"clip\.mp4: no frame was decoded"):
        tokens(Features(np.empty((0, 3), np.float16), np.empty(0)), clip(), Sampling())


def by_hand(rows: np.ndarray, sampling: Sampling) -> tuple[list[list[float]], list[bool]]:
    """`tokens` again, in plain loops."""
    table = [[float(value) for value in row] for row in rows]
    if sampling.take == "first":
        table = table[: sampling.num_frames]
    parts = min(sampling.num_frames, len(table))
    changes = [[abs(b - a) for a, b in zip(row, after, strict=True)] for row, after in itertools.pairwise(table)]
    changes.append(changes[-1] if changes else [0.0] * rows.shape[1])
    out = []
    for part in range(parts):
        low, high = part * len(table) // parts, (part + 1) * len(table) // parts
        if sampling.take == "mean":
            token = [sum(column) / (high - low) for column in zip(*table[low:high], strict=True)]
        else:
            token = list(table[low + (high - low - 1) // 2])
        if sampling.motion:
            token += [sum(column) / (high - low) for column in zip(*changes[low:high], strict=True)]
        out.append(token)
    padding = sampling.num_frames - parts
    return out + [[0.0] * sampling.token_dim(rows.shape[1])] * padding, [True] * parts + [False] * padding


@pytest.mark.parametrize("motion", [True, False])
@pytest.mark.parametrize("take", ["mean", "middle", "first"])
def test_tokens_agree_with_a_plain_loop_for_any_length(take: str, motion: bool) -> None:
    random = np.random.default_rng(0)
    for _ in range(60):
        num_rows, num_frames = int(random.integers(1, 70)), int(random.integers(1, 24))
        sampling = Sampling(num_frames=num_frames, take=take, motion=motion)  # type: ignore[arg-type]
        features = Features(random.normal(size=(num_rows, 4)).astype(np.float16), np.arange(num_rows) / 8)
        data, valid = tokens(features, clip(), sampling)
        expected, expected_valid = by_hand(features.data[0:num_rows], sampling)
        assert data.dtype == np.float32
        assert data.shape == (num_frames, sampling.token_dim(4))
        np.testing.assert_allclose(data, expected, atol=1e-5)
        assert valid.tolist() == expected_valid


def test_only_the_rows_of_the_span_are_seen() -> None:
    data, valid = tokens(features_at(np.arange(8) / 4), clip(0.5, 1.5), Sampling(num_frames=2, motion=False))
    assert data[:, 0].tolist() == [2.5, 4.5]
    assert valid.all()


def test_fewer_rows_than_steps_give_each_row_once_and_a_padded_tail() -> None:
    data, valid = tokens(features_at([0.0, 0.1, 0.2], width=1), clip(), Sampling(num_frames=5, motion=False))
    assert data[:, 0].tolist() == [0.0, 1.0, 2.0, 0.0, 0.0]
    assert valid.tolist() == [True, True, True, False, False]


def test_motion_of_a_lone_row_is_zero_and_of_a_steady_ramp_is_its_step() -> None:
    lone, _ = tokens(features_at([0.0], width=2), clip(), Sampling(num_frames=1))
    ramp, _ = tokens(features_at(np.arange(12) / 8, width=2), clip(), Sampling(num_frames=4))
    assert lone[0, 2:].tolist() == [0.0, 0.0]
    assert ramp[:, 2:].tolist() == [[1.0, 10.0]] * 4


def test_first_takes_the_first_rows_and_ignores_the_rest() -> None:
    data, _ = tokens(features_at(np.arange(50) / 8, width=1), clip(), Sampling(num_frames=6, take="first", motion=False))
    assert data[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_jitter_keeps_every_part_filled_and_covers_all_rows() -> None:
    random = np.random.default_rng(1)
    for _ in range(300):
        num_rows, num_parts = int(random.integers(1, 60)), int(random.integers(1, 30))
        edges = part_edges(num_rows, num_parts, random)
        assert edges[0] == 0
        assert edges[-1] == num_rows
        assert len(edges) == min(num_parts, num_rows) + 1
        assert (np.diff(edges) >= 1).all()


def test_jitter_moves_the_borders_and_stays_near_the_regular_ones() -> None:
    regular = part_edges(160, 8, None)
    drawn = np.stack([part_edges(160, 8, np.random.default_rng(seed)) for seed in range(50)])
    assert regular.tolist() == list(range(0, 161, 20))
    assert (np.abs(drawn - regular) <= 10).all()
    assert (drawn[:, 1:-1].std(axis=0) > 2).all()


def test_jitter_picks_every_row_of_a_part_sooner_or_later_and_none_of_another() -> None:
    random = np.random.default_rng(2)
    edges = np.array([0, 3, 4, 9])
    picked = np.stack([picked_rows(edges, random) for _ in range(300)])
    assert [set(column.tolist()) for column in picked.T] == [{0, 1, 2}, {3}, {4, 5, 6, 7, 8}]


def test_the_same_generator_gives_the_same_tokens_and_another_gives_others() -> None:
    features = features_at(np.arange(100) / 8)
    draws = [tokens(features, clip(), Sampling(), jitter=np.random.default_rng(seed))[0] for seed in (3, 3, 4)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_a_clip_needs_a_time_step_and_a_known_take() -> None:
    with pytest.raises(UsageError, match="num_frames is 0; a clip needs at least 1 time step"):
        Sampling(num_frames=0)
    with pytest.raises(UsageError, match="unknown take 'last'; choose one of mean, middle, first"):
        Sampling(take="last")  # type: ignore[arg-type]


def test_a_token_is_twice_as_wide_with_motion() -> None:
    assert Sampling(motion=True).token_dim(7) == 14
    assert Sampling(motion=False).token_dim(7) == 7


def test_packets_that_nobody_asked_for_are_found_as_by_hand() -> None:
    keys = np.zeros(60, bool)
    keys[[0, 20, 40]] = True
    pts = np.arange(60)
    needs = packet_needs(pts, keys, np.array([3, 41]))
    by_hand = (
        [PACKET_REFERENCE] * 3 + [PACKET_WANTED] + [PACKET_UNUSED] * 36 + [PACKET_REFERENCE, PACKET_WANTED] + [PACKET_UNUSED] * 18
    )
    assert needs.tolist() == by_hand


def test_a_short_gap_is_decoded_rather_than_jumped_over() -> None:
    keys = np.zeros(30, bool)
    keys[[0, 10, 20]] = True
    needs = packet_needs(np.arange(30), keys, np.array([0, 10, 20]))
    assert (needs[:20] != PACKET_UNUSED).all()


def test_a_frame_shown_before_its_key_frame_needs_the_group_before() -> None:
    pts = np.concatenate([np.arange(30), [32, 30, 31], np.arange(33, 60)])
    keys = np.zeros(60, bool)
    keys[[0, 30]] = True
    needs = packet_needs(pts, keys, np.array([31]))
    assert needs[32] == PACKET_WANTED
    assert (needs[:32] == PACKET_REFERENCE).all()
    assert (needs[33:] == PACKET_UNUSED).all()
