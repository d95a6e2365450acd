"""What is learned from: one example for each bout, several for a long one; groups are videos, or blocks of time."""

from __future__ import annotations

import numpy as np
import pytest

from gerund.core.types import Features
from gerund.labelling.bouts import LabelledBout
from gerund.labelling.lessons import ExampleStore, pieces, solved, usual_length
from gerund.labelling.project import Snapshot


def bout(number: int, start: float, end: float, label: str = "x", video: str = "a") -> LabelledBout:
    return LabelledBout(name=str(number), video=video, label=label, start=start, end=end)


def state_of(bouts: list[LabelledBout], labels: str = "xy") -> Snapshot:
    return Snapshot(1, {each.name: each for each in bouts}, dict.fromkeys(labels), {})


def film(seconds: int = 60, seed: int = 0) -> Features:
    """Rows that say at each even ten seconds something else than at each odd one."""
    rng = np.random.default_rng(seed)
    pts = np.arange(8 * seconds) / 8
    rows = rng.gamma(2.0, size=(len(pts), 6)) + 5 * (pts // 10 % 2)[:, None]
    return Features(rows.astype(np.float16), pts, float(seconds))


def test_the_usual_length_moves_in_steps():
    assert usual_length([bout(1, 0, 4), bout(2, 0, 4.2), bout(3, 0, 30)]) == 4.0
    assert usual_length([bout(1, 0, 4.4)]) == 4.0
    assert usual_length([bout(1, 0, 5.5)]) == 6.0
    assert usual_length([bout(1, 3, 3)]) == 1.0
    assert usual_length([]) == 0.0


def test_a_long_bout_is_learned_from_in_pieces_and_a_point_from_the_second_around_it():
    assert list(pieces(bout(1, 2, 9), 4.0)) == [(2, 9)]
    assert list(pieces(bout(1, 2, 22), 4.0)) == [(2, 6), (10, 14), (18, 22)]
    assert list(pieces(bout(1, 2, 2), 4.0)) == [(1.5, 2.5)]
    assert list(pieces(bout(1, 0, 0), 4.0)) == [(0, 0.5)]


def test_groups_are_videos_from_three_on_and_before_that_blocks_of_time():
    features = {name: film() for name in "abc"}
    two = [bout(1, 0, 2), bout(2, 3, 5), bout(3, 30, 32, "y"), bout(4, 40, 42, "y", "b")]
    lesson = ExampleStore().lesson(state_of(two), features)
    assert not lesson.by_video
    assert lesson.groups.tolist() == [0, 0, 1, 2]
    lesson = ExampleStore().lesson(state_of([*two, bout(5, 0, 2, video="c")]), features)
    assert lesson.by_video
    assert lesson.groups.tolist() == [0, 0, 0, 1, 2]


def test_a_video_without_features_waits_and_a_bout_beyond_the_end_is_no_example():
    bouts = [bout(1, 0, 2), bout(2, 0, 2, "y", "later"), bout(3, 99, 100, "y")]
    lesson = ExampleStore().lesson(state_of(bouts), {"a": film()})
    assert lesson.labels == ["x"]
    assert not lesson.is_enough
    assert ExampleStore().lesson(state_of([]), {"a": film()}) is None


def test_the_readout_tells_apart_what_differs_also_where_a_block_was_held_out():
    spots = range(0, 60, 5)
    bouts = [bout(start, start + 1, start + 3, "xy"[start // 10 % 2]) for start in spots]
    readout = solved(ExampleStore().lesson(state_of(bouts), {"a": film()}))
    lesson = readout.lesson
    logits = lesson.statistics @ readout.weight.T + readout.bias
    assert (logits.argmax(1) == lesson.targets).all()
    assert (readout.left_out.argmax(1) == lesson.targets).all()
    with_noise = [np.abs(each).max() for each in (logits, readout.left_out)]
    assert with_noise[0] == pytest.approx(with_noise[1], rel=2)


def test_statistics_are_kept_only_while_they_are_needed():
    store, features = ExampleStore(), {"a": film()}
    store.lesson(state_of([bout(number, number, number + 2) for number in range(20)]), features)
    assert len(store.kept) == 20
    store.lesson(state_of([bout(1, 1, 3)]), features)
    assert len(store.kept) == 1
