"""Timelines written for other tools say the same when they are read back."""

from __future__ import annotations

import json
import re
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gerund.core.types import Segment, Timeline, composed
from gerund.data.datasets import activitynet, boris, elan, per_frame
from gerund.timelines.boris_files import boris_project
from gerund.timelines.formats import TIMELINE_FORMATS, clock, csv_text
from gerund.timelines.observations import Bout, read_observations
from support.layouts import film

LABEL = st.text(st.characters(categories=("L", "N", "P", "Zs", "Sc")), min_size=1, max_size=12).map(
    lambda text: composed("a" + " ".join(text.split()))
)
"""Names of actions with any letters and signs, and single spaces, in the one form that clips keep (NFC)."""


@st.composite
def timelines(draw: st.DrawFn) -> list[Segment]:
    """Up to 6 segments in order, their times in whole milliseconds, of at least 2 (ELAN's points last one)."""
    times = sorted(draw(st.lists(st.integers(0, 5 * 10**6), min_size=2, max_size=12, unique=True)))
    pairs = zip(times[::2], times[1::2], strict=False)
    return [Segment(start=a / 500, end=b / 500, label=draw(LABEL), score=draw(st.floats(0, 1))) for a, b in pairs]


def spans(segments: list[Segment]) -> list[tuple[float, float, str]]:
    return [(segment.start, segment.end, segment.label) for segment in segments]


@pytest.mark.parametrize(
    ("name", "suffix", "reader"),
    [
        ("activitynet", ".json", activitynet),
        ("elan", ".eaf", elan),
        ("boris", ".tsv", boris),
        ("boris", ".csv", boris),
        ("boris", ".boris", boris),
    ],
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


def labelled_by_people(folder: Path) -> Timeline:
    """Two subjects that do things at once, one thing that nobody is named for, and points."""
    bouts = [
        Bout(start=0.5, end=2.0, label="eat", score=1.0, subject="Kim"),
        Bout(start=1.0, end=3.0, label="walk é", score=1.0, subject="Lou"),
        Bout(start=2.5, end=2.5, label="nod", score=1.0, subject="Kim"),
        Bout(start=4.0, end=5.0, label="eat", score=1.0),
    ]
    return Timeline(path=film(folder / "a.mp4", seconds=6), labels=["eat", "nod", "walk é"], segments=bouts, duration=6.0)


@pytest.mark.parametrize(("name", "suffix"), [("elan", ".eaf"), ("boris", ".tsv"), ("boris", ".csv"), ("boris", ".boris")])
def test_subjects_and_points_come_back_from_elan_and_boris(tmp_path: Path, name: str, suffix: str) -> None:
    shown, file = labelled_by_people(tmp_path), tmp_path / f"a{suffix}"
    file.write_text(TIMELINE_FORMATS[name].text(shown, file), encoding="utf-8")
    (found,) = read_observations(file)
    assert list(found.bouts) == list(shown.segments)


def test_labels_that_overlap_come_back_from_a_table_per_picture(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shown, file = labelled_by_people(tmp_path), tmp_path / "a_labels.csv"
    file.write_text(TIMELINE_FORMATS["per_frame"].text(shown, file), encoding="utf-8")
    lines = file.read_text(encoding="utf-8").splitlines()
    assert (lines[0], lines[1], lines[16], len(lines)) == (",background,eat,nod,walk é", "0,1,0,0,0", "15,0,1,0,1", 61)
    (found,) = read_observations(file)
    assert [(each.label, round(each.start, 3), round(each.end, 3)) for each in found.bouts] == [
        ("eat", 0.5, 2.0),
        ("walk é", 1.0, 3.0),
        ("nod", 2.5, 2.6),
        ("eat", 4.0, 5.0),
    ]
    err = capfd.readouterr().err
    assert "a table per picture holds no subjects; they are left out." in err
    assert "a table per picture holds no point events; each is a picture long." in err


@given(segments=timelines())
def test_probabilities_per_step_come_back_as_bouts(segments: list[Segment]) -> None:
    labels = list(dict.fromkeys(each.label for each in segments))
    pts = np.arange(0, 40, 0.5)
    scores = np.zeros((len(pts), len(labels)), np.float32)
    for each in segments:
        scores[(pts >= each.start / 300) & (pts < each.end / 300), labels.index(each.label)] = 0.9
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.mp4").write_bytes(b"x")
        file = Path(folder) / "a.csv"
        shown = Timeline(path=Path(folder) / "a.mp4", labels=labels, pts=pts, scores=scores, duration=40.0)
        file.write_text(TIMELINE_FORMATS["per_step"].text(shown, file), encoding="utf-8")
        if not scores.any():
            return
        found = per_frame.load(file)
    again = np.zeros_like(scores)
    for each in found:
        again[(pts >= each.start) & (pts < (each.end or 0) - 1e-6), labels.index(each.label or "")] = 0.9
    np.testing.assert_array_equal(again, scores)


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


def test_elan_offers_the_labels_and_sorts_by_score(tmp_path: Path) -> None:
    segments = [Segment(start=0, end=1, label="walk", score=0.9), Segment(start=1, end=2, label="eat & drink", score=0.0875)]
    shown = Timeline(path=tmp_path / "a.mp4", labels=["eat & drink", "sleep", "walk"], segments=segments, duration=3.0)
    document = ET.fromstring(TIMELINE_FORMATS["elan"].text(shown, tmp_path / "a.eaf"))
    entries = {each.get("CVE_ID"): each.findtext("CVE_VALUE") for each in document.iter("CV_ENTRY_ML")}
    assert list(entries.values()) == ["eat & drink", "sleep", "walk"]
    tiers = {each.get("TIER_ID"): each for each in document.iter("TIER")}
    actions = {each.get("ANNOTATION_ID"): each for each in tiers["action"].iter("ALIGNABLE_ANNOTATION")}
    assert [(entries[each.get("CVE_REF")], each.findtext("ANNOTATION_VALUE")) for each in actions.values()] == [
        ("walk", "walk"),
        ("eat & drink", "eat & drink"),
    ]
    assert tiers["score"].get("PARENT_REF") == "action"
    scores = {each.findtext("ANNOTATION_VALUE"): each.get("ANNOTATION_REF") for each in tiers["score"].iter("REF_ANNOTATION")}
    least_sure = scores[min(scores)]
    assert (sorted(scores), actions[least_sure].findtext("ANNOTATION_VALUE")) == (["0.087", "0.900"], "eat & drink")
    types = {each.get("LINGUISTIC_TYPE_ID"): each for each in document.iter("LINGUISTIC_TYPE")}
    assert {tier.get("LINGUISTIC_TYPE_REF") for tier in tiers.values()} == set(types)
    assert types["score"].get("CONSTRAINTS") in {each.get("STEREOTYPE") for each in document.iter("CONSTRAINT")}
    assert types["action"].get("CONTROLLED_VOCABULARY_REF") in {
        each.get("CV_ID") for each in document.iter("CONTROLLED_VOCABULARY")
    }


def test_labels_of_people_have_no_scores_in_elan(tmp_path: Path) -> None:
    assert "score@" not in TIMELINE_FORMATS["elan"].text(labelled_by_people(tmp_path), tmp_path / "a.eaf")


def test_a_project_of_boris_holds_all_videos(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first, second = labelled_by_people(tmp_path), labelled_by_people(tmp_path / "other")
    file = tmp_path / "all.boris"
    file.write_text(boris_project([first, second], file), encoding="utf-8")
    project = json.loads(file.read_text(encoding="utf-8"))
    assert [each["file"]["1"] for each in project["observations"].values()] == [["a.mp4"], ["other/a.mp4"]]
    kinds = {each["code"]: each["type"] for each in project["behaviors_conf"].values()}
    assert kinds == {"eat": "State event", "nod": "Point event", "walk é": "State event"}
    assert [each["name"] for each in project["subjects_conf"].values()] == ["Kim", "Lou"]
    assert [list(each.bouts) for each in read_observations(file)] == [list(first.segments), list(second.segments)]


def test_segments_of_one_label_that_overlap_are_one_state_in_boris(tmp_path: Path) -> None:
    bouts = [(0, 3), (2, 5), (5, 6), (7, 7)]
    segments = [Bout(start=start, end=end, label="eat", score=1.0) for start, end in bouts]
    shown = Timeline(path=film(tmp_path / "a.mp4", seconds=8), labels=["eat"], segments=segments, duration=8.0)
    file = tmp_path / "a.boris"
    file.write_text(boris_project([shown], file), encoding="utf-8")
    (found,) = read_observations(file)
    assert [(each.start, each.end) for each in found.bouts] == [(0, 5), (5, 6), (7, 7)]
