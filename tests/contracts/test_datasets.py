"""What holds for every data set, and how folders, manifests and UCF-101 are read."""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import gerund
from gerund.cli import app as cli
from gerund.core.errors import DataError, UsageError
from gerund.core.types import Clip
from gerund.data.datasets import DATASETS, MADE, load_dataset
from gerund.data.inputs import expand
from gerund.data.manifest import assign_splits, group_of, labels_of, leaking_groups, of_split, write_manifest
from support.layouts import MAKERS, make_csv, make_folder, touch, write_ucf101

TEXTS = (".csv", ".txt", ".json", ".eaf", ".xml", ".tsv")


@pytest.fixture(params=[maker for makers in MAKERS.values() for maker in makers])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> list[Clip]:
    folder = tmp_path / "mein Datensatz é"
    folder.mkdir()
    return load_dataset(request.param(folder))


# --- contracts


def test_every_data_set_has_an_example() -> None:
    assert {*MAKERS, *MADE} == set(DATASETS)


def test_every_path_exists_and_every_label_is_a_name(dataset: list[Clip]) -> None:
    assert len(dataset) >= 4
    assert all(clip.path.exists() for clip in dataset)
    assert all(clip.label and not clip.label.isdigit() for clip in dataset)
    assert len(labels_of(dataset)) == 2


def test_no_group_is_on_two_sides_of_a_split(dataset: list[Clip]) -> None:
    assert leaking_groups(dataset) == {}
    assert {clip.split for clip in dataset} in ({None}, {"train", "val"}, {"train", "test"}, {"train", "val", "test"})


def test_no_clip_is_listed_twice(dataset: list[Clip]) -> None:
    assert len({(clip.path, clip.label, clip.start) for clip in dataset}) == len(dataset)


def test_spans_are_seconds_inside_the_video(dataset: list[Clip]) -> None:
    assert all(0 <= clip.start < (clip.end or 10) <= 10 for clip in dataset)


def test_a_list_of_clips_is_taken_as_it_is(dataset: list[Clip]) -> None:
    assert load_dataset(dataset) == dataset


def test_a_manifest_of_it_reads_back_alike(dataset: list[Clip], tmp_path: Path) -> None:
    write_manifest(dataset, tmp_path / "clips.csv")
    assert load_dataset(tmp_path / "clips.csv") == [replace(clip, path=clip.path.absolute()) for clip in dataset]


# --- folder


def test_a_folder_per_class_is_read_in_order_without_hidden_and_other_files(tmp_path: Path) -> None:
    clips = load_dataset(make_folder(tmp_path / "data"))
    assert [(clip.label, clip.path.relative_to(tmp_path / "data").as_posix()) for clip in clips] == [
        ("Zähne putzen", "Zähne putzen/2.AVI"),
        ("Zähne putzen", "Zähne putzen/Zoë, früh.mp4"),
        ("jumping jack", "jumping jack/a b/deep.mkv"),
        ("jumping jack", "jumping jack/frames of é"),
    ]
    assert all(clip.split is None and clip.group is None for clip in clips)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "Validation", "Test"), ("training", "valid", "testing")])
def test_folders_for_the_sides_of_a_split_are_a_split(tmp_path: Path, names: tuple[str, str, str]) -> None:
    for name in names:
        touch(tmp_path / name / "waving" / f"{name}.mp4")
    clips = load_dataset(tmp_path)
    assert {clip.path.stem: (clip.split, clip.label) for clip in clips} == {
        name: (split, "waving") for name, split in zip(names, ("train", "val", "test"), strict=True)
    }


def test_a_given_split_that_parts_a_group_is_refused_unless_allowed(tmp_path: Path) -> None:
    for split in ("train", "test"):
        touch(tmp_path / split / "Lunges" / f"v_Lunges_g01_c0{len(split) - 3}.avi")
    with pytest.raises(
        DataError, match=r"leaks, 1 group on more than one side of the split: v_Lunges_g01 \(test, train\).*--allow-leak"
    ):
        load_dataset(tmp_path)
    assert len(load_dataset(tmp_path, allow_leak=True)) == 2


def test_groups_of_ucf101_names_are_known_in_any_folder(tmp_path: Path) -> None:
    touch(tmp_path / "HandstandPushups" / "v_HandStandPushups_g03_c02.avi")
    touch(tmp_path / "waving" / "mine.mp4")
    assert [clip.group for clip in load_dataset(tmp_path)] == ["v_HandStandPushups_g03", None]


@pytest.mark.parametrize(("pattern", "group"), [(r"person\d+", "person07"), (r"(person\d+)_d\d", "person07"), (r"_(d\d)", "d2")])
def test_a_pattern_finds_the_group_in_a_name(tmp_path: Path, pattern: str, group: str) -> None:
    touch(tmp_path / "boxing" / "person07_d2_uncomp.avi")
    assert load_dataset(tmp_path, group_pattern=pattern)[0].group == group


def test_a_name_that_the_pattern_does_not_match_is_a_group_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("person07_a", "person07_b", "someone"):
        touch(tmp_path / "boxing" / f"{name}.avi")
    clips = load_dataset(tmp_path, group_pattern=r"person\d+")
    assert [clip.group for clip in clips] == ["person07", "person07", None]
    said = capsys.readouterr().err
    assert r"--group-pattern 'person\d+' does not match 1 of 3 names, each a group of its own: someone.avi" in said


def test_a_pattern_that_fits_no_name_or_is_none_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "boxing" / "someone.avi")
    with pytest.raises(DataError, match=r"someone\.avi: --group-pattern .* does not match this name, nor any other"):
        load_dataset(tmp_path, group_pattern=r"person\d+")
    with pytest.raises(UsageError, match=r"--group-pattern '\(' is not a regular expression"):
        load_dataset(tmp_path, group_pattern="(")


def test_a_pattern_does_not_change_the_groups_a_manifest_gives(tmp_path: Path) -> None:
    clips = load_dataset(make_csv(tmp_path), group_pattern=r"clip \d")
    assert {clip.group for clip in clips} == {"p0", "p1", "p2", "p3"}


def test_a_folder_that_holds_no_data_set_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no clips found \(it is empty\); expected .*/LABEL/video\.mp4"):
        load_dataset(tmp_path)
    touch(tmp_path / "loose.mp4")
    with pytest.raises(DataError, match=r"no clips found \(left out: 1 video beside the class folders \(loose\.mp4\)\)"):
        load_dataset(tmp_path)
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        load_dataset(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"loose\.mp4: not a folder; give a folder with one sub-folder per class, or a \.csv"):
        load_dataset(tmp_path / "loose.mp4")


@pytest.mark.parametrize("maker", [maker for makers in MAKERS.values() for maker in makers])
def test_labels_are_composed_wherever_they_come_from(maker: Callable[[Path], str], tmp_path: Path) -> None:
    """The same data set with every é and ä of its texts, folders and files decomposed, as file systems of a Mac leave them."""
    plain, decomposed = tmp_path / "plain", tmp_path / "apart"
    maker(plain)
    where = maker(decomposed).replace(str(plain), str(decomposed))
    for path in sorted(decomposed.rglob("*"), reverse=True):
        if path.suffix in TEXTS:
            path.write_text(unicodedata.normalize("NFD", path.read_text("utf-8")), encoding="utf-8")
        path.rename(path.with_name(unicodedata.normalize("NFD", path.name)))
    expected = load_dataset(where.replace(str(decomposed), str(plain)))
    clips = load_dataset(where)
    assert labels_of(clips) == labels_of(expected)
    assert {clip.group for clip in clips} == {clip.group for clip in expected}
    assert all(clip.path.exists() for clip in clips)


def test_two_forms_of_a_name_are_one_class_and_two_files(tmp_path: Path) -> None:
    forms = [unicodedata.normalize(form, "été") for form in ("NFC", "NFD")]
    for form in forms:
        touch(tmp_path / form / f"{form}.mp4")
    touch(tmp_path / forms[0] / f"{forms[1]}.mp4")
    clips = load_dataset(tmp_path)
    assert labels_of(clips) == ["été"]
    assert len({clip.path for clip in clips}) == 3
    write_manifest(clips, tmp_path / "clips.csv")
    assert load_dataset(tmp_path / "clips.csv") == clips


# --- names of data sets


def test_a_name_before_the_colon_chooses_the_kind(tmp_path: Path) -> None:
    make_csv(tmp_path)
    shutil.copy(tmp_path / "clips.csv", tmp_path / "clips.txt")
    assert load_dataset(f"csv:{tmp_path / 'clips.txt'}") == load_dataset(tmp_path / "clips.csv")
    with pytest.raises(UsageError, match=r"unknown data set 'kinetix'; did you mean kinetics\? There are folder, csv, ucf101"):
        load_dataset("kinetix:/data")


def test_a_path_with_a_colon_in_it_is_a_path(tmp_path: Path) -> None:
    assert len(load_dataset(make_folder(tmp_path / "2024-01-02 12:30"))) == 4


def test_a_numbered_split_of_data_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--split 2: folder data has no numbered splits; leave the option out"):
        load_dataset(make_folder(tmp_path / "data"), split=2)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".CSV"])
def test_a_table_is_a_manifest_whatever_parts_its_columns(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / f"clips{suffix}").write_text("path\tlabel\na.mp4\twave\n")
    assert load_dataset(tmp_path / f"clips{suffix}") == [Clip(path=tmp_path / "a.mp4", label="wave")]
    assert expand([tmp_path / f"clips{suffix}"]) == [Clip(path=tmp_path / "a.mp4", label="wave")]


# --- what cannot be split


def test_index_lists_what_cannot_be_split_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One video with two classes: nothing to test on, but whether it was understood can be looked at."""
    (tmp_path / "clips.csv").write_text("path,label,start,end\na.mp4,wave,0,2\na.mp4,jump,3,4\na.mp4,wave,5,6\n")
    clips = load_dataset(tmp_path / "clips.csv")
    assert gerund.index(tmp_path / "clips.csv", out=tmp_path / "out.csv") == clips
    assert load_dataset(tmp_path / "out.csv") == clips
    assert "Not split, and not yet to be trained on: class 'jump' has clips of one group only" in capsys.readouterr().err
    assert cli.app.meta(["index", str(tmp_path / "clips.csv")]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["class", "train", "val", "test", "no", "split"] in table
    assert ["wave", "0", "0", "0", "2"] in table
    with pytest.raises(DataError, match="class 'jump' has clips of one group only"):
        assign_splits(clips)


def test_index_lists_one_class_and_clips_without_a_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text, words in (("path,label\na.mp4,wave\n", "only one class, 'wave'"), ("path\na.mp4\n", "a.mp4: no label")):
        (tmp_path / "clips.csv").write_text(text)
        assert cli.app.meta(["index", str(tmp_path / "clips.csv")]) == 0
        out, err = capsys.readouterr()
        assert words in err
        assert ("(no label)" in out) is ("wave" not in out)


# --- lists of videos


def test_a_list_of_videos_is_read_like_other_lists(tmp_path: Path) -> None:
    names = ("é 1.mp4", "#2.mp4", "b/c.mp4")
    for name in names:
        touch(tmp_path / name)
    text = '# of today\r\né 1.mp4\r\n#2.mp4\r\n#b/c.mp4\r\n"b\\c.mp4"\r\n'
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "list.txt").write_bytes(text.encode(encoding))
        assert [clip.path for clip in expand([tmp_path / "list.txt"])] == [tmp_path / name for name in names]
    (tmp_path / "list.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"list\.txt:2: not UTF-8 text \(byte 0xe9\); save it as UTF-8"):
        expand([tmp_path / "list.txt"])


# --- ucf101


def test_the_lists_of_ucf101_may_have_the_paths_of_windows(tmp_path: Path) -> None:
    write_ucf101(tmp_path)
    before = load_dataset(f"ucf101:{tmp_path}")
    for file in (tmp_path / "ucfTrainTestlist").iterdir():
        file.write_text(".\\" + file.read_text().replace("\r\n", "\n").replace("/", "\\"))
    assert load_dataset(f"ucf101:{tmp_path}") == before


@pytest.mark.parametrize(("split", "groups"), [(None, {1, 2}), (1, {1, 2}), (2, {3, 4}), (3, {5, 6})])
def test_the_official_splits_come_from_the_lists(tmp_path: Path, split: int | None, groups: set[int]) -> None:
    write_ucf101(tmp_path)
    clips = load_dataset(f"ucf101:{tmp_path}", split=split)
    assert len(of_split(clips, "train")) == 2 * 5 * 2
    assert {group_of(clip)[-3:] for clip in of_split(clips, "test")} == {f"g{number:02d}" for number in groups}
    assert {group_of(clip)[-3:] for clip in of_split(clips, "train")} == {
        f"g{number:02d}" for number in set(range(1, 8)) - groups
    }


def test_the_label_is_the_folder_the_list_names_though_the_files_are_spelt_otherwise(tmp_path: Path) -> None:
    write_ucf101(tmp_path)
    clips = load_dataset(f"ucf101:{tmp_path}")
    handstand = [clip for clip in clips if clip.label == "HandstandPushups"]
    assert labels_of(clips) == ["BabyCrawling", "HandstandPushups"]
    assert len(handstand) == 14
    assert all(clip.path.name.startswith("v_HandStandPushups_g") for clip in handstand)
    assert {clip.group for clip in handstand} == {f"v_HandStandPushups_g{number:02d}" for number in range(1, 8)}


def test_a_listed_file_that_is_missing_is_counted(tmp_path: Path) -> None:
    write_ucf101(tmp_path)
    (tmp_path / "UCF-101" / "BabyCrawling" / "v_BabyCrawling_g03_c01.avi").unlink()
    with pytest.raises(DataError, match=r"v_BabyCrawling_g03_c01\.avi: listed but not there \(1 of 28 clips missing\)"):
        load_dataset(f"ucf101:{tmp_path}")


def test_another_split_or_folder_than_the_published_ones_is_refused(tmp_path: Path) -> None:
    write_ucf101(tmp_path)
    for split in (4, 0, -1):
        with pytest.raises(UsageError, match=f"--split {split}: UCF-101 has the official splits 1, 2 and 3"):
            load_dataset(f"ucf101:{tmp_path}", split=split)
    with pytest.raises(
        DataError, match=r"UCF-101.UCF-101: missing; .* must hold the folders UCF-101 and ucfTrainTestlist as published"
    ):
        load_dataset(f"ucf101:{tmp_path / 'UCF-101'}")
    (tmp_path / "ucfTrainTestlist" / "testlist02.txt").unlink()
    with pytest.raises(DataError, match=r"testlist02\.txt: missing; it is part of the published ucfTrainTestlist"):
        load_dataset(f"ucf101:{tmp_path}", split=2)


def test_a_name_without_a_group_is_refused(tmp_path: Path) -> None:
    write_ucf101(tmp_path)
    touch(tmp_path / "UCF-101" / "BabyCrawling" / "mine.avi")
    (tmp_path / "ucfTrainTestlist" / "testlist01.txt").write_text("BabyCrawling/mine.avi\n")
    with pytest.raises(
        DataError, match=r"testlist01\.txt:1: .*mine\.avi is not a UCF-101 name \(v_Class_gNN_cNN\.avi\), so its group is unknown"
    ):
        load_dataset(f"ucf101:{tmp_path}")


def test_labels_sort_in_the_order_of_ucf101_itself() -> None:
    published = (
        "BaseballPitch Basketball BasketballDunk BlowDryHair BlowingCandles GolfSwing Haircut Hammering HammerThrow HandstandPushups "
        "HandstandWalking HeadMassage JugglingBalls JumpingJack JumpRope Kayaking SkateBoarding Skiing Skijet SkyDiving YoYo"
    ).split()  # classInd.txt, numbers 7 to 9, 13, 14, 33 to 39, 46 to 49, 80 to 83, 101
    assert published != sorted(published)
    assert labels_of([Clip(path=Path("x"), label=label) for label in reversed(published)]) == published


@pytest.mark.real
@pytest.mark.parametrize("split", [1, 2, 3])
def test_the_real_clips_have_their_official_splits(real_data: Path, split: int) -> None:
    clips = load_dataset(f"ucf101:{real_data / 'ucf101'}", split=split)
    numbers = {
        side: {int(re.search(r"_g(\d+)$", group_of(clip))[1]) for clip in of_split(clips, side)} for side in ("train", "test")
    }  # type: ignore[index]
    assert (len(of_split(clips, "train")), len(of_split(clips, "test"))) == (180, 70)
    assert numbers["test"] == set(range(7 * split - 6, 7 * split + 1))
    assert numbers["train"] == set(range(1, 26)) - numbers["test"]
    lines = (real_data / "ucf101" / "ucfTrainTestlist" / "classInd.txt").read_text().split("\n")
    assert labels_of(clips) == [line.split()[1] for line in lines if line.strip()]
