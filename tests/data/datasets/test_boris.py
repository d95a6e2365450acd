"""Tables of BORIS: states and points, aggregated or not, offsets, several files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gerund.core.errors import DataError
from gerund.data.datasets import load_annotations, load_dataset
from support.layouts import (
    BORIS_COLUMNS,
    LONG,
    boris_row,
    make_boris,
    spans,
    touch,
    write,
)


def test_boris_states_are_paired_by_subject_and_points_get_a_second(tmp_path: Path) -> None:
    clips = load_dataset(make_boris(tmp_path))
    name = f"1 {LONG}"
    assert sorted(spans(clips)[:3], key=lambda row: row[2]) == [
        (name, "fressen é", 1.0, 3.0),
        (name, "fressen é", 1.5, 3.5),
        (name, "peck", 5.5, 6.5),
    ]


def test_boris_subjects_and_points_are_kept(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    rows = [boris_row("o", "p1", "eat", "START", 1.0, "a.mp4"), boris_row("o", "p1", "eat", "STOP", 3.0, "a.mp4")]
    rows += [boris_row("o", name, "peck", "POINT", 6.0, "a.mp4") for name in ("p2", "No focal subject", "")]
    write(tmp_path / "e.csv", BORIS_COLUMNS, *rows)
    found = load_annotations(f"boris:{tmp_path / 'e.csv'}")
    assert [(each.label, each.start, each.end, each.subject) for each in found] == [
        ("eat", 1.0, 3.0, "p1"),
        ("peck", 6.0, 6.0, "p2"),
        ("peck", 6.0, 6.0, None),
        ("peck", 6.0, 6.0, None),
    ]


def test_older_boris_tables_have_lines_above_the_header(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    write(
        tmp_path / "old.tsv",
        "Observation id\to1\t\t\t\t\t\t\t",
        "",
        "Player #1\ta.mp4",
        "Time offset (s)\t0.0",
        "",
        "Time\tMedia file path\tTotal length\tFPS\tSubject\tBehavior\tBehavioral category\tComment\tStatus",
        "3.300\t/elsewhere/a.mp4\t60\t25\ts1\teat\t\t\tSTART",
        "7.750\t/elsewhere/a.mp4\t60\t25\ts1\teat\t\t\tSTOP",
    )
    assert spans(load_dataset(f"boris:{tmp_path}")) == [("a.mp4", "eat", 3.3, 7.75)]


def test_aggregated_boris_tables_hold_starts_and_stops(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    write(
        tmp_path / "aggregated.csv",
        "Observation id,Media file,FPS,Subject,Behavior,Behavior type,Start (s),Stop (s),Duration (s)",
        "o1,a.mp4,25,s,eat,STATE,1.800,8.125,6.325",
        "o1,a.mp4,25,s,peck,POINT,32.825,32.825,NA",
    )
    clips = load_dataset(f"boris:{tmp_path / 'aggregated.csv'}")
    assert spans(clips) == [("a.mp4", "eat", 1.8, 8.125), ("a.mp4", "peck", pytest.approx(32.325), pytest.approx(33.325))]


TODAY = (
    "Observation id,Observation date,Description,Observation duration,Observation type,Source,Time offset (s),Media duration (s),FPS,"
    "Subject,Behavior,Behavioral category,Modifier #1,Behavior type,Time,Media file name,Image index,Image file path,Comment"
)
"""The columns of BORIS 8 and 9."""


def boris_today(path: Path, *events: str, offset: str = "0", source: str = "player #1:a.mp4", durations: str = "10.000") -> str:
    """A table in today's columns; an event is `behaviour kind time file`."""
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        touch(path / name)
    rows = []
    for event in events:
        behaviour, kind, time, file = event.split(" ", 3)
        start = f'o,2024-01-02 10:00:00,,20,Media file(s),"{source}",{offset},{durations},25.000'
        rows.append(f'{start},s,{behaviour},,,{kind},{time},{file},0,NA,"one\ntwo, ""three"""')
    write(path / "e.csv", TODAY, *rows, bom=False)
    return f"boris:{path / 'e.csv'}"


@pytest.mark.parametrize(("offset", "shift"), [("4.0", 4), ("3600", 3600), ("-2.5", -2.5), ("0", 0), ("", 0)])
def test_the_time_offset_of_a_boris_observation_is_taken_off(tmp_path: Path, offset: str, shift: float) -> None:
    times = (2 + shift, 5 + shift, 6 + shift)
    data = boris_today(
        tmp_path,
        *(f"{event} {time} a.mp4" for event, time in zip(("walk START", "walk STOP", "nod POINT"), times, strict=True)),
        offset=offset,
    )
    assert spans(load_dataset(data)) == [("a.mp4", "walk", 2.0, 5.0), ("a.mp4", "nod", 5.5, 6.5)]


def test_the_time_offset_is_taken_off_aggregated_and_older_boris_tables_too(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    columns = "Observation id,Source,Time offset (s),Media duration (s),Subject,Behavior,Behavior type,Start (s),Stop (s),Media file name"
    rows = ("o,player #1:a.mp4,-1.5,10,s,eat,STATE,0.500,2.000,a.mp4", "o,player #1:a.mp4,-1.5,10,s,peck,POINT,1.000,1.000,a.mp4")
    write(tmp_path / "1" / "new.csv", columns, *rows)
    above = ("Observation id\to1", "", "Player #1\t/x/a.mp4", "Time offset (s)\t3.5", "")
    header = "Time\tMedia file path\tTotal length\tFPS\tSubject\tBehavior\tStatus"
    events = ("5.500\t/x/a.mp4\t60\t25\ts\teat\tSTART", "7.000\tNot found\t60\t25\ts\teat\tSTOP")
    write(tmp_path / "2" / "old.tsv", *above, header, *events)
    for folder in ("1", "2"):
        touch(tmp_path / folder / "a.mp4")
        assert spans(load_dataset(f"boris:{tmp_path / folder}"))[0] == ("a.mp4", "eat", 2.0, 3.5)
    assert spans(load_dataset(f"boris:{tmp_path / '1'}"))[1] == ("a.mp4", "peck", 2.0, 3.0)


@pytest.mark.parametrize("name", ["Not found", "NA", ""])
@pytest.mark.parametrize("source", ["player #1:a.mp4", "player #1: a.mp4|player #2:c.mp4", "a.mp4"])
def test_a_boris_event_without_its_file_is_in_the_one_of_its_source(tmp_path: Path, name: str, source: str) -> None:
    data = boris_today(tmp_path, f"walk START 0.0 {name}", "walk STOP 2.0 a.mp4", source=source)
    assert spans(load_dataset(data)) == [("a.mp4", "walk", 0.0, 2.0)]


def test_a_boris_observation_over_several_files_is_parted_by_their_lengths(tmp_path: Path) -> None:
    events = (
        "walk START 3 a.mp4",
        "walk STOP 14 a.mp4",
        "nod POINT 11 a.mp4",
        "sit START 31 b.mp4",
        "sit STOP 35 b.mp4",
        "nod POINT 12 b.mp4",
    )
    parts = {"source": "player #1:a.mp4;b.mp4;c.mp4|player #2:d.mp4", "durations": "10.000;18.500;30.000|60.000", "offset": "2"}
    assert sorted(spans(load_dataset(boris_today(tmp_path, *events, **parts)))) == [
        ("a.mp4", "nod", 8.5, 9.5),
        ("a.mp4", "walk", 1.0, 10.0),
        ("b.mp4", "nod", 0.0, 1.0),
        ("b.mp4", "walk", 0.0, 2.0),
        ("c.mp4", "sit", 0.5, 4.5),
    ]
    with pytest.raises(
        DataError, match=r"e\.csv:2: one observation over two files \(a\.mp4, b\.mp4\), .* no column 'Media duration"
    ):
        load_dataset(boris_today(tmp_path, *events, source="player #1:a.mp4;b.mp4", durations="NA"))


def test_a_boris_event_before_its_video_is_refused_with_its_line(tmp_path: Path) -> None:
    data = boris_today(tmp_path, "nod POINT 6 a.mp4", "nod POINT 3 a.mp4", offset="4")
    with pytest.raises(DataError, match=r"e\.csv:4: the event lies 1 s before the start of its video \(its time offset is 4 s\)"):
        load_dataset(data)


def project(folder: Path, **changes: object) -> Path:
    """Two observations with videos, one of them over two files and with an offset of ten seconds, and one that was made live."""
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        touch(folder / name)
    values = {
        "project_format_version": "7.0",
        "behaviors_conf": {
            "0": {"type": "State event", "code": "eat"},
            "1": {"type": "Point event with coding map", "code": "peck"},
        },
        "subjects_conf": {"0": {"name": "p1"}},
        "observations": {
            "day 1": {
                "type": "MEDIA",
                "file": {"1": ["a.mp4"], "2": ["from above.mp4"], "3": []},
                "time offset": 0.0,
                "media_info": {"length": {"a.mp4": 60.0}},
                "events": [
                    [3.0, "p1", "eat", "None", "", 75],
                    [1.0, "p1", "eat", "None", "", 25],
                    [2.0, "", "peck", "fast", "", 50],
                ],
            },
            "day 2": {
                "type": "MEDIA",
                "file": {"1": ["b.mp4", "/elsewhere/c.mp4"]},
                "time offset": 10.0,
                "media_info": {"length": {"b.mp4": 20.0, "/elsewhere/c.mp4": 20.0}},
                "events": [
                    [15.0, "p1", "eat", "", ""],
                    [16.0, "p2", "eat", "", ""],
                    [28.0, "p1", "eat", "", ""],
                    [33.0, "p2", "eat", "", ""],
                ],
            },
            "field": {"type": "LIVE", "file": {}, "time offset": 0, "events": [[1.0, "", "peck", "", ""]]},
        },
    }
    path = folder / "mice.boris"
    path.write_text(json.dumps(values | changes), encoding="utf-8")
    return path


def test_a_project_is_read_with_all_its_observations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = load_annotations(str(project(tmp_path)))
    assert [(each.path.name, each.label, each.start, each.end, each.subject) for each in found] == [
        ("a.mp4", "peck", 2.0, 2.0, None),
        ("a.mp4", "eat", 1.0, 3.0, "p1"),
        ("b.mp4", "eat", 5.0, 18.0, "p1"),
        ("b.mp4", "eat", 6.0, 20.0, "p2"),
        ("c.mp4", "eat", 0.0, 3.0, "p2"),
    ]
    said = capsys.readouterr().err
    assert "1 observation without videos (field) left out" in said
    assert "1 observation with several players; the videos of the first are taken" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"behaviors_conf": {}}, r"observation 'day 1': event 1: 'eat' is not in the ethogram"),
        ({"behaviors_conf": []}, r"'behaviors_conf' is '\[\]', not"),
        ({"observations": {"x": {"type": "MEDIA", "file": {"1": []}, "events": []}}}, "no video in the first player"),
        (
            {"observations": {"x": {"type": "MEDIA", "file": {"1": ["a.mp4"]}, "events": [[1.0, "p", "eat", ""]]}}},
            "starts but never stops",
        ),
        ({"observations": {"x": {"type": "MEDIA", "file": {"1": ["a.mp4"]}, "events": [["soon", "p", "eat", ""]]}}}, "'soon'"),
        ({"observations": {"x": {"type": "MEDIA", "file": {"1": ["a.mp4"]}, "events": [[1.0, "p"]]}}}, "is not an event"),
        ({"observations": {"x": {"file": {}}}}, "field 'type' is missing"),
    ],
)
def test_a_project_that_cannot_be_read_is_one_line(tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        load_annotations(str(project(tmp_path, **changes)))
    assert "\n" not in str(caught.value)
