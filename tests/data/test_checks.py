"""Labels and splits, judged without opening a video."""

from __future__ import annotations

import difflib
import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gerund.core.types import Clip
from gerund.data.checks import (
    check_clips,
    class_table,
    label_findings,
    siblings_in_train,
    slips,
    split_findings,
    suspected_siblings,
)
from gerund.data.datasets import is_published, load_dataset


def clips_of(counts: dict[str, int], *, group_size: int = 1, split: str | None = None) -> list[Clip]:
    return [
        Clip(path=Path(f"{label}/{number}.mp4"), label=label, split=split, group=f"{label}_{number // group_size}")
        for label, count in counts.items()
        for number in range(count)
    ]


def kinds(findings) -> list[str]:
    return [finding.kind for finding in findings]


def test_balanced_classes_with_enough_clips_have_no_findings() -> None:
    assert check_clips(clips_of({"jump": 10, "run": 12, "sit": 9})) == []


@pytest.mark.parametrize(
    "pair", [("HandStand", "Handstand"), ("sit up", "sit_up"), ("Push-Ups", "PushUps"), ("ÉCRIRE", "écrire")]
)
def test_spellings_of_one_label_are_told(pair: tuple[str, str]) -> None:
    findings = label_findings(clips_of({pair[0]: 10, pair[1]: 10, "run": 10}))
    assert kinds(findings) == ["case-variant"]
    assert all(label in findings[0].message for label in pair)


def test_marks_on_letters_are_letters_and_no_punctuation() -> None:
    decomposed = "E\u0301CRIRE"
    assert kinds(label_findings(clips_of({decomposed: 10, "écrire": 10, "run": 10}))) == ["case-variant"]
    assert label_findings(clips_of({"बिल": 10, "बाल": 10, "run": 10})) == []


@pytest.mark.parametrize("typo", ["BrushingTeth", "BrushnigTeeth", "BrushingTeethh", "BrushinTeet"])
def test_a_rare_label_near_a_frequent_one_is_a_typo(typo: str) -> None:
    findings = label_findings(clips_of({"BrushingTeeth": 30, typo: 5, "Lunges": 20}))
    assert kinds(findings) == ["typo"]
    assert f"{typo!r} (5 clips) looks like 'BrushingTeeth' (30 clips)" in findings[0].message


def test_similar_labels_of_about_one_size_are_no_typos() -> None:
    assert label_findings(clips_of({"shaking head": 20, "shaving head": 20, "sit": 10, "hit": 30})) == []


def test_labels_of_a_published_list_are_no_typos() -> None:
    clips = clips_of({"BoxingPunchingBag": 30, "BoxingPunchingBags": 6})
    assert kinds(label_findings(clips)) == ["typo"]
    assert label_findings(clips, published=True) == []
    assert is_published("ucf101:/data/UCF")
    assert not any(is_published(data) for data in ("clips.csv", "folder:x", "/data/ucf101", clips))


def test_one_class_that_a_published_list_spells_in_two_ways_is_no_typo(tmp_path: Path) -> None:
    findings = label_findings(clips_of({"HandstandPushups": 30, "HandStandPushups": 5}))
    assert [(finding.kind, finding.level) for finding in findings] == [("two-spellings", "remark")]
    for number in range(6):
        path = tmp_path / "HandstandPushups" / f"v_HandStandPushups_g{number:02d}_c01.avi"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert label_findings(load_dataset(tmp_path)) == []


def test_slips_are_counted_as_by_hand() -> None:
    assert [slips("lunges", other) for other in ("lunges", "lunge", "lunegs", "xlunges", "lonjes", "jumps")] == [0, 1, 1, 1, 2, 3]
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abc"), size=rng.integers(3, 6))) for _ in range(40)]
    for one, other in itertools.combinations(words, 2):
        assert slips(one, other) == slips(other, one)
        same = difflib.SequenceMatcher(None, one, other, autojunk=False).ratio() == 1
        assert (slips(one, other) == 0) == same


def test_small_and_uneven_classes_are_told() -> None:
    findings = label_findings(clips_of({"jump": 60, "run": 6, "sit": 4}, group_size=3))
    assert kinds(findings) == ["few-clips", "few-groups", "imbalance"]
    assert "sit (4)" in findings[0].message
    assert "run (2), sit (2)" in findings[1].message
    assert "'jump' has 60 clips, 'sit' has 4" in findings[2].message


def test_a_file_listed_twice_and_one_with_two_labels_are_told() -> None:
    clips = clips_of({"jump": 8, "run": 8})
    again, other = Clip(path=Path("jump/0.mp4"), label="jump"), Clip(path=Path("jump/1.mp4"), label="run")
    later = Clip(path=Path("jump/2.mp4"), label="run", start=5.0)
    findings = label_findings([*clips, again, other, later])
    assert sorted(kinds(findings)) == ["conflicting-labels", "listed-twice"]
    assert Path("jump/1.mp4") in next(each for each in findings if each.kind == "conflicting-labels").paths


def test_clips_without_a_label_are_told() -> None:
    findings = label_findings([*clips_of({"jump": 8}), Clip(path=Path("x.mp4"))])
    assert [(each.kind, each.paths) for each in findings] == [("no-label", (Path("x.mp4"),))]


def sided(sides: dict[str, str]) -> list[Clip]:
    """A clip for each letter: side of the split by clip name, its group is the first letter."""
    return [Clip(path=Path(f"{name}.mp4"), label="jump", split=side, group=name[0]) for name, side in sides.items()]


def test_a_group_on_two_sides_is_a_leak_that_names_it_and_its_size() -> None:
    clips = sided({"a1": "train", "a2": "test", "b1": "train", "b2": "train", "c1": "test", "d1": "val"})
    findings = split_findings(clips)
    assert kinds(findings) == ["group-leak"]
    assert findings[0].message == (
        "1 group on more than one side of the split: a (test, train); 1 of 2 test clips (50.0 %) have a sibling in train"
    )
    assert siblings_in_train(clips) == (1, 2)


def test_many_leaking_groups_are_summed_up() -> None:
    clips = sided({f"{letter}{number}": ("train", "test")[number] for letter in "abcdefgh" for number in range(2)})
    assert "8 groups on more than one side" in split_findings(clips)[0].message
    assert "e (test, train) and 3 more" in split_findings(clips)[0].message


def test_siblings_on_one_side_are_no_finding() -> None:
    assert split_findings(sided({"a1": "train", "a2": "train", "b1": "test", "b2": "test"})) == []


def test_a_class_that_one_side_lacks_is_told() -> None:
    clips = [*clips_of({"jump": 5, "run": 5}, split="train"), Clip(path=Path("t.mp4"), label="run", split="test", group="t")]
    findings = split_findings(clips)
    assert [each.message for each in findings] == ["no test clip of jump"]


def test_the_table_counts_clips_by_class_and_split() -> None:
    clips = [*clips_of({"jump": 3}, split="train", group_size=3), *clips_of({"run": 2}, split="test")]
    assert class_table(clips) == [
        {"label": "jump", "train": 3, "val": 0, "test": 0, "none": 0, "groups": 1},
        {"label": "run", "train": 0, "val": 0, "test": 2, "none": 0, "groups": 2},
    ]


def test_files_that_look_like_pieces_of_one_recording_are_pointed_out() -> None:
    names = ("ann run c01", "ann run c02", "bob_clip3", "bob_clip4", "jump_001", "jump_002", "c03 intro")
    clips = [Clip(path=Path(f"{name}.mp4"), label="run") for name in names]
    (found,) = suspected_siblings(clips)
    assert found.message.startswith("4 files look like pieces of 2 recordings (ann run c01, ann run c02)")
    assert "jump" not in found.message, "files are numbered everywhere"
    pattern = found.message.split("'")[1]
    assert {re.search(pattern, name)[1] for name in names[:4]} == {"ann run", "bob"}
    assert list(suspected_siblings([replace(clip, group="one") for clip in clips])) == []
    assert found in check_clips(clips)
    assert found not in check_clips(clips, published=True)
