"""Splits keep groups whole and what is already split, share classes out evenly, and say how far off they are."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import gerund
from gerund.core.errors import DataError, UsageError
from gerund.core.types import Clip
from gerund.data.manifest import TEST_SHARE, assign_splits, group_hash, group_of, leaking_groups, read_manifest, write_manifest
from gerund.data.split import dealt_folds
from support.layouts import make_elan


def clip(number: int, label: str, group: str | None, split: str | None = None) -> Clip:
    return Clip(path=Path(f"/data/{label}/{number}.mp4"), label=label, group=group, split=split)


def even(groups: int, per_group: int = 2, labels: str = "abc") -> list[Clip]:
    return [
        clip(i, label, f"{label}{g}")
        for label in labels
        for g in range(groups)
        for i in range(g * per_group, (g + 1) * per_group)
    ]


def random_clips(rng: random.Random, labels: int = 4, people: int = 30) -> list[Clip]:
    """Groups of all sizes, some over several classes, some clips without a group, several spans of one file."""
    clips = []
    for number in range(rng.randrange(20, 120)):
        group = rng.choice([None, f"p{rng.randrange(people)}", f"p{rng.randrange(3)}"])
        made = clip(rng.randrange(60), f"class {rng.randrange(labels)}", group)
        clips.append(replace(made, start=float(number), end=number + 0.5))
    owner: dict[Path, str | None] = {}
    return [replace(each, group=owner.setdefault(each.path, each.group)) for each in clips]


def sides(clips: list[Clip]) -> dict[str, str | None]:
    return {group_of(clip): clip.split for clip in clips}


@pytest.mark.parametrize("seed", range(40))
def test_no_split_of_any_manifest_parts_a_group(seed: int) -> None:
    rng = random.Random(seed)
    clips = random_clips(rng)
    asked = rng.choice([{}, {"folds": rng.randrange(2, 5)}, {"val": 0.3, "test": 0.1}, {"val": 0.0, "test": 0.5}])
    done = gerund.split(clips, seed=seed, **asked)
    for manifest in done.manifests:
        assert leaking_groups(manifest) == {}
        assert [replace(each, split=None) for each in manifest] == clips
        assert all(each.split in ("train", "val", "test") for each in manifest)
    assert gerund.split(clips, seed=seed, **asked) == done


@pytest.mark.parametrize("seed", range(40))
def test_adding_clips_to_a_split_manifest_moves_none_of_its_groups(seed: int) -> None:
    rng = random.Random(seed)
    every = random_clips(rng)
    known = [each for each in every if rng.random() < 0.7] or every[:1]
    before = gerund.split(known, seed=seed).manifests[0]
    new = [each for each in every if each not in known]
    after = gerund.split([*before, *new, clip(999, "new class", "someone new")], seed=seed).manifests[0]
    assert after[: len(before)] == before
    assert sides(before).items() <= sides(after).items()
    assert leaking_groups(after) == {}


@pytest.mark.parametrize("seed", range(40))
def test_without_a_written_split_only_a_stand_in_moves_when_clips_are_added(seed: int) -> None:
    """What `train` does with clips that bring no split: a group's name decides, unless its class had no other group to test on."""
    rng = random.Random(seed)
    known = even(rng.randrange(2, 12), labels="abcd")
    every = [*known, *even(40, labels="acde")[: rng.randrange(300)]]
    before, after = (sides(assign_splits(clips, val=0, seed=seed)[0]) for clips in (known, every + even(2, labels="e")))
    by_name = {group: "test" if group_hash(group, f"{seed}/test") < TEST_SHARE else "train" for group in after}
    moved = [group for group in before if before[group] != after[group]]
    assert all(before[group] != by_name[group] and after[group] == by_name[group] for group in moved)
    assert len(moved) <= 4


def test_every_class_gets_its_share_where_groups_allow() -> None:
    done = gerund.split(even(20, per_group=3))
    for label in "abc":
        counts = Counter(each.split for each in done.manifests[0] if each.label == label)
        assert counts == {"train": 39, "val": 9, "test": 12}
    assert [(share.split, share.asked, share.got, share.groups) for share in done.shares] == [
        ("train", 0.65, 0.65, 39),
        ("val", 0.15, 0.15, 9),
        ("test", 0.2, 0.2, 12),
    ]


def test_large_and_small_groups_are_balanced() -> None:
    rng = random.Random(1)
    clips = [
        clip(i, label, f"{label}{g}") for label in "ab" for g in range(40) for i in range(g * 50, g * 50 + rng.choice([1, 2, 30]))
    ]
    for share in gerund.split(clips).shares:
        assert share.got == pytest.approx(share.asked, abs=0.01)
        assert share.worst_got == pytest.approx(share.asked, abs=0.02)


def test_how_far_off_a_split_is_is_told_with_the_worst_class() -> None:
    clips = [*even(10, labels="ab"), *(clip(i, "rare", "one") for i in range(4))]
    done = gerund.split(clips, test=0.25, val=0)
    train, test = done.shares
    assert (test.worst_class, test.worst_got) == ("rare", 0.0)
    assert (train.worst_class, train.worst_got) == ("rare", 1.0)
    assert test.got == test.clips / 44


def test_folds_test_every_clip_once(tmp_path: Path) -> None:
    write_manifest(even(10), tmp_path / "my clips.csv")
    done = gerund.split(tmp_path / "my clips.csv", folds=5)
    assert [file.name for file in done.files] == [f"my clips-fold{number}.csv" for number in range(1, 6)]
    tested = Counter(each.path for file in done.files for each in read_manifest(file) if each.split == "test")
    assert set(tested.values()) == {1}
    assert len(tested) == 60
    assert all({each.split for each in manifest} == {"train", "test"} for manifest in done.manifests)
    assert [(share.fold, share.clips) for share in done.shares] == [(number, 12) for number in range(1, 6)]


def test_what_is_split_already_stays_in_every_fold() -> None:
    clips = [*even(10), clip(900, "a", "kept", "test"), clip(901, "a", "kept"), clip(902, "b", "mine", "val")]
    for manifest in gerund.split(clips, folds=2).manifests:
        assert [each.split for each in manifest[-3:]] == ["test", "test", "val"]


def test_splits_that_are_there_are_forgotten_only_when_asked() -> None:
    clips = even(10)
    leaking = [replace(each, split=("train", "test")[number % 2]) for number, each in enumerate(clips)]
    assert gerund.split(leaking, anew=True).manifests == gerund.split(clips).manifests


def test_unlabelled_time_goes_where_its_video_goes(tmp_path: Path) -> None:
    done = gerund.split(make_elan(tmp_path), background=True, val=0, test=0.5).manifests[0]
    assert {each.label for each in done} == {"winken é", "jump up", "background"}
    assert sorted(sides(done).values()) == ["test", "train"]


def test_another_seed_splits_differently_and_order_does_not_matter() -> None:
    clips = even(20)
    first, again, other = (
        sides(gerund.split(each, seed=n).manifests[0]) for each, n in ((clips, 0), (clips[::-1], 0), (clips, 1))
    )
    assert first == again != other


def test_a_split_is_written_where_asked_or_beside_its_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest(even(10), tmp_path / "clips.csv")
    source = (tmp_path / "clips.csv").read_bytes()
    assert gerund.split(str(tmp_path / "clips.csv")).files == [tmp_path / "clips-split.csv"]
    assert (tmp_path / "clips.csv").read_bytes() == source
    asked = gerund.split(tmp_path / "clips.csv", out=tmp_path / "new" / "other.csv")
    assert read_manifest(asked.files[0]) == asked.manifests[0] == read_manifest(tmp_path / "clips-split.csv")
    assert gerund.split(even(3)).files == []
    assert "Nothing is written; name a file with --out." in capsys.readouterr().err


def test_a_split_by_clip_parts_groups_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    done = gerund.split(even(5, per_group=10), by="clip")
    assert leaking_groups(done.manifests[0])
    assert "Split by clip: scores will be too good" in capsys.readouterr().err


def test_a_class_without_anything_to_train_on_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    gerund.split([*even(4, labels="ab"), clip(9, "rare", "one")], folds=2)
    assert "No clip of rare is left to train on in fold " in capsys.readouterr().err


def test_what_cannot_be_split_says_why(tmp_path: Path) -> None:
    clips = even(3)
    for options, words in (
        ({"folds": 1}, "--folds 1: at least 2 are needed"),
        ({"folds": 2, "test": 0.2}, r"--test 0\.2 and --folds 2 exclude each other"),
        ({"test": 1.0}, "--test 1: a share of the clips lies between 0 and 1"),
        ({"test": 0.6, "val": 0.4}, r"--val 0\.4 and --test 0\.6 leave nothing to train on"),
    ):
        with pytest.raises(UsageError, match=words):
            gerund.split(clips, **options)
    with pytest.raises(DataError, match="--folds 10: there are only 9 groups to share out"):
        gerund.split(clips, folds=10)
    with pytest.raises(
        DataError, match="every clip has a split already; --anew forgets them all, or empty the column 'split' of some"
    ):
        gerund.split([replace(each, split="train") for each in clips])
    with pytest.raises(DataError, match="the given split leaks"):
        gerund.split([replace(clips[0], split="train"), replace(clips[1], split="test"), *clips[2:]])


def test_dealt_folds_never_part_a_group_and_hold_every_class():
    clips = [
        Clip(path=f"{label}{number}.mp4", label=label, group=f"{label}{number // 2}") for label in "abc" for number in range(20)
    ]
    folds = dealt_folds(clips, [group_of(clip) for clip in clips], 5, "salt")
    assert len({(group_of(clip), fold) for clip, fold in zip(clips, folds, strict=True)}) == 30
    assert {(clip.label, fold) for clip, fold in zip(clips, folds, strict=True)} == {(c, f) for c in "abc" for f in range(5)}
