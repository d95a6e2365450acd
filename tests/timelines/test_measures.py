"""Counts, durations, gaps and transitions, by hand and as pandas has them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gerund.timelines.measures import Measures, measures, spread_of, transitions
from gerund.timelines.observations import Bout, joined_bouts


def bouts_of(text: str) -> list[Bout]:
    """`a0-2 b3-3` as bouts."""
    spans = [(each[0], *each[1:].split("-")) for each in text.split()]
    return [Bout(label=label, start=float(start), end=float(end), score=1.0) for label, start, end in spans]


def test_measures_by_hand() -> None:
    found = measures(bouts_of("a2-4 a5-9 a20-20.5"), 0, 40)
    assert found == Measures(
        count=3,
        total=6.5,
        share=6.5 / 40,
        mean=pytest.approx(6.5 / 3),
        median=2.0,
        sd=pytest.approx(np.sqrt(((2 - 6.5 / 3) ** 2 + (4 - 6.5 / 3) ** 2 + (0.5 - 6.5 / 3) ** 2) / 2)),
        longest=4.0,
        latency=2.0,
        per_hour=270.0,
        between=6.0,
    )


def test_a_bin_has_the_time_within_it_and_the_bouts_that_begin_in_it() -> None:
    bouts = bouts_of("a2-12 a18-22 a20-21")
    first, last = measures(bouts, 0, 10, last=False), measures(bouts, 10, 20)
    assert (first.count, first.total, first.mean, first.latency) == (1, 8.0, 10.0, 2.0)
    assert (last.count, last.total, last.share, last.latency) == (2, 4.0, 0.4, 8.0)
    assert measures(bouts, 10, 20, last=False).count == 1, "the end of a bin is the begin of the next"


def test_points_have_no_durations_and_nothing_has_no_latency() -> None:
    point = measures(bouts_of("p1-1 p4-4"), 0, 10, point=True)
    assert (point.count, point.latency, point.between, point.per_hour) == (2, 1.0, 3.0, 720.0)
    assert point.total is point.share is point.mean is point.median is point.sd is point.longest is None
    nothing = measures([], 0, 10)
    assert (nothing.count, nothing.total, nothing.share, nothing.per_hour) == (0, 0.0, 0.0, 0.0)
    assert nothing.mean is nothing.latency is nothing.between is None
    assert measures([], 0, 0).share is None


def test_bouts_of_one_label_and_subject_that_overlap_are_one() -> None:
    bouts = [*bouts_of("a0-2 a1-5 b1-3 a5-6 a8-9"), Bout(label="a", start=0.5, end=3, score=1.0, subject="s")]
    assert [(each.label, each.subject, each.start, each.end) for each in joined_bouts(bouts)] == [
        ("a", None, 0, 5),
        ("a", "s", 0.5, 3),
        ("b", None, 1, 3),
        ("a", None, 5, 6),
        ("a", None, 8, 9),
    ]


def test_what_comes_next_and_what_follows_soon_by_hand() -> None:
    after = transitions([bouts_of("a0-1 b1-2 a6-7 c8-8"), bouts_of("b0-1"), []], "abc", within=2)
    assert after.counts.tolist() == [[0, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert after.probabilities.tolist() == [[0, 0.5, 0.5], [1, 0, 0], [0, 0, 0]]
    assert after.follows.tolist() == [[0, 0.5, 0.5], [0, 0, 0], [0, 0, 0]]


def test_a_spread_has_the_mean_of_what_is_known_and_an_interval_around_it() -> None:
    values = [1.0, 2.0, 4.0, None, 9.0]
    found = spread_of(values)
    assert (found.n, found.mean, found.sd) == (4, 4.0, pytest.approx(np.std([1, 2, 4, 9], ddof=1)))
    assert found.low is not None and found.high is not None
    assert 1 <= found.low < 4 < found.high <= 9
    assert spread_of(values) == found, "the same numbers every time"
    assert (spread_of([3.0]).n, spread_of([3.0]).mean, spread_of([3.0]).sd, spread_of([3.0]).low) == (1, 3.0, None, None)
    assert spread_of([None]).n == 0


@st.composite
def sequences(draw: st.DrawFn) -> list[Bout]:
    times = sorted(draw(st.lists(st.floats(0, 1000, allow_subnormal=False), min_size=2, max_size=40, unique=True)))
    return [
        Bout(label=draw(st.sampled_from("abc")), start=start, end=end, score=1.0)
        for start, end in list(pairwise(times))[:: draw(st.sampled_from([1, 2]))]
    ]


@given(sequences())
def test_measures_equal_those_of_pandas(bouts: list[Bout]) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"label": [each.label for each in bouts], "start": [each.start for each in bouts]})
    table["end"] = [each.end for each in bouts]
    table["seconds"] = table.end - table.start
    for label, own in table.groupby("label"):
        found = measures([each for each in bouts if each.label == label], 0, 1000)
        gaps = own.start.shift(-1) - own.end
        expected = {
            "count": len(own),
            "total": own.seconds.sum(),
            "share": own.seconds.sum() / 1000,
            "mean": own.seconds.mean(),
            "median": own.seconds.median(),
            "sd": own.seconds.std(),
            "longest": own.seconds.max(),
            "latency": own.start.min(),
            "per_hour": len(own) * 3.6,
            "between": gaps.mean(),
        }
        ours = {name: getattr(found, name) for name in expected}
        assert {name: np.nan if value is None else value for name, value in ours.items()} == pytest.approx(
            expected, abs=1e-9, rel=1e-9, nan_ok=True
        )
    follows = pandas.crosstab(table.label, table.label.shift(-1)) if len(table) > 1 else pandas.DataFrame()
    after = transitions([bouts], "abc", within=3)
    assert after.counts.tolist() == [
        [int(follows.loc[a, b]) if a in follows.index and b in follows else 0 for b in "abc"] for a in "abc"
    ]
