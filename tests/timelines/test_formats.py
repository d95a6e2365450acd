"""Timelines written for other tools say the same when they are read back."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gerund.core.types import Segment, Timeline, composed
from gerund.data.datasets import activitynet, boris, elan
from gerund.timelines.formats import TIMELINE_FORMATS, clock, csv_text

LABEL = st.text(st.characters(categories=("L", "N", "P", "Zs", "Sc")), min_size=1, max_size=12).map(
    lambda text: composed("a" + " ".join(text.split()))
)
"""Names of actions with any letters and signs, and single spaces, in the one form that clips keep (NFC)."""


@st.composite
def timelines(draw: st.DrawFn) -> list[Segment]:
    """Up to 6 segments in order, their times in whole milliseconds."""
    times = sorted(draw(st.lists(st.integers(0, 10**7), min_size=2, max_size=12, unique=True)))
    pairs = zip(times[::2], times[1::2], strict=False)
    return [Segment(start=a / 1000, end=b / 1000, label=draw(LABEL), score=draw(st.floats(0, 1))) for a, b in pairs]


def spans(segments: list[Segment]) -> list[tuple[float, float, str]]:
    return [(segment.start, segment.end, segment.label) for segment in segments]


@pytest.mark.parametrize(
    ("name", "suffix", "reader"),
    [("activitynet", ".json", activitynet), ("elan", ".eaf", elan), ("boris", ".tsv", boris), ("boris", ".csv", boris)],
)
@given(segments=timelines())
def test_data_sets_read_back_what_was_written(name: str, suffix: str, reader, segments: list[Segment]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        video, file = Path(folder) / "a b.mp4", Path(folder) / f"a b{suffix}"
        video.touch()
        shown = Timeline(path=video, labels=["x"], segments=segments, duration=10_000.0)
        file.write_text(TIMELINE_FORMATS[name].text(shown, file), encoding="utf-8")
        found = sorted(reader.load(file), key=lambda clip: clip.start)
    assert [(clip.start, clip.end, clip.label) for clip in found] == spans(segments)


@pytest.mark.parametrize(("name", "point"), [("srt", ","), ("vtt", ".")])
@given(segments=timelines())
def test_subtitles_have_a_cue_for_each_segment(name: str, point: str, segments: list[Segment]) -> None:
    shown = Timeline(path=Path("a.mp4"), labels=["x"], segments=segments, duration=10_000.0)
    text = TIMELINE_FORMATS[name].text(shown, Path(f"a.{name}"))
    mark = re.escape(point)
    cues = re.findall(rf"^(\d\d+):(\d\d):(\d\d){mark}(\d\d\d) --> (\d\d+):(\d\d):(\d\d){mark}(\d\d\d)\n(.+)\n\n", text, re.M)
    assert [(of_clock(cue[:4]), of_clock(cue[4:8])) for cue in cues] == [(each.start, each.end) for each in segments]


def of_clock(parts: tuple[str, ...]) -> float:
    hours, minutes, seconds, thousandths = map(int, parts)
    return (((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths) / 1000


@given(st.floats(0, 1e6))
def test_a_clock_is_right_to_half_a_millisecond(seconds: float) -> None:
    hours, minutes, rest = clock(seconds, ".").split(":")
    assert 0 <= int(minutes) < 60
    assert 0 <= float(rest) < 60
    assert abs(int(hours) * 3600 + int(minutes) * 60 + float(rest) - seconds) <= 0.0005 + 1e-6


def test_a_timeline_says_itself_as_values_and_as_rows() -> None:
    shown = Timeline(
        path=Path("a.mp4"), labels=["x"], segments=[Segment(start=0.5, end=2, label="x, y", score=0.75)], duration=3.0
    )
    segment = {"start": 0.5, "end": 2, "label": "x, y", "score": 0.75}
    assert shown.as_json() == {"path": "a.mp4", "duration": 3.0, "segments": [segment], "error": None}
    assert csv_text(shown, shown.path) == 'path,start,end,label,score,error\r\na.mp4,0.500,2.000,"x, y",0.750000,\r\n'
    lost = Timeline(path=Path("b.mp4"), labels=["x"], error="b.mp4: gone")
    assert lost.as_rows() == [[Path("b.mp4"), None, None, None, None, "b.mp4: gone"]]
