"""Where bouts come from: printed timelines, annotation files, manifests; how long videos are; what is said of odd ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gerund.core.errors import DataError, UsageError
from gerund.core.types import Segment, Timeline
from gerund.timelines.formats import TIMELINE_FORMATS, csv_text
from gerund.timelines.observations import Observation, observe, read_observations
from support.layouts import BORIS_COLUMNS, boris_row, film, make_elan, write


def spans_of(found: Observation) -> list[tuple[str, float, float, str | None]]:
    return [(bout.label, bout.start, bout.end, bout.subject) for bout in found.bouts]


@pytest.fixture
def shown(tmp_path: Path) -> Timeline:
    segments = [Segment(start=0.5, end=2, label="eat", score=0.75), Segment(start=2, end=4.25, label="walk", score=0.5)]
    return Timeline(path=film(tmp_path / "a.mp4", seconds=6), labels=["eat", "walk"], segments=segments, duration=6.0)


def test_printed_timelines_are_read_back(tmp_path: Path, shown: Timeline) -> None:
    lost = Timeline(path=tmp_path / "b.mp4", labels=[], error="b.mp4: gone")
    (tmp_path / "t.json").write_text("".join(f"{json.dumps(each.as_json())}\n" for each in (shown, lost)))
    (tmp_path / "t.csv").write_text(csv_text(shown, shown.path) + f"{lost.path},,,,,b.mp4: gone\n")
    for name in ("t.json", "t.csv"):
        first, second = read_observations(tmp_path / name)
        assert (first.path, first.duration, first.error) == (shown.path, 6.0, None)
        assert spans_of(first) == [("eat", 0.5, 2, None), ("walk", 2, 4.25, None)]
        assert [bout.score for bout in first.bouts] == [0.75, 0.5]
        assert (second.path, second.error) == (lost.path, "b.mp4: gone")


@pytest.mark.parametrize(("name", "suffix"), [("elan", ".eaf"), ("boris", ".tsv"), ("boris", ".csv"), ("activitynet", ".json")])
def test_files_of_other_tools_are_known_by_what_is_in_them(tmp_path: Path, shown: Timeline, name: str, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    file.write_text(TIMELINE_FORMATS[name].text(shown, file), encoding="utf-8")
    (found,) = observe([file])
    assert (found.path, found.duration) == (shown.path, 6.0)
    assert spans_of(found) == [("eat", 0.5, 2, None), ("walk", 2, 4.25, None)]


def test_people_label_subjects_points_and_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    film(tmp_path / "a.mp4", seconds=6)
    rows = ["a.mp4,eat,1,3,m1,confirmed,g", "a.mp4,eat,2,4,m1,,g", "a.mp4,eat,2,4,m2,,g", "a.mp4,peck,5,5,m2,,g"]
    rows += ["a.mp4,background,4,6,,,g", "a.mp4,eat,0,6,m1,suggested,g", "b.mp4,,,,,,"]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,start,end,subject,status,group", *rows[:-1]]))
    (found,) = observe([tmp_path / "labels.csv"])
    assert spans_of(found) == [("eat", 1, 4, "m1"), ("eat", 2, 4, "m2"), ("peck", 5, 5, "m2")]
    assert found.subjects == ["m1", "m2"]
    assert found.traits == {"group": "g"}
    assert "5 confirmed spans are used; left out: 1 suggested." in capfd.readouterr().err
    (tmp_path / "labels.csv").write_text("path,label\nb.mp4,\n")
    with pytest.raises(DataError, match=r"b\.mp4: no label; numbers need one for every span"):
        observe([tmp_path / "labels.csv"])


def test_what_lies_beyond_the_end_is_left_out_with_a_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    film(tmp_path / "a.mp4", seconds=6)
    (tmp_path / "labels.csv").write_text("path,label,start,end\na.mp4,x,1,\na.mp4,y,5,9\na.mp4,z,8,9\n")
    (found,) = observe([tmp_path / "labels.csv"])
    assert spans_of(found) == [("x", 1, 6.0, None), ("y", 5, 6.0, None)]
    assert "a.mp4: 1 labelled spans begin after its end, 6.00 s (first at 8.00 s): left out." in capfd.readouterr().err


def test_a_video_that_is_not_there_ends_with_its_last_label(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "labels.csv").write_text("path,label,start,end\ngone.mp4,x,1,2\ngone.mp4,y,3,7.5\n")
    (found,) = observe([tmp_path / "labels.csv"])
    assert found.duration == 7.5
    assert "1 of 1 videos cannot tell how long they are (first" in capfd.readouterr().err


def test_a_video_in_two_files_is_refused(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", seconds=6)
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text("path,label,start,end\na.mp4,x,1,2\n")
    with pytest.raises(DataError, match=r"a\.mp4: stands in .*one\.csv and in .*two\.csv; give one of them, or compare"):
        observe([tmp_path / "one.csv", tmp_path / "two.csv"])
    with pytest.raises(UsageError, match="nothing is given: name a model and videos, or files with labels"):
        observe([])


def test_boris_and_elan_are_read_without_being_named(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", seconds=9)
    rows = [boris_row("o", "p1", "eat", "START", 1.0, "a.mp4"), boris_row("o", "p1", "eat", "STOP", 3.0, "a.mp4")]
    write(tmp_path / "e.csv", BORIS_COLUMNS, *rows, boris_row("o", "p2", "peck", "POINT", 6.0, "a.mp4"))
    (found,) = observe([tmp_path / "e.csv"])
    assert spans_of(found) == [("eat", 1.0, 3.0, "p1"), ("peck", 6.0, 6.0, "p2")]
    make_elan(tmp_path)
    assert len(observe(sorted(tmp_path.glob("*.eaf")))) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"segments": [{"start": 0}], "path": "a.mp4"}', r"t\.json:1: not a line that timeline --json prints"),
        ('{"segments": [], \n', r"t\.json:1: not a line that timeline --json prints"),
        (
            '{"path": "a", "segments": [{"start": "x", "end": 1, "label": "l", "score": 1}]}',
            r"t\.json:1: 'start': 'x' is not a number",
        ),
        ('{"path": "a", "segments": [{"start": 0, "end": 1, "label": 3, "score": 1}]}', r"t\.json:1: the label is 3, not a name"),
    ],
)
def test_broken_timelines_are_named_with_their_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(DataError, match=words):
        observe([tmp_path / "t.json"])


def test_a_manifest_without_paths_is_told_so_and_taken_for_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,label,start,end\na.mp4,x,0,1\n")
    with pytest.raises(DataError, match=r"t\.csv:1: no column 'path' \(found: file, label, start, end\)"):
        observe([tmp_path / "t.csv"])


def test_a_printed_table_without_a_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,start,label,score\na.mp4,0,x,1\n")
    with pytest.raises(DataError, match=r"t\.csv:1: no column 'end' \(found: path, start, label, score\)"):
        observe([tmp_path / "t.csv"])
