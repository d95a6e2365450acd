"""`gerund cut`: files by label that can be trained on, names that never collide, reels, grids, and lists for editors."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import gerund
from gerund import video
from gerund.core.errors import DataError
from gerund.data.annotations import read_annotations
from gerund.data.datasets import load_dataset
from gerund.timelines.observations import read_observations
from gerund.video.header import picture_span, probe
from support.command import one_line, run

DARK, BRIGHT = 40, 200


def filmed(path: Path, seconds: float = 4) -> Path:
    """The first half dark, the second bright."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = round(seconds * 25)
    video.write(path, (np.full((48, 64, 3), DARK if index < count / 2 else BRIGHT, np.uint8) for index in range(count)), fps=25)
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Six videos with a dark and a bright span each, a point in the first."""
    rows = ["path,label,start,end,subject"]
    for number in range(6):
        filmed(tmp_path / f"v{number}.mp4")
        rows += [f"v{number}.mp4,dark: low,0.2,1.8,m1", f"v{number}.mp4,bright,2.2,3.8,"]
    (tmp_path / "labels.csv").write_text("\n".join([*rows, "v0.mp4,peck,3,3,"]))
    return tmp_path / "labels.csv"


def level(path: Path) -> tuple[float, float]:
    frames = [frame for block in video.read(path) for frame in block.data]
    return float(frames[0].mean()), float(frames[-1].mean())


def test_what_is_cut_can_be_trained_on_with_the_same_labels_and_counts(labels: Path, tmp_path: Path) -> None:
    code, out, err = run("cut", labels, "--labels", "bright", "--labels", "dark: low", "--out", tmp_path / "cuts")
    assert code == 0, err
    assert [line.split() for line in out.splitlines()[1:]] == [["bright", "6", "9.6"], ["dark:", "low", "6", "9.6"]]
    made = read_annotations(tmp_path / "cuts" / "clips.csv")
    assert Counter(each.label for each in made) == {"dark: low": 6, "bright": 6}
    assert {each.group for each in made if "v3" in each.path.name} == {f"{tmp_path.name}/v3.mp4"}, "cuts of a video stay together"
    assert {each.subject for each in made} == {"m1", None}
    for each in made:
        assert level(each.path) == pytest.approx((DARK, DARK) if each.label == "dark: low" else (BRIGHT, BRIGHT), abs=4)
        assert picture_span(each.path)[1] == pytest.approx(1.6, abs=2e-3)
    assert Counter(clip.label for clip in load_dataset(tmp_path / "cuts")) == {"dark_ low": 6, "bright": 6}
    trained = gerund.train(tmp_path / "cuts" / "clips.csv", backbone="pixels:8", out=tmp_path / "run", cache=tmp_path / "cache")
    assert next(iter(gerund.predict(trained.model, made[0].path, cache=tmp_path / "cache"))).label == made[0].label


def test_names_never_collide_and_nothing_is_overwritten(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        filmed(tmp_path / folder / "x.mp4")
    (tmp_path / "labels.csv").write_text("path,label,start,end\na/x.mp4,go,0,1\nb/x.mp4,go,0,1\nb/x.mp4,GO,0,1\n")
    first = gerund.cut(tmp_path / "labels.csv", out=tmp_path / "cuts")
    assert [str(each.file.relative_to(tmp_path / "cuts")) for each in first.cuts] == [
        "go/x_0.000-1.000.mp4",
        "go/x_0.000-1.000-2.mp4",
        "GO/x_0.000-1.000-3.mp4",
    ]
    before = {each.file: each.file.stat().st_mtime_ns for each in first.cuts}
    (tmp_path / "labels.csv").write_text("path,label,start,end\nb/x.mp4,go,0,1\na/x.mp4,go,0,1\na/x.mp4,go,0,1.5\n")
    again = gerund.cut(tmp_path / "labels.csv", out=tmp_path / "cuts")
    assert [each.file.name for each in again.cuts] == ["x_0.000-1.000-2.mp4", "x_0.000-1.500.mp4"], "overlapping bouts are one"
    assert again.kept == 1
    assert {file: file.stat().st_mtime_ns for file in before} == before
    stranger = tmp_path / "cuts" / "go" / "x_2.000-3.000.mp4"
    stranger.write_text("somebody else's")
    (tmp_path / "labels.csv").write_text("path,label,start,end\na/x.mp4,go,2,3\n")
    (last,) = gerund.cut(tmp_path / "labels.csv", out=tmp_path / "cuts").cuts
    assert (last.file.name, stranger.read_text()) == ("x_2.000-3.000-2.mp4", "somebody else's")


def test_padding_stays_within_the_video_and_scores_choose(tmp_path: Path) -> None:
    filmed(tmp_path / "a.mp4")
    segments = [("go", 0.2, 1.0, 0.9), ("go", 3.0, 3.9, 0.4), ("stop", 1.5, 2.0, 0.8)]
    rows = [dict(zip(("label", "start", "end", "score"), each, strict=True)) for each in segments]
    (tmp_path / "t.json").write_text(json.dumps({"path": "a.mp4", "duration": 4.0, "segments": rows}))
    found = gerund.cut(tmp_path / "t.json", out=tmp_path / "cuts", padding=0.5, above=0.5)
    assert [(each.label, each.start, each.end) for each in found.cuts] == [("go", 0.0, 1.5), ("stop", 1.0, 2.5)]
    with pytest.raises(DataError, match=r"no bouts to cut with a score of 0\.95 or more"):
        gerund.cut(tmp_path / "t.json", out=tmp_path / "cuts", above=0.95)


def test_a_point_is_cut_with_the_second_around_it(labels: Path, tmp_path: Path) -> None:
    (point,) = gerund.cut(labels, out=tmp_path / "cuts", labels=["peck"]).cuts
    assert (point.start, point.end) == (2.5, 3.5)


def test_a_copy_tells_its_shift(labels: Path, tmp_path: Path) -> None:
    code, out, _ = run("cut", labels, "--copy", "--labels", "bright", "--out", tmp_path / "cuts")
    assert code == 0
    assert "copied at key frames: they begin up to" in out
    (first, *_) = gerund.cut(labels, out=tmp_path / "more", copy=True, labels=["bright"]).cuts
    assert first.early > 0
    assert picture_span(first.file)[1] == pytest.approx(first.end - first.start + first.early + first.late, abs=0.02)


def test_a_video_that_cannot_be_read_costs_its_own_cuts(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "v2.mp4").write_bytes(b"no video")
    code, out, _ = run("cut", labels, "--labels", "bright", "--out", tmp_path / "cuts")
    assert code == 3
    assert "not cut: " in out
    assert "v2.mp4" in out
    assert len(read_annotations(tmp_path / "cuts" / "clips.csv")) == 5


def test_a_reel_holds_all_bouts_of_a_label_one_after_the_other(labels: Path, tmp_path: Path) -> None:
    found = gerund.cut(labels, out=tmp_path / "films", reel=True, grid=True, labels=["bright"])
    reel, grid = found.others
    assert (reel.parent.name, grid.parent.name, reel.name) == ("reels", "grids", "bright.mp4")
    assert picture_span(reel)[1] == pytest.approx(6 * 1.6, abs=0.01)
    assert level(reel) == pytest.approx((BRIGHT, BRIGHT), abs=4)
    assert (probe(grid).width, probe(grid).height) == (3 * 240, 2 * (180 + 18))
    assert picture_span(grid)[1] == pytest.approx(1.6, abs=0.05)
    with pytest.raises(DataError, match=r"bright\.mp4: exists, and nothing is overwritten; choose another folder"):
        gerund.cut(labels, out=tmp_path / "films", reel=True, labels=["bright"])


def test_lists_for_editors_hold_the_spans(tmp_path: Path) -> None:
    filmed(tmp_path / "a b.mp4")
    (tmp_path / "l.csv").write_text('path,label,start,end\na b.mp4,go,0.5,1.5\na b.mp4,"stop, now",2,3.04\n')
    places = {"losslesscut": "a.llc", "edl": "a.edl", "cut_list": "a-cuts.csv"}
    gerund.cut(tmp_path / "l.csv", **{name: tmp_path / place for name, place in places.items()})
    assert json.loads((tmp_path / "a.llc").read_text()) == {
        "version": 1,
        "mediaFileName": "a b.mp4",
        "cutSegments": [{"start": 0.5, "end": 1.5, "name": "go"}, {"start": 2, "end": 3.04, "name": "stop, now"}],
    }
    assert (tmp_path / "a-cuts.csv").read_text() == '0.500,1.500,go\n2.000,3.040,"stop, now"\n'
    lines = (tmp_path / "a.edl").read_text().splitlines()
    assert lines[:2] == ["TITLE: a b", "FCM: NON-DROP FRAME"]
    assert lines[3] == "001  AX       V     C        00:00:00:12 00:00:01:13 00:00:00:00 00:00:01:01"
    assert lines[7] == "002  AX       V     C        00:00:02:00 00:00:03:01 00:00:01:01 00:00:02:02"
    assert "* COMMENT: stop, now" in lines
    with pytest.raises(DataError, match=r"--edl .*a\.edl: exists, and nothing is overwritten; choose another name"):
        gerund.cut(tmp_path / "l.csv", edl=tmp_path / "a.edl")


def test_lists_for_annotation_tools_hold_the_bouts_as_they_are(tmp_path: Path) -> None:
    filmed(tmp_path / "a.mp4")
    (tmp_path / "l.csv").write_text("path,label,start,end,subject\na.mp4,go,0.4,1.6,m1\na.mp4,peck,3,3,m2\n")
    places = {"elan": tmp_path / "a.eaf", "boris": tmp_path / "a.tsv", "per_frame": tmp_path / "a.csv"}
    gerund.cut(tmp_path / "l.csv", padding=0.3, losslesscut=tmp_path / "a.llc", **places)
    assert json.loads((tmp_path / "a.llc").read_text())["cutSegments"][0]["start"] == 0.1, "editors get what would be cut"
    for name in ("a.eaf", "a.tsv"):
        (found,) = read_observations(tmp_path / name)
        assert [(bout.label, bout.start, bout.end, bout.subject) for bout in found.bouts] == [
            ("go", 0.4, 1.6, "m1"),
            ("peck", 3, 3, "m2"),
        ]
    (found,) = read_observations(tmp_path / "a.csv")
    assert [(bout.label, round(bout.start, 3), round(bout.end, 3)) for bout in found.bouts] == [
        ("go", 0.4, 1.6),
        ("peck", 3, 3.04),
    ]


def test_a_project_of_boris_holds_the_bouts_of_all_videos(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        filmed(tmp_path / name)
    (tmp_path / "l.csv").write_text("path,label,start,end,subject\na.mp4,go,0.4,1.6,m1\nb.mp4,peck,3,3,m2\n")
    gerund.cut(tmp_path / "l.csv", boris=tmp_path / "all.boris")
    read = read_observations(tmp_path / "all.boris")
    found = {each.path.name: [(bout.label, bout.start, bout.end, bout.subject) for bout in each.bouts] for each in read}
    assert found == {"a.mp4": [("go", 0.4, 1.6, "m1")], "b.mp4": [("peck", 3, 3, "m2")]}
    with pytest.raises(DataError, match=r"--boris .*all\.boris: exists, and nothing is overwritten; choose another name"):
        gerund.cut(tmp_path / "l.csv", boris=tmp_path / "all.boris")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            (),
            "nothing to write: name a folder with --out, or a list for an editor (--losslesscut, --edl, --cut-list, --elan ...)",
        ),
        (("--reel", "--edl", "x.edl"), "--reel and --grid need a folder: name it with --out"),
        (("--grid", "--copy", "--out", "x"), "--copy: reels and grids are encoded anew; leave it out"),
        (("--padding", -1, "--out", "x"), "--padding -1: a number of seconds, 0 or more, is needed"),
        (("--above", 2, "--out", "x"), "--above 2: a score lies between 0 and 1"),
        (("--labels", "sit", "--out", "x"), "--labels sit: no such label (bright, dark: low, peck)"),
    ],
)
def test_what_cannot_be_is_one_line(labels: Path, options, words: str) -> None:
    code, _, err = run("cut", labels, *options)
    assert code == 2
    assert words in one_line(err)
