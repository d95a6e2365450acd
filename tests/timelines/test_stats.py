"""`gerund stats`: rows, groups, bins and lines of a small set of videos that is counted by hand."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

import gerund
from gerund.core.errors import DataError, UsageError
from gerund.timelines.measures import MEASURES
from support.command import one_line, run


def timeline_line(path: str, duration: float, *segments: tuple[str, float, float], error: str | None = None) -> str:
    rows = [{"start": a, "end": b, "label": label, "score": 0.9} for label, a, b in segments]
    return json.dumps({"path": path, "duration": duration, "segments": rows, "error": error})


@pytest.fixture
def written(tmp_path: Path) -> Path:
    lines = [
        timeline_line("a.mp4", 100, ("eat", 10, 20), ("walk", 20, 50), ("eat", 60, 65)),
        timeline_line("b.mp4", 50, ("walk", 0, 50)),
        timeline_line("c.mp4", 50, ("eat", 5, 15)),
    ]
    (tmp_path / "t.json").write_text("\n".join(lines))
    (tmp_path / "videos.csv").write_text(
        "path;treatment;age\nx/a.mp4;drug;3\nb.mp4;control;4\nc.mp4;control;\nother.mp4;drug;1\n"
    )
    return tmp_path / "t.json"


def test_every_video_and_label_has_a_row(written: Path) -> None:
    rows = list(gerund.stats(written).as_rows())
    assert [(row[0].name, row[3], row[4], *row[5:9]) for row in rows] == [
        ("a.mp4", "eat", "state", 0.0, 100.0, 2, 15.0),
        ("a.mp4", "walk", "state", 0.0, 100.0, 1, 30.0),
        ("b.mp4", "eat", "state", 0.0, 50.0, 0, 0.0),
        ("b.mp4", "walk", "state", 0.0, 50.0, 1, 50.0),
        ("c.mp4", "eat", "state", 0.0, 50.0, 1, 10.0),
        ("c.mp4", "walk", "state", 0.0, 50.0, 0, 0.0),
    ]


def test_the_command_prints_a_table_json_and_csv(written: Path) -> None:
    code, out, err = run("stats", written)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "3 videos, 0.06 h"
    assert out.splitlines()[2].split() == "eat 2 3 25.00 12.5 % 8.33 10.00 7.50 54.00".split()
    assert "what comes next: times (and share of the row)" in out
    code, out, _ = run("stats", written, "--csv")
    table = list(csv.DictReader(io.StringIO(out)))
    assert table[0].keys() == {"path", "group", "subject", "label", "kind", "begin", "end", *MEASURES}
    assert (table[0]["between"], table[1]["between"]) == ("40.0", "")
    values = json.loads(run("stats", written, "--json", "--within", 0)[1])
    assert values["transitions"]["labels"] == ["eat", "walk"]
    assert values["transitions"]["counts"] == [[0, 1], [1, 0]]
    assert values["transitions"]["follows"] == [[0, pytest.approx(1 / 3)], [0, 0]]


def test_time_bins_cut_durations_and_count_where_bouts_begin(written: Path) -> None:
    rows = [row for row in gerund.stats(written, bin=40).rows if (row.path.name, row.label) == ("a.mp4", "walk")]
    assert [(row.begin, row.end, row.measures.count, row.measures.total) for row in rows] == [
        (0, 40, 1, 20.0),
        (40, 80, 0, 10.0),
        (80, 100, 0, 0.0),
    ]


def test_groups_are_compared_over_their_videos(written: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = gerund.stats(written, by="treatment", videos=written.with_name("videos.csv"))
    totals = {(row.group, row.label): row.spread for row in found.groups if row.measure == "total"}
    assert (totals["control", "walk"].mean, totals["control", "walk"].n) == (25.0, 2)
    assert (totals["control", "walk"].low, totals["control", "walk"].high) == (0.0, 50.0)
    assert (totals["drug", "eat"].mean, totals["drug", "eat"].sd, totals["drug", "eat"].low) == (15.0, None, None)
    assert "Groups of one video, without SD and interval: drug." in capfd.readouterr().err
    latency = {(row.group, row.label): row.spread for row in found.groups if row.measure == "latency"}
    assert (latency["control", "eat"].n, latency["control", "eat"].mean) == (1, 5.0), "a video without the label has none"
    lines = list(found.as_text())
    assert any(line.split()[:6] == ["eat", "control", "count", "2", "0.50", "0.71"] for line in lines)
    gerund.stats(written, by="age", videos=written.with_name("videos.csv"))
    assert "1 of 3 videos have nothing in the column 'age' (first" in capfd.readouterr().err


def test_subjects_have_numbers_of_their_own_and_points_no_durations(tmp_path: Path) -> None:
    rows = ["a.mp4,eat,0,4,m1", "a.mp4,eat,2,8,m2", "a.mp4,peck,5,5,m1"]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,start,end,subject", *rows]))
    found = gerund.stats(tmp_path / "labels.csv", by="subject")
    counted = [(row.subject, row.label, row.kind, row.measures.count, row.measures.total) for row in found.rows]
    assert counted == [
        ("m1", "eat", "state", 1, 4.0),
        ("m1", "peck", "point", 1, None),
        ("m2", "eat", "state", 1, 6.0),
        ("m2", "peck", "point", 0, None),
    ]
    assert {row.group for row in found.groups} == {"m1", "m2"}
    assert found.transitions.counts.tolist() == [[0, 1], [0, 0]], "of one subject at a time"


def test_a_video_that_could_not_be_read_is_told_and_the_rest_counted(written: Path) -> None:
    written.write_text(written.read_text() + "\n" + timeline_line("d.mp4", 0, error="d.mp4: not readable as video"))
    code, out, _ = run("stats", written)
    assert code == 3
    assert out.splitlines()[0].startswith("3 videos")
    assert out.splitlines()[-1] == "not counted: d.mp4: not readable as video"


def test_no_bouts_at_all_is_a_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.json").write_text(timeline_line("a.mp4", 10))
    assert list(gerund.stats(tmp_path / "t.json").as_rows()) == []
    assert "No bouts at all: every number is 0." in capfd.readouterr().err


def test_points_among_bouts_of_a_label_are_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.json").write_text(timeline_line("a.mp4", 10, ("x", 1, 1), ("x", 2, 4)))
    (row,) = gerund.stats(tmp_path / "t.json").rows
    assert (row.kind, row.measures.count, row.measures.mean) == ("state", 2, 1.0)
    assert "'x' has 1 point events among its bouts: they count as bouts of 0 s." in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--bin", 0), "--bin 0: a number of seconds above 0 is needed"),
        (("--bin", 0.001), "--bin 0.001: more than 10,000 bins in 100 s; take longer ones"),
        (("--within", -1), "--within -1: a number of seconds, 0 or more, is needed"),
        (("--by", "treatment"), "--by treatment: no such column (there is none); --videos TABLE.csv brings your own"),
        (("--by", "subject"), "--by subject: no span names a subject"),
        (("--videos", "videos.csv"), "--videos videos.csv: say with --by which of its columns makes the groups"),
        (("--by", "sex", "--videos", "videos.csv"), "--by sex: no such column (age, treatment); --videos TABLE.csv brings"),
    ],
)
def test_what_cannot_be_is_one_line(written: Path, options, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(written.parent)
    code, _, err = run("stats", written, *options)
    assert code == 2
    assert words in one_line(err)


def test_tables_of_videos_that_do_not_fit_are_named(written: Path) -> None:
    table = written.with_name("videos.csv")
    table.write_text("file,treatment\na.mp4,drug\n")
    with pytest.raises(DataError, match=r"videos\.csv:1: no column 'path' \(found: file, treatment\)"):
        gerund.stats(written, by="treatment", videos=table)
    table.write_text("path,treatment\nz.mp4,drug\n")
    with pytest.raises(DataError, match=r"videos\.csv: none of its rows names one of the videos \(first .*a\.mp4\)"):
        gerund.stats(written, by="treatment", videos=table)
    with pytest.raises(UsageError, match="nothing is given: name a model and videos"):
        gerund.stats()
