"""Which pictures a rate wants, and which packets must be decoded to see them: against a count by hand, for any stream."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gerund.video.rate import PACKET_REFERENCE, PACKET_UNUSED, PACKET_WANTED, at_rate, packet_needs

TICK = 0.005
RATES = (1, 2, 4, 5, 8, 10, 20, 25)
"""Frames per second whose instants are whole ticks."""
STAMPS = st.lists(st.integers(0, 600), min_size=1, max_size=60, unique=True).map(sorted)


@given(STAMPS, st.sampled_from(RATES), st.integers(1, 80))
def test_a_rate_keeps_what_is_on_screen_at_its_instants_once(stamps: list[int], fps: int, lasts: int) -> None:
    ends: list[float] = []
    timed = [(stamp * TICK, stamp) for stamp in stamps]
    kept = [item for _, item in at_rate(timed, fps, lasts=lambda _: lasts * TICK, ended=ends.append)]
    borders = [*stamps, stamps[-1] + lasts]
    instants = range(0, borders[-1], round(1 / fps / TICK))
    on_screen = [max(stamp for stamp in stamps if stamp <= instant) for instant in instants if instant >= stamps[0]]
    assert kept == (sorted(set(on_screen)) or stamps[-1:])
    assert np.allclose(ends, [borders[-1] * TICK])


@given(STAMPS)
def test_without_a_rate_everything_is_kept(stamps: list[int]) -> None:
    timed = [(stamp * TICK, stamp) for stamp in stamps]
    assert list(at_rate(timed, None)) == timed


@st.composite
def streams(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups of pictures in decoding order, each shuffled behind its key frame: pts, keys, and some pts that are wanted."""
    pts: list[int] = []
    keys: list[bool] = []
    for size in draw(st.lists(st.integers(1, 30), min_size=1, max_size=5)):
        first = len(pts)
        pts += [first, *draw(st.permutations(range(first + 1, first + size)))]
        keys += [True] + [False] * (size - 1)
    wanted = draw(st.sets(st.sampled_from(pts)))
    return np.array(pts), np.array(keys), np.array(sorted(wanted), dtype=np.int64)


@given(streams())
def test_every_wanted_packet_has_all_it_may_be_built_on(stream: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    pts, keys, wanted = stream
    needs = packet_needs(pts, keys, wanted)
    assert set(needs) <= {PACKET_UNUSED, PACKET_REFERENCE, PACKET_WANTED}
    assert sorted(pts[needs == PACKET_WANTED]) == wanted.tolist()
    for place in np.flatnonzero(needs == PACKET_WANTED):
        start = np.flatnonzero(keys[: place + 1])[-1]
        assert (needs[start : place + 1] != PACKET_UNUSED).all()
