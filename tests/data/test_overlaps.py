"""Spans of different labels at one time: refused in one sentence, or resolved as told; never both trained on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gerund.core.errors import DataError
from gerund.data.annotations import Annotation
from gerund.data.datasets import load_dataset
from gerund.data.manifest import read_manifest
from gerund.data.overlaps import Overlap, apart, overlapping
from support.command import one_line, run
from support.layouts import film

VIDEO = Path("a.mp4")


def spans_of(text: str, subject: str | None = None) -> list[Annotation]:
    parts = [(each[0], *each[1:].split("-")) for each in text.split()]
    return [Annotation(path=VIDEO, label=n, start=float(a), end=float(b) if b else None, subject=subject) for n, a, b in parts]


def shown(found: list[Annotation]) -> str:
    return " ".join(f"{each.label}{each.start:g}-{'' if each.end is None else f'{each.end:g}'}" for each in found)


@pytest.mark.parametrize(
    ("given_spans", "first", "longest"),
    [
        ("a0-4 b2-8", "a0-4 b4-8", "a0-2 b2-8"),
        ("a0-10 b2-4", "a0-10", "a0-10"),
        ("b2-4 a1-10", "a1-10", "a1-10"),
        ("a0-3 b2-10 c9-11", "a0-3 b3-10 c10-11", "a0-2 b2-10 c10-11"),
        ("a0-2 b1-9 a3-20", "a0-2 b2-9 a9-20", "a0-1 b1-3 a3-20"),
        ("a0- b2-4", "a0-", "a0-"),
        ("b2-4 a1-", "a1-", "a1-"),
        ("a0-2 b2-4 p3-3", "a0-2 b2-4 p3-3", "a0-2 b2-4 p3-3"),
    ],
)
def test_who_keeps_the_time_is_as_told(given_spans: str, first: str, longest: str) -> None:
    assert shown(apart(spans_of(given_spans), "longest")) == longest
    assert shown(apart(spans_of(given_spans), "first")) == first


def test_one_label_may_overlap_itself_and_spans_may_touch() -> None:
    found = spans_of("a0-4 a2-5 b5-6")
    assert apart(found, None) == found


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.integers(1, 15)), max_size=12),
    st.sampled_from(["first", "longest"]),
)
def test_nothing_overlaps_afterwards_and_no_time_is_invented(rows: list[tuple[str, int, int]], rule: Overlap) -> None:
    found = [Annotation(path=VIDEO, label=label, start=a, end=a + length) for label, a, length in rows]
    kept = apart(found, rule)
    assert overlapping(kept) is None

    def seconds(spans: list[Annotation], label: str | None = None) -> set[int]:
        return {t for each in spans if label in (None, each.label) for t in range(int(each.start), int(each.end or 0))}

    assert seconds(kept) == seconds(found), "all labelled time keeps a label"
    assert all(seconds(kept, label) <= seconds(found, label) for label in "abc")


def test_overlaps_are_refused_with_the_way_out(tmp_path: Path) -> None:
    one = spans_of("a0-4 b2-8", "m1")
    with pytest.raises(
        DataError, match=r"a\.mp4: 'a' \[0 \.\. 4 s\] and 'b' \[2 \.\. 8 s\] overlap, .*--overlap first or longest"
    ):
        apart(one, None)
    two = [*spans_of("a0-4", "m1"), *spans_of("b2-8", "m2")]
    for rule in (None, "first"):
        with pytest.raises(DataError, match=r"overlap, .*; train on one of its subjects \(m1, m2\): --subject m1"):
            apart(two, rule)
    assert load_dataset(two) == [each.clip for each in two], "only training minds"
    assert load_dataset(two, subject="m2", one_at_a_time=True) == [two[1].clip]
    with pytest.raises(DataError, match=r"the clips given: no span of the subject 'm3' \(m1, m2\)"):
        load_dataset(two, subject="m3")


def test_training_refuses_overlaps_and_takes_one_subject(tmp_path: Path) -> None:
    rows = ["path,label,start,end,subject"]
    for number in range(6):
        film(tmp_path / f"v{number}.mp4", seconds=8)
        rows += [f"v{number}.mp4,eat,0,4,m1", f"v{number}.mp4,walk,4,8,m1", f"v{number}.mp4,walk,2,6,m2"]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    for verb, *words in (("train",), ("compare", "--heads", "prototype")):
        code, _, err = run(verb, tmp_path / "labels.csv", *words)
        assert code == 1
        assert "v0.mp4: 'eat' [0 .. 4 s] and 'walk' [2 .. 6 s] overlap" in one_line(err)
        assert "--subject m1" in one_line(err)
    options = ("--backbone", "pixels:8", "--num-frames", 4, "--cache", tmp_path / "cache", "--out", tmp_path / "run")
    code, _, err = run("train", tmp_path / "labels.csv", "--subject", "m1", *options)
    assert code == 0, err
    assert "12 spans of 'm1' are used; left out: 6 of others." in err
    assert Counter((clip.label, clip.start) for clip in read_manifest(tmp_path / "run" / "clips.csv")) == {
        ("eat", 0): 6,
        ("walk", 4): 6,
    }
