"""`gerund agree` on two small records whose agreement is counted by hand; and what is said of records that do not fit."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

import gerund
from gerund.core.errors import DataError
from gerund.data.annotations import read_annotations
from gerund.timelines.agree import Offsets
from support.command import one_line, run


def record(path: Path, *rows: str, duration: float = 100, video: str = "a.mp4") -> Path:
    segments = [dict(zip(("label", "start", "end", "score"), (*row.split(), 1.0), strict=True)) for row in rows]
    for each in segments:
        each |= {"start": float(each["start"]), "end": float(each["end"])}
    path.write_text(json.dumps({"path": video, "duration": duration, "segments": segments}) + "\n")
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """80 s agree: 0-20 (eat), 24-50 (none) ...; 4 s at a border and two spans do not."""
    ada = record(tmp_path / "ada.json", "eat 0 20", "walk 50 70", "eat 80 90", "nod 95 95")
    ben = record(tmp_path / "ben.json", "eat 0 24", "walk 50 60", "nod 95.5 95.5", "run 60 70")
    return ada, ben


def test_agreement_by_hand(pair: tuple[Path, Path]) -> None:
    found = gerund.agree(*pair)
    assert found.labels == ["eat", "nod", "run", "walk"]
    assert (found.confusion * found.step).round(6).tolist() == [
        [20, 0, 0, 0, 10],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 10, 10, 0],
        [4, 0, 0, 0, 46],
    ]
    agreed, chance = 0.76, (30 * 24 + 20 * 10 + 50 * 56) / 100**2
    assert found.metrics["agreement"] == pytest.approx(agreed)
    assert found.metrics["kappa_steps"] == pytest.approx((agreed - chance) / (1 - chance))
    assert found.metrics["f1@50"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1)), "eat and walk fit, a run too many, an eat missed"
    assert found.bout_confusion.tolist() == [
        [1, 0, 0, 0, 1],
        [0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0],
    ]
    assert found.offsets == [
        Offsets(label="eat", pairs=1, start_mean=0, start_median_distance=0, end_mean=4, end_median_distance=4),
        Offsets(label="walk", pairs=1, start_mean=0, start_median_distance=0, end_mean=-10, end_median_distance=10),
    ]


def test_spans_that_differ_are_rows_and_can_be_labelled_again(pair: tuple[Path, Path], tmp_path: Path) -> None:
    code, out, _ = run("agree", *pair, "--csv", "--out", tmp_path / "again.csv", "--tolerance", 5)
    assert code == 0
    rows = [tuple(row.values())[2:] for row in csv.DictReader(io.StringIO(out))]
    assert rows == [("60.000", "70.000", "walk", "run"), ("80.000", "90.000", "eat", "(none)")]
    again = read_annotations(tmp_path / "again.csv")
    assert [(each.label, each.start, each.status, each.by) for each in again] == [
        ("walk", 60.0, "suggested", "ada.json"),
        ("run", 60.0, "suggested", "ben.json"),
        ("eat", 80.0, "suggested", "ada.json"),
        ("background", 80.0, "suggested", "ben.json"),
    ]


def test_the_command_says_it_in_words_and_values(pair: tuple[Path, Path]) -> None:
    code, out, err = run("agree", *pair)
    assert code == 0
    assert "ada.json and ben.json: 1 video, 0.03 h, in steps of 0.1 s" in out
    assert "time with the same label         76.00 %" in out
    assert "3 spans of 1 s or more with different labels, 24.0 s in all; the longest:" in out
    assert "Labels in ben.json only: run." in err
    values = json.loads(run("agree", *pair, "--json")[1])
    assert values["confusion_seconds"][0][0] == pytest.approx(20)
    assert len(values["disagreements"]) == 3


def test_a_record_agrees_with_itself(pair: tuple[Path, Path]) -> None:
    found = gerund.agree(pair[0], pair[0])
    assert found.metrics == dict.fromkeys(found.metrics, 1.0)
    assert found.disagreements == []


def test_subjects_are_compared_each_with_itself(tmp_path: Path) -> None:
    for name, other in (("a", "m2"), ("b", "m3")):
        rows = ["v.mp4,eat,0,4,m1", f"v.mp4,walk,0,10,{other}"]
        (tmp_path / f"{name}.csv").write_text("\n".join(["path,label,start,end,subject", *rows]))
    found = gerund.agree(tmp_path / "a.csv", tmp_path / "b.csv")
    assert [each.subject for each in found.compared] == ["m1", "m2", "m3"]
    assert [(each.subject, each.first, each.second) for each in found.disagreements] == [
        ("m2", "walk", "(none)"),
        ("m3", "(none)", "walk"),
    ]


def test_a_record_without_names_is_of_the_one_subject_of_the_other(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "named.csv").write_text("path,label,start,end,subject\nv.mp4,eat,0,4,m1\n")
    (tmp_path / "two.csv").write_text("path,label,start,end,subject\nv.mp4,eat,0,4,m1\nv.mp4,eat,5,9,m2\n")
    (tmp_path / "plain.csv").write_text("path,label,start,end\nv.mp4,eat,0,4\n")
    for pair in (("named", "plain"), ("plain", "named")):
        found = gerund.agree(*(tmp_path / f"{name}.csv" for name in pair))
        assert [(each.subject, found.metrics["agreement"]) for each in found.compared] == [("m1", 1.0)]
    assert "only one side names subjects" not in capfd.readouterr().err
    gerund.agree(tmp_path / "two.csv", tmp_path / "plain.csv")
    assert (
        "v.mp4: only one side names subjects, and several (m1, m2): its labels are compared with none" in capfd.readouterr().err
    )


def test_records_of_other_videos_and_lengths_are_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = record(tmp_path / "a.json", "eat 0 20", duration=100, video="x/v.mp4")
    second = record(tmp_path / "b.json", "eat 0 20", "eat 60 70", duration=50, video="y/v.mp4")
    second.write_text(second.read_text() + '{"path": "lone.mp4", "duration": 5, "segments": []}\n')
    found = gerund.agree(first, second)
    assert [each.duration for each in found.compared] == [50]
    assert found.metrics["agreement"] == 1.0
    err = capfd.readouterr().err
    assert "v.mp4: 100.0 s long on one side, 50.0 s on the other: compared up to the end of the shorter." in err
    assert "On one side only, and left out: " in err
    assert "lone.mp4" in err
    with pytest.raises(DataError, match=r"have no video in common \(.*v\.mp4; .*w\.mp4\)"):
        gerund.agree(first, record(tmp_path / "c.json", video="w.mp4"))


def test_no_bouts_on_either_side_is_no_failure(tmp_path: Path) -> None:
    for name in ("a", "b"):
        record(tmp_path / f"{name}.json")
    found = gerund.agree(tmp_path / "a.json", tmp_path / "b.json")
    assert found.metrics == {
        "agreement": 1.0,
        "kappa_steps": None,
        "kappa_bouts": None,
        "f1@10": None,
        "f1@25": None,
        "f1@50": None,
    }
    assert "-" in "".join(found.as_text())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--step", 0), "--step 0: a number of seconds above 0 is needed"),
        (("--step", 1e-7), "--step 1e-07: 1,000,000,000 steps are too many; take longer ones"),
        (("--tolerance", -1), "--tolerance -1: a number of seconds, 0 or more, is needed"),
    ],
)
def test_what_cannot_be_is_one_line(pair: tuple[Path, Path], options, words: str) -> None:
    code, _, err = run("agree", *pair, *options)
    assert code == 2
    assert words in one_line(err)
