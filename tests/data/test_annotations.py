"""Annotations: their CSV there and back, points, and what of them is used."""

from __future__ import annotations

import csv
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gerund.core.errors import DataError
from gerund.core.types import Clip
from gerund.data.annotations import (
    ANNOTATION_COLUMNS,
    STATUSES,
    Annotation,
    annotation_of,
    clips_to_use,
    read_annotations,
    write_annotations,
)
from gerund.data.datasets import load_annotations, load_dataset
from gerund.data.datasets.background import BACKGROUND
from gerund.data.index import index
from gerund.data.manifest import read_manifest
from gerund.data.split import split

TEXT = st.none() | st.text(st.characters(categories=("L", "N", "P", "Zs", "Sc")), min_size=1, max_size=9).map(
    lambda text: f"a{' '.join(text.split())}"
)


@st.composite
def annotations(draw: st.DrawFn) -> Annotation:
    start = draw(st.floats(0, 1e6))
    end = draw(st.none() | st.just(start) | st.floats(start, 2e6))
    texts = {name: draw(TEXT) for name in ("label", "subject", "by", "at", "group")}
    status = draw(st.sampled_from([None, *STATUSES]))
    split = draw(st.sampled_from([None, "train", "val", "test"]))
    return Annotation(path=Path("/videos/a.mp4"), start=start, end=end, status=status, split=split, **texts)


@given(st.lists(annotations(), min_size=1, max_size=5))
def test_what_is_written_is_read_back_the_same(written: list[Annotation]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_annotations(written, Path(folder) / "labels.csv")
        assert read_annotations(Path(folder) / "labels.csv") == written


def test_the_columns_are_those_of_the_manifest_and_of_the_history(tmp_path: Path) -> None:
    said = Annotation(
        path=tmp_path / "a.mp4", label="rear", end=2.5, subject="m1", status="rejected", by="Ada", at="2026-11-30T10:00:00Z"
    )
    write_annotations([said], tmp_path / "labels.csv")
    header, row = csv.reader((tmp_path / "labels.csv").read_text().splitlines())
    assert header == list(ANNOTATION_COLUMNS) == "path label start end subject status by at group split".split()
    assert row == ["a.mp4", "rear", "", "2.5", "m1", "rejected", "Ada", "2026-11-30T10:00:00Z", "", ""]


def test_subjects_written_in_two_ways_are_one(tmp_path: Path) -> None:
    assert Annotation(path=tmp_path, subject="Zoe\u0308").subject == "Zo\u00eb"


def test_a_point_is_learned_from_the_second_around_it() -> None:
    point = Annotation(path=Path("a.mp4"), label="peck", start=6.0, end=6.0, group="g", split="val", by="Ada")
    assert point.is_point
    assert point.clip == Clip(path=Path("a.mp4"), label="peck", start=5.5, end=6.5, group="g", split="val")
    assert replace(point, start=0.2, end=0.2).clip.end == 1.0
    assert not replace(point, end=6.1).is_point
    assert not replace(point, end=None).is_point


def test_only_what_is_confirmed_is_used_and_the_rest_counted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = "path,label,start,end,status\na.mp4,x,0,1,confirmed\na.mp4,x,1,2,\na.mp4,y,2,3,suggested\na.mp4,y,3,4,suggested\n"
    (tmp_path / "labels.csv").write_text(f"{text}a.mp4,{BACKGROUND},5,6,confirmed\na.mp4,y,4,5,rejected\n")
    expected = [("x", 0.0), ("x", 1.0), (BACKGROUND, 5.0)]
    for read in (read_manifest, load_dataset):
        assert [(clip.label, clip.start) for clip in read(tmp_path / "labels.csv")] == expected
        assert "labels.csv: 3 confirmed spans are used; left out: 2 suggested and 1 rejected." in capfd.readouterr().err
    assert len(load_annotations(tmp_path / "labels.csv")) == 6
    assert {type(clip) for clip in read_manifest(tmp_path / "labels.csv")} == {Clip}


def test_where_nothing_is_confirmed_the_way_out_is_said(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label,status\na.mp4,x,suggested\nb.mp4,x,rejected\n")
    with pytest.raises(DataError, match=r"labels\.csv: nothing is confirmed \(1 suggested and 1 rejected\); confirm some, or em"):
        load_dataset(tmp_path / "labels.csv")


def test_listing_and_splitting_keep_subjects_points_and_history(tmp_path: Path) -> None:
    rows = [f"v{n}.mp4,{label},1,{end},m{n},confirmed,Ada,2026" for n in range(6) for label, end in (("x", 4), ("y", 1))]
    (tmp_path / "labels.csv").write_text(
        "\n".join(["path,label,start,end,subject,status,by,at", *rows, "v0.mp4,x,8,9,,rejected,,"])
    )
    index(tmp_path / "labels.csv", out=tmp_path / "listed.csv")
    split(tmp_path / "labels.csv", out=tmp_path / "split.csv")
    given = [replace(each, split=None) for each in read_annotations(tmp_path / "labels.csv") if each.status == "confirmed"]
    for name in ("listed.csv", "split.csv"):
        written = read_annotations(tmp_path / name)
        assert [replace(each, split=None) for each in written] == given
        assert {each.split for each in written} >= {"train", "test"}
    assert load_dataset(given)[1].end == 1.5


def test_clips_are_annotations_without_history() -> None:
    clip = Clip(path=Path("a.mp4"), label="x", start=1.0, end=2.0, group="g", split="test")
    assert annotation_of(clip) == Annotation(path=Path("a.mp4"), label="x", start=1.0, end=2.0, group="g", split="test")
    assert annotation_of(clip).clip == clip
    assert annotation_of(said := Annotation(path=Path("a.mp4"), subject="s")) is said
    assert clips_to_use([clip], "x") == [clip]
