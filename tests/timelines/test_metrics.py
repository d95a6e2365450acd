"""Metrics of segments against cases counted by hand."""

import numpy as np
import pytest

from gerund.core.types import Segment
from gerund.timelines.metrics import (
    average_precision,
    boundary_error,
    edit_distance,
    edit_score,
    frame_accuracy,
    mean_average_precision,
    overlaps,
    segmental_f1,
)


def segments(*rows):
    """(label, start, end) or (label, start, end, score)."""
    return [Segment(label=row[0], start=row[1], end=row[2], score=row[3] if len(row) > 3 else 1.0) for row in rows]


TRUE = segments(("a", 0, 4), ("b", 4, 8), ("a", 8, 10))
FOUND = segments(("a", 0, 3), ("b", 3, 8), ("c", 8, 10))


def test_frame_accuracy_counts_steps_and_gaps():
    # 10 steps; step 3 is b instead of a, steps 8 and 9 are c instead of a
    assert frame_accuracy([(FOUND, TRUE)], [np.arange(10.0)]) == 0.7
    # 2 more steps after the end, rightly nothing
    assert frame_accuracy([(FOUND, TRUE)], [np.arange(12.0)]) == pytest.approx(9 / 12)
    # a second video of 4 steps, all missed: steps weigh the same, not videos
    assert frame_accuracy([(FOUND, TRUE), ([], segments(("a", 0, 4)))], [np.arange(10.0), np.arange(4.0)]) == 0.5


def test_a_segment_ends_before_its_end():
    assert frame_accuracy([(segments(("a", 0, 1)), segments(("a", 0, 2)))], [np.array([0.0, 1.0])]) == 0.5


def test_edit_distance_is_levenshteins():
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("", "abc") == 3
    assert edit_distance("abc", "abc") == 0


def test_edit_score_looks_at_the_order_only():
    assert edit_score([(FOUND, TRUE)]) == pytest.approx(1 - 1 / 3)  # a b c against a b a: one substitution of 3
    over = segments(("a", 0, 1), ("b", 1, 2), ("a", 2, 3), ("b", 4, 8), ("a", 8, 10))
    assert edit_score([(over, TRUE)]) == pytest.approx(1 - 2 / 5)  # two insertions, the longer has 5
    assert edit_score([([], []), ([], TRUE)]) == 0.5  # 1 and 0


def test_overlap_is_intersection_over_union_of_one_label():
    found = overlaps(segments(("a", 0, 3))[0], TRUE)
    assert found.tolist() == [0.75, 0, 0]


def test_f1_at_three_overlaps():
    # a: IoU 3/4, b: IoU 4/5, c: none. 2 right, 1 wrong, 1 missed -> 4 / (4 + 1 + 1)
    for overlap in (0.1, 0.25, 0.5, 0.75):
        assert segmental_f1([(FOUND, TRUE)], overlap) == pytest.approx(4 / 6)
    # above 3/4 only b: 1 right, 2 wrong, 2 missed
    assert segmental_f1([(FOUND, TRUE)], 0.78) == pytest.approx(2 / 6)


def test_a_true_segment_is_found_once():
    # two halves of one segment, IoU 0.5 each: the second is wrong. 1 right, 1 wrong, 0 missed
    halves = segments(("a", 0, 2), ("a", 2, 4))
    assert segmental_f1([(halves, segments(("a", 0, 4)))], 0.5) == pytest.approx(2 / 3)


def test_f1_adds_the_counts_of_all_videos():
    # right 2, wrong 1, missed 1, and a video with one missed
    assert segmental_f1([(FOUND, TRUE), ([], segments(("a", 0, 4)))], 0.5) == pytest.approx(4 / 7)
    assert np.isnan(segmental_f1([([], [])], 0.5))


def test_average_precision_of_a_ranked_list():
    true = segments(("a", 0, 10), ("a", 20, 30))
    # ranked: right (precision 1), wrong, right (precision 2/3) -> (1 + 2/3) / 2
    found = segments(("a", 0, 10, 0.9), ("a", 12, 18, 0.8), ("a", 20, 30, 0.7))
    assert average_precision([(found, true)], "a", 0.5) == pytest.approx((1 + 2 / 3) / 2)
    # the wrong one first: precisions 1/2 and 2/3, interpolated 2/3 and 2/3
    first = segments(("a", 0, 10, 0.8), ("a", 12, 18, 0.9), ("a", 20, 30, 0.7))
    assert average_precision([(first, true)], "a", 0.5) == pytest.approx(2 / 3)
    # only one of the two is ever found
    assert average_precision([(found[:1], true)], "a", 0.5) == 0.5


def test_average_precision_ranks_over_all_videos():
    one, two = segments(("a", 0, 10)), segments(("a", 0, 10))
    # the wrong one of the second video has the highest score: precisions 1/2, 2/3
    videos = [(segments(("a", 0, 10, 0.5)), one), (segments(("a", 50, 60, 0.9), ("a", 0, 10, 0.4)), two)]
    assert average_precision(videos, "a", 0.5) == pytest.approx(2 / 3)


def test_a_second_answer_for_the_same_segment_is_wrong():
    true = segments(("a", 0, 10))
    found = segments(("a", 0, 9, 0.5), ("a", 0, 10, 0.4))
    assert average_precision([(found, true)], "a", 0.5) == 1.0
    two = segments(("a", 0, 10), ("a", 30, 40))
    assert average_precision([(found, two)], "a", 0.5) == 0.5


def test_mean_average_precision_is_over_the_labels_of_the_truth():
    # a: 1 of 2 found first -> a is found at 0-3 of 0-4 (IoU .75), 8-10 missed: 0.5; b: 1
    assert mean_average_precision([(FOUND, TRUE)], 0.5) == pytest.approx(0.75)
    assert mean_average_precision([(FOUND, TRUE)], 0.78) == pytest.approx(0.5)
    assert np.isnan(mean_average_precision([(FOUND, [])], 0.5))


def test_boundary_error_is_the_median_distance_to_the_nearest_border():
    # true borders 0 4 4 8 8 10; found 0 3 3 8 8 10: distances 0 1 1 0 0 0
    assert boundary_error([(FOUND, TRUE)]) == 0
    late = segments(("a", 1, 5), ("b", 5, 9))
    # true 0 4 4 8 8 10 against 1 5 9: 1 1 1 1 1 1
    assert boundary_error([(late, TRUE)]) == 1
    assert np.isnan(boundary_error([([], TRUE)]))
