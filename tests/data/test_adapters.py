"""What each published data set and annotation tool writes down, and how it becomes clips; what is damaged is named."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gerund.core.errors import DataError, GerundError, UsageError
from gerund.core.types import Clip
from gerund.data.datasets import load_dataset
from gerund.data.datasets.class_maps import read_class_map
from gerund.data.datasets.text_list import side_of
from gerund.data.manifest import labels_of, of_split
from support.clocks import grey, with_sound
from support.layouts import (
    BORIS_COLUMNS,
    LONG,
    MAKERS,
    boris_row,
    cvat_xml,
    eaf,
    film,
    images,
    make_activitynet,
    make_boris,
    make_csv,
    make_cvat,
    make_elan,
    make_frames,
    make_frames_list,
    make_hmdb51,
    make_kinetics,
    make_labelstudio,
    make_list,
    make_list_file,
    make_ssv2,
    make_top5,
    make_top5_of_all,
    make_ucf101,
    studio_task,
    touch,
    via_project,
    write,
    write_json,
)

Row = tuple[str, str | None, float, float | None]


def spans(clips: list[Clip]) -> list[Row]:
    return [(clip.path.name, clip.label, clip.start, clip.end) for clip in clips]


# --- published sets


@pytest.mark.parametrize("split", [None, 1])
def test_the_top5_sample_is_split_1(tmp_path: Path, split: int | None) -> None:
    clips = load_dataset(make_top5(tmp_path), split=split)
    assert load_dataset(f"ucf101-top5:{tmp_path / 'ucf101_top5'}") == clips
    assert [(clip.label, clip.split, clip.group) for clip in clips] == [
        ("Punch", "train", "v_Punch_g02"),
        ("Punch", "train", "v_Punch_g03"),
        ("TennisSwing", "train", "v_TennisSwing_g02"),
        ("TennisSwing", "train", "v_TennisSwing_g03"),
        ("Punch", "test", "v_Punch_g01"),
        ("TennisSwing", "test", "v_TennisSwing_g01"),
    ]
    with pytest.raises(UsageError, match=r"--split 2: the sample .* is split 1; the others need the whole UCF-101"):
        load_dataset(f"ucf101-top5:{tmp_path}", split=2)


def test_the_top5_classes_of_the_whole_set_have_every_split(tmp_path: Path) -> None:
    make_top5_of_all(tmp_path)
    for split in (1, 2, 3):
        clips = load_dataset(f"ucf101-top5:{tmp_path}", split=split)
        assert labels_of(clips) == ["CricketShot", "Punch"]
        assert len(of_split(clips, "test")) == 2 * 4


@pytest.mark.real
def test_the_published_counts_hold_where_the_full_set_is(real_data: Path) -> None:
    if not (real_data / "ucf101" / "UCF-101" / "CricketShot").is_dir():
        pytest.skip("only a part of UCF-101 is here")
    clips = load_dataset(f"ucf101-top5:{real_data / 'ucf101'}")
    assert (len(of_split(clips, "train")), len(of_split(clips, "test"))) == (594, 224)


@pytest.mark.real
def test_hmdb51_has_70_and_30_clips_of_each_class_where_it_is(real_data: Path) -> None:
    if not (real_data / "hmdb51").is_dir():
        pytest.skip("no HMDB51 here")
    for split in (1, 2, 3):
        clips = load_dataset(f"hmdb51:{real_data / 'hmdb51'}", split=split)
        assert (len(of_split(clips, "train")), len(of_split(clips, "test"))) == (51 * 70, 51 * 30)


@pytest.mark.parametrize(("split", "train", "test"), [(None, {0}, {1}), (1, {0}, {1}), (2, {1}, {0}), (3, {0}, {2})])
def test_hmdb51_splits_are_read_per_class_and_unused_clips_left_out(
    tmp_path: Path, split: int | None, train: set[int], test: set[int]
) -> None:
    clips = load_dataset(make_hmdb51(tmp_path), split=split)
    for side, sources in (("train", train), ("test", test)):
        assert {clip.group for clip in of_split(clips, side)} == {
            f"April é_0{source} ({label})" for source in sources for label in ("brush_hair", "wave")
        }
        assert len(of_split(clips, side)) == 4


def test_a_source_video_that_hmdb51_itself_parts_is_told_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_hmdb51(tmp_path)
    file = tmp_path / "testTrainMulti_7030_splits" / "wave_test_split1.txt"
    file.write_text(file.read_text("utf-8-sig").replace("_0.avi 1", "_0.avi 2"), "utf-8")
    clips = load_dataset(f"hmdb51:{tmp_path}")
    assert "split 1 itself has 1 source videos on both sides, first April é_00 (wave)" in capsys.readouterr().err
    assert {clip.group for clip in clips if "00 (wave" in str(clip.group)} == {
        "April é_00 (wave), train",
        "April é_00 (wave), test",
    }


def test_kinetics_finds_both_namings_and_reports_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = load_dataset(make_kinetics(tmp_path))
    assert "2 of 6 listed videos are missing, first gone0_000000_000010" in capsys.readouterr().err
    assert [(clip.path.name, clip.label, clip.split, clip.group, clip.start, clip.end) for clip in clips] == [
        ("-id00_000000_000010.mp4", "riding a bike", "train", "-id00", 0.0, None),
        ("-id01.mp4", "zähne putzen", "train", "-id01", 0.0, None),
        ("-id10_000000_000010.mp4", "riding a bike", "val", "-id10", 0.0, None),
        ("-id11.mp4", "zähne putzen", "val", "-id11", 0.0, None),
    ]


def test_a_kinetics_video_in_full_length_is_cut_by_time(tmp_path: Path) -> None:
    rows = ["waving,whole,2,5,train", "waving,short,20,30,train"]
    write(tmp_path / "train.csv", "label,youtube_id,time_start,time_end,split,is_cc", *(f"{row},0" for row in rows))
    film(tmp_path / "whole.mp4")
    film(tmp_path / "short.mp4")
    assert spans(load_dataset(f"kinetics:{tmp_path}")) == [("whole.mp4", "waving", 2.0, 5.0), ("short.mp4", "waving", 0.0, None)]


@pytest.mark.parametrize("given", ["", "annotations", "annotations/train.csv"])
def test_annotations_may_lie_in_a_folder_of_their_own_beside_the_videos(tmp_path: Path, given: str) -> None:
    """As the copies of the CVD Foundation do; a replacement for a broken file comes before that file."""
    for side in ("train", "val"):
        rows = [f"waving,{side}{number},5,15,{side}" for number in range(2)]
        write(tmp_path / "annotations" / f"{side}.csv", "label,youtube_id,time_start,time_end,split", *rows, bom=False)
        for number in range(2):
            touch(tmp_path / side / f"{side}{number}_000005_000015.mp4")
    touch(tmp_path / "replacement" / "replacement_for_corrupted_k400" / "train1_000005_000015.mp4")
    folders = [clip.path.relative_to(tmp_path).parts[0] for clip in load_dataset(f"kinetics:{tmp_path / given}")]
    assert folders == (["train", "replacement"] if given.endswith(".csv") else ["train", "replacement", "val", "val"])


def test_activitynet_and_ssv2_files_may_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    for name, make in (("activitynet", make_activitynet), ("ssv2", make_ssv2)):
        clips = load_dataset(make(tmp_path / name))
        (tmp_path / name / "annotations").mkdir()
        for file in (tmp_path / name).glob("*.json"):
            file.rename(tmp_path / name / "annotations" / file.name)
        assert load_dataset(f"{name}:{tmp_path / name}") == clips
        assert load_dataset(f"{name}:{tmp_path / name / 'annotations'}") == clips


def test_ssv2_labels_are_templates_without_brackets(tmp_path: Path) -> None:
    clips = load_dataset(make_ssv2(tmp_path))
    assert [(clip.path.name, clip.label, clip.split) for clip in clips] == [
        ("10.webm", "Holding something next to something", "train"),
        ("11.webm", "Putting something é", "train"),
        ("20.webm", "Holding something next to something", "val"),
        ("21.webm", "Putting something é", "val"),
    ]


def test_activitynet_segments_end_with_their_video(tmp_path: Path) -> None:
    clips = load_dataset(make_activitynet(tmp_path))
    assert spans(clips)[:2] == [("v_id-1.mp4", "Zumba é", 1.5, 4.0), ("v_id-1.mp4", "long jump", 5.0, 10.0)]
    assert [clip.split for clip in clips] == ["train"] * 4 + ["val"] * 2


# --- lists


def test_the_lists_of_a_folder_are_the_sides_of_a_split(tmp_path: Path) -> None:
    clips = load_dataset(make_list(tmp_path))
    assert [(clip.path.relative_to(tmp_path.absolute()).as_posix(), clip.label, clip.split) for clip in clips] == [
        ("videos/train a, b.mp4", "riding a bike", "train"),
        ("videos/train é.mp4", "Zähne putzen", "train"),
        ("videos/val a, b.mp4", "riding a bike", "val"),
        ("videos/val é.mp4", "Zähne putzen", "val"),
    ]
    one = load_dataset(f"list:{tmp_path / 'kinetics_train_list.txt'}")
    assert [clip.split for clip in one] == [None, None]


@pytest.mark.parametrize("separator", [" ", "\t", ",", ";", ", "])
@pytest.mark.parametrize("labels", [("0", "1"), ("wave é", "jump")])
def test_any_separator_will_do(tmp_path: Path, separator: str, labels: tuple[str, str]) -> None:
    if separator == " ":
        labels = (labels[0].replace(" ", "-"), labels[1])
    names = ("Zoë, früh; 1.mp4", "b.mp4")
    for name in names:
        touch(tmp_path / name)
    write(tmp_path / "classes.txt", "wave é", "jump")
    write(tmp_path / "list.txt", *(f"{name}{separator}{label}" for name, label in zip(names, labels, strict=True)))
    clips = load_dataset(f"list:{tmp_path / 'list.txt'}")
    expected = ("wave é", "jump") if labels[0] == "0" else labels
    assert [(clip.path.name, clip.label) for clip in clips] == list(zip(names, expected, strict=True))


def test_numbers_are_named_by_a_map_or_refused(tmp_path: Path) -> None:
    make_list(tmp_path / "data")
    (tmp_path / "data" / "label_map.txt").rename(tmp_path / "names of mine.txt")
    with pytest.raises(
        DataError, match=r"train_list\.txt:1: the label is the number 0; labels are names: put a file classes\.txt"
    ):
        load_dataset(f"list:{tmp_path / 'data'}")
    given = load_dataset(f"list:{tmp_path / 'data'}::{tmp_path / 'names of mine.txt'}")
    assert labels_of(given) == ["riding a bike", "Zähne putzen"]
    write(tmp_path / "names of mine.txt", "riding a bike")
    with pytest.raises(
        DataError, match=r"train_list\.txt:2: the label is the number 1, which .*names of mine\.txt does not name"
    ):
        load_dataset(f"list:{tmp_path / 'data'}::{tmp_path / 'names of mine.txt'}")
    with pytest.raises(DataError, match=r"nowhere\.txt: no such file"):
        load_dataset(f"list:{tmp_path / 'data'}::nowhere.txt")


NAMES = ("bottom", "left", "right")


def numbered(folder: Path, names: dict[str, int], *, first: int | None, paths: str = "{}") -> dict[str, str | None]:
    """What a list with these numbers means beside a map of NAMES that counts from `first` (None: no numbers): file -> label."""
    for name in names:
        touch(folder / paths.format(name))
    write(folder / "classInd.txt", *(name if first is None else f"{i + first} {name}" for i, name in enumerate(NAMES)))
    write(folder / "all.txt", *(f"{paths.format(name)} {number}" for name, number in names.items()))
    return {clip.path.name: clip.label for clip in load_dataset(f"list:{folder / 'all.txt'}")}


@pytest.mark.parametrize("first", [0, 1, None])
@pytest.mark.parametrize("start", [0, 1])
def test_paths_that_name_classes_tell_from_where_a_list_counts(tmp_path: Path, first: int | None, start: int) -> None:
    for place in ("{}", "v/{}", "some/v_{}"):
        names = {"left0.mp4": start + 1, "LEFT_2.mp4": start + 1}
        assert set(numbered(tmp_path, names, first=first, paths=place).values()) == {"left"}
    names = {"left/a.mp4": start + 1, "bottom/b.mp4": start, "right/x/left.mp4": start + 2}
    assert numbered(tmp_path, names, first=first) == {"a.mp4": "left", "b.mp4": "bottom", "left.mp4": "right"}
    assert numbered(tmp_path, {r"Left\c.mp4": start + 1}, first=first) == {r"Left\c.mp4": "left"}


def test_the_first_and_the_last_number_tell_from_where_a_list_counts(tmp_path: Path) -> None:
    assert numbered(tmp_path, {"x.mp4": 0, "y.mp4": 1}, first=1) == {"x.mp4": "bottom", "y.mp4": "left"}
    assert numbered(tmp_path, {"x.mp4": 1, "y.mp4": 3}, first=1) == {"x.mp4": "bottom", "y.mp4": "right"}
    assert numbered(tmp_path, {"x.mp4": 1, "y.mp4": 3}, first=0) == {"x.mp4": "bottom", "y.mp4": "right"}
    assert numbered(tmp_path, {"x.mp4": 2, "y.mp4": 3}, first=None) == {"x.mp4": "left", "y.mp4": "right"}
    with pytest.raises(DataError, match=r"all\.txt:2: the label is the number 3, which .*classInd\.txt does not name"):
        numbered(tmp_path, {"x.mp4": 0, "y.mp4": 3}, first=1)


def test_numbers_that_may_count_from_0_or_from_1_are_not_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    question = (
        r"all\.txt: do its numbers count from 0 or from 1\? .*classInd\.txt counts from 1 to 3, and no label is 0 or 3; write the"
    )
    with pytest.raises(DataError, match=question):
        numbered(tmp_path, {"x.mp4": 1, "y.mp4": 2}, first=1)
    assert numbered(tmp_path, {"x.mp4": 1, "y.mp4": 2}, first=0) == {"x.mp4": "left", "y.mp4": "right"}
    assert "no label is 0; numbers are taken to count from 0 all the same" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        (["exercise 1", "exercise 2", "exercise 3"], {0: "exercise 1", 1: "exercise 2", 2: "exercise 3"}),
        (["drill 2", "drill 0", "run 1"], {0: "drill 2", 1: "drill 0", 2: "run 1"}),
        (["rest", "drill 1", "run 2"], {0: "rest", 1: "drill 1", 2: "run 2"}),
        (["3 point shot", "7 meter throw"], {0: "3 point shot", 1: "7 meter throw"}),
        (["2 hands", "1 hand", "1 hand up"], {0: "2 hands", 1: "1 hand", 2: "1 hand up"}),
        (["kick,1", "throw,0"], {1: "kick", 0: "throw"}),
        (["2: kick", "1: throw"], {2: "kick", 1: "throw"}),
        (["id;name", "4;kick", "9;throw"], {4: "kick", 9: "throw"}),
    ],
)
def test_numbers_in_names_are_no_numbering(tmp_path: Path, lines: list[str], names: dict[int, str]) -> None:
    assert read_class_map(write(tmp_path / "classes.txt", *lines)) == names


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("classes.txt", "kick\nthrow\nkick\n", r"classes\.txt: 'kick' is the name of 2 classes"),
        ("classes.txt", "\n\n", r"classes\.txt: the class map is empty"),
        ("classes.json", '{"kick": 0, "throw": 0}', r"classes\.json: the number 0 has two names, 'kick' and 'throw'"),
        ("classes.json", '{"' + "9" * 5000 + '": "a"}', r"classes\.json: .* is not a number and a name"),
    ],
)
def test_class_maps_that_name_two_alike_are_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(DataError, match=words):
        read_class_map(tmp_path / name)


def test_a_long_line_of_a_class_map_is_read_at_once(tmp_path: Path) -> None:
    """200,000 spaces; a pattern that tries every way to part them would need days."""
    lines = ["a" + " " * 200_000 + "b", "9" * 200_000 + "c", "d" + "9" * 200_000, "e"]
    assert list(read_class_map(write(tmp_path / "classes.txt", *lines)).values()) == lines


def test_a_line_that_begins_with_a_hash_names_a_file_if_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("#1 serve.mp4", "b.mp4"):
        touch(tmp_path / name)
    write(tmp_path / "all.txt", "# the first try", "#1 serve.mp4 serve", "b.mp4 lob", "#b.mp4 smash")
    assert spans(load_dataset(f"list:{tmp_path / 'all.txt'}")) == [
        ("#1 serve.mp4", "serve", 0.0, None),
        ("b.mp4", "lob", 0.0, None),
    ]
    assert "all.txt: 1 lines that begin with # name no file that is there; they are taken for comments" in capsys.readouterr().err


@pytest.mark.parametrize("written", [r"videos\a.mp4", r".\videos\a.mp4", "./videos/a.mp4", r"C:\x\videos\a.mp4", "a.mp4"])
@pytest.mark.parametrize("line", ["{} wave", '"{}",wave', "{}\twave", "sep=;\n{};wave"])
def test_lists_may_have_the_paths_of_windows(tmp_path: Path, written: str, line: str) -> None:
    video = touch(tmp_path / "videos" / "a.mp4")
    write(tmp_path / "all.txt", *line.format(written).split("\n"))
    (clip,) = load_dataset(f"list:{tmp_path / 'all.txt'}")
    assert (clip.path.resolve(), clip.label) == (video.resolve(), "wave")


def test_a_video_list_with_numbers_before_the_label_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    write(tmp_path / "all.txt", "a.mp4 300 wave")
    with pytest.raises(DataError, match=r"all\.txt:1: 'a\.mp4' has the number 300 before its label; expected 'path label'"):
        load_dataset(f"list:{tmp_path / 'all.txt'}")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classInd.txt", "5 Wave é\n6 jump up\n"),
        ("labels.csv", "id,name\n5,Wave é\n6,jump up\n"),
        ("map.txt", "Wave é 5\njump up 6\n"),
        ("map.txt", "a\nb\nc\nd\ne\nWave é\njump up\n"),
        ("names.json", '{"\\"Wave é\\"": 5, "jump up": 6}'),
        ("names.json", '{"5": "Wave é", "6": "jump up"}'),
        ("names.json", '["a", "b", "c", "d", "e", "Wave é", "jump up"]'),
    ],
)
def test_class_maps_come_in_many_shapes(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    found = read_class_map(tmp_path / name, {5, 6})
    assert (found[5], found[6]) == ("Wave é", "jump up")


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("train.txt", "train"),
        ("testlist01.txt", "test"),
        ("ucf101_val_split_1_videos.txt", "val"),
        ("kinetics_validation.csv", "val"),
        ("constraint.txt", None),
        ("valley.txt", None),
    ],
)
def test_the_name_of_a_list_tells_its_side(name: str, side: str | None) -> None:
    assert side_of(Path(name)) == side


def test_a_ucf101_list_is_a_list_too(tmp_path: Path) -> None:
    touch(tmp_path / "videos" / "Wave" / "v_Wave_g01_c01.avi")
    write(tmp_path / "classInd.txt", "1 Wave", "2 Jump")
    write(tmp_path / "trainlist01.txt", "Wave/v_Wave_g01_c01.avi 1")
    clips = load_dataset(f"list:{tmp_path}")
    assert [(clip.label, clip.split, clip.group) for clip in clips] == [("Wave", "train", "v_Wave_g01")]


def test_missing_videos_of_a_list_are_counted_and_all_missing_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_list_file(tmp_path)
    (tmp_path / "clip 1.mp4").unlink()
    assert len(load_dataset(f"list:{tmp_path / 'all.csv'}")) == 3
    assert "1 of 4 listed videos are missing, first " in capsys.readouterr().err
    for number in (0, 2, 3):
        (tmp_path / f"clip {number}.mp4").unlink()
    with pytest.raises(DataError, match=r"all\.csv: none of the 4 listed videos is there \(looked for .*clip 0\.mp4"):
        load_dataset(f"list:{tmp_path / 'all.csv'}")


# --- frames


def test_frame_folders_below_class_folders_are_clips(tmp_path: Path) -> None:
    clips = load_dataset(make_frames(tmp_path))
    assert sorted(spans(clips)) == [(f"clip {n}", label, 0.0, None) for n in range(2) for label in ("jump up", "wave é")]


def test_a_frame_count_cuts_a_folder_and_must_be_there(tmp_path: Path) -> None:
    clips = load_dataset(make_frames_list(tmp_path))
    assert spans(clips) == [
        ("clip 0a", "jump up", 0.0, None),
        ("clip 1a", "wave é", 0.0, None),
        ("clip 2a", "jump up", 0.0, 2 / 25),
        ("clip 3a", "wave é", 0.0, 2 / 25),
    ]
    write(tmp_path / "val_rawframes.txt", "clip 2a 1 2 0", "clip 3a 4 1")
    with pytest.raises(DataError, match=r"val_rawframes\.txt:2: 4 images are listed, but .*clip 3a holds 3"):
        load_dataset(f"frames:{tmp_path}")
    write(tmp_path / "val_rawframes.txt", "clip 2a 1 2 0")
    assert spans(load_dataset(f"frames:{tmp_path}"))[-1] == ("clip 2a", "jump up", 1 / 25, None)


@pytest.mark.parametrize("name", ["v_left.0", "v.left", "clip 1", "a b 2", "x.mp4"])
def test_names_of_frame_folders_may_hold_dots_and_numbers(tmp_path: Path, name: str) -> None:
    images(tmp_path / "frames" / name, 3)
    images(tmp_path / "frames" / "other", 3)
    write(tmp_path / "classes.txt", "left", "right")
    write(tmp_path / "list.txt", f"{name} 2 0", f"{name} 1 2 1", "other 3 1", f".\\{name} 1 0")
    assert spans(load_dataset(f"frames:{tmp_path / 'list.txt'}")) == [
        (name, "left", 0.0, 2 / 25),
        (name, "right", 1 / 25, None),
        ("other", "right", 0.0, None),
        (name, "left", 0.0, 1 / 25),
    ]


def test_a_folder_without_frame_folders_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "wave" / "a.mp4")
    with pytest.raises(DataError, match=r"1 video that is a file \(wave/a\.mp4\).*; expected .*/LABEL/VIDEO/000001\.jpg"):
        load_dataset(f"frames:{tmp_path}")


# --- annotation tools


def test_via_segments_take_the_attribute_that_names_the_activity(tmp_path: Path) -> None:
    film(tmp_path / LONG)
    write_json(tmp_path / "p.json", via_project())
    assert spans(load_dataset(f"via:{tmp_path / 'p.json'}")) == [(LONG, "Ei trennen é", 2.0, 6.5), (LONG, "mix", 7.0, 9.0)]


def test_a_via_entry_without_times_labels_the_whole_video(tmp_path: Path) -> None:
    touch(tmp_path / "sub" / "é 1.mp4")
    project = via_project("ignored")
    project["file"]["9"]["src"] = "file:///sub/%C3%A9%201.mp4".replace("file:///sub", f"file://{tmp_path}/sub")
    project["metadata"] = {"a": {"vid": "1", "z": [], "xy": [], "av": {"2": "7,8"}}}
    write_json(tmp_path / "p.json", project)
    assert spans(load_dataset(f"via:{tmp_path / 'p.json'}")) == [
        ("é 1.mp4", "Ei trennen é", 0.0, None),
        ("é 1.mp4", "mix", 0.0, None),
    ]


@pytest.mark.parametrize(("origin", "shift"), [("", 0.0), ('TIME_ORIGIN="1500"', 1.5)])
def test_elan_annotations_of_the_action_tier_are_clips(tmp_path: Path, origin: str, shift: float) -> None:
    touch(tmp_path / LONG)
    write(tmp_path / "s.eaf", *eaf(origin=origin), bom=False)
    assert spans(load_dataset(f"elan:{tmp_path}")) == [
        (LONG, "winken é", 1 + shift, 3 + shift),
        (LONG, "jump up", 3 + shift, 8 + shift),
    ]


def test_without_an_action_tier_all_tiers_are_used_and_name_what_has_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path / LONG)
    write(tmp_path / "s.eaf", *eaf(tier="Lachen é", values=("", "")), bom=False)
    assert spans(load_dataset(f"elan:{tmp_path}")) == [
        (LONG, "Lachen é", 1.0, 3.0),
        (LONG, "Lachen é", 3.0, 8.0),
        (LONG, "some talk", 1.0, 8.0),
    ]
    assert "all tiers are used (Lachen é, note); call one of them 'action' to use it alone" in capsys.readouterr().err


def test_an_elan_slot_without_a_time_lies_between_its_neighbours(tmp_path: Path) -> None:
    touch(tmp_path / LONG)
    text = "\n".join(eaf()).replace('TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts4"', 'TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4"')
    (tmp_path / "s.eaf").write_text(text, "utf-8")
    assert spans(load_dataset(f"elan:{tmp_path}"))[1] == (LONG, "jump up", 5.5, 8.0)


def elan_file(path: Path, *parts: str, slots: str = "ts1=0 ts2=2000 ts3=5000 ts4=8000 ts5=10000") -> str:
    """An .eaf file of tiers and whatever else, with the video `a.mp4` and time slots `name=milliseconds`, or `name` without a time."""
    touch(path / "a.mp4")
    times = [slot.partition("=") for slot in slots.split()]
    order = "".join(f'<TIME_SLOT TIME_SLOT_ID="{n}"' + f' TIME_VALUE="{v}"' * bool(v) + "/>" for n, _, v in times)
    write(
        path / "s.eaf",
        '<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds">',
        '<MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/x/a.mp4" MIME_TYPE="video/mp4"/></HEADER>',
        f"<TIME_ORDER>{order}</TIME_ORDER>",
        *parts,
        "</ANNOTATION_DOCUMENT>",
        bom=False,
    )
    return f"elan:{path / 's.eaf'}"


def tier(name: str, *annotations: str, parent: str | None = None) -> str:
    """A tier. An annotation is `id ts1-ts2 text`, or `id >other text` or `id >other,previous text` for one that refers to another."""
    inner = ""
    for annotation in annotations:
        identity, place, text = annotation.split(" ", 2)
        start, _, end = place.removeprefix(">").partition("," if place.startswith(">") else "-")
        kind, where = "ALIGNABLE", f'TIME_SLOT_REF1="{start}" TIME_SLOT_REF2="{end}"'
        if place.startswith(">"):
            kind, where = "REF", f'ANNOTATION_REF="{start}"' + f' PREVIOUS_ANNOTATION="{end}"' * bool(end)
        inner += f'<ANNOTATION><{kind}_ANNOTATION ANNOTATION_ID="{identity}" {where}>'
        inner += f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></{kind}_ANNOTATION></ANNOTATION>"
    return f'<TIER TIER_ID="{name}"' + f' PARENT_REF="{parent}"' * (parent is not None) + f">{inner}</TIER>"


UTTERANCE = tier("utterance", "u1 ts2-ts3 hello there", "u2 ts4-ts5 good bye")


def test_an_elan_tier_that_refers_to_another_has_its_times(tmp_path: Path) -> None:
    data = elan_file(tmp_path, UTTERANCE, tier("action", "r1 >u1 wave", "r2 >u2 bow", parent="utterance"))
    assert spans(load_dataset(data)) == [("a.mp4", "wave", 2.0, 5.0), ("a.mp4", "bow", 8.0, 10.0)]


def test_elan_tiers_may_refer_to_tiers_that_refer_to_others_and_stand_in_any_order(tmp_path: Path) -> None:
    gloss = tier("gloss", "g1 >u1 HELLO", "g2 >u2 BYE", parent="utterance")
    behaviour = tier("Behaviour@P1", "b1 >g1 wave", "b2 >g2 bow", parent="gloss")
    data = elan_file(tmp_path, behaviour, gloss, UTTERANCE)
    assert spans(load_dataset(data)) == [("a.mp4", "wave", 2.0, 5.0), ("a.mp4", "bow", 8.0, 10.0)]


def test_elan_annotations_that_refer_to_the_same_share_its_time_evenly(tmp_path: Path) -> None:
    """Symbolic subdivision: the order is that of PREVIOUS_ANNOTATION, whatever the file's own."""
    action = tier("action", "r3 >u1,r2 bow", "r1 >u1 wave", "r2 >u1,r1 nod", parent="utterance")
    assert sorted(spans(load_dataset(elan_file(tmp_path, UTTERANCE, action))), key=lambda row: row[2]) == [
        ("a.mp4", "wave", 2.0, 3.0),
        ("a.mp4", "nod", 3.0, 4.0),
        ("a.mp4", "bow", 4.0, 5.0),
    ]


def test_elan_slots_without_a_time_are_placed_by_their_own_tier(tmp_path: Path) -> None:
    slots = "ts1=0 ts5=1000 ts2 ts6=2000 ts3=10000"
    action, notes = tier("action", "a1 ts1-ts2 walk", "a2 ts2-ts3 run"), tier("notes", "n1 ts5-ts6 some talk")
    for parts in ((action,), (action, notes), (notes, action)):
        data = elan_file(tmp_path, *parts, slots=slots)
        assert spans(load_dataset(data)) == [("a.mp4", "walk", 0.0, 5.0), ("a.mp4", "run", 5.0, 10.0)]


def test_elan_annotations_that_part_one_of_another_tier_lie_evenly_in_it(tmp_path: Path) -> None:
    """Time subdivision, two levels of it: the slots of the lower one begin and end at slots of the upper one."""
    slots = "ts1=0 u1 v1 n1=1500 u2 ts2=6000 ts9=9000"
    upper = tier("phrase", "p1 ts1-u1 a", "p2 u1-u2 b", "p3 u2-ts2 c", parent="whole")
    lower = tier("action", "a1 u1-v1 wave", "a2 v1-u2 bow", parent="phrase")
    data = elan_file(tmp_path, lower, upper, tier("whole", "w1 ts1-ts2 x"), tier("note", "n1 n1-ts9 y"), slots=slots)
    assert spans(load_dataset(data)) == [("a.mp4", "wave", 2.0, 3.0), ("a.mp4", "bow", 3.0, 4.0)]


def test_an_elan_annotation_without_text_has_that_of_its_vocabulary(tmp_path: Path) -> None:
    words = '<CONTROLLED_VOCABULARY CV_ID="v"><CV_ENTRY_ML CVE_ID="c1"><CVE_VALUE LANG_REF="en">wave</CVE_VALUE></CV_ENTRY_ML>'
    action = tier("action", "a1 ts1-ts2 ", "a2 ts2-ts3 bow").replace('"a1"', '"a1" CVE_REF="c1"')
    data = elan_file(tmp_path, action, words + "</CONTROLLED_VOCABULARY>")
    assert [clip.label for clip in load_dataset(data)] == ["wave", "bow"]


def test_an_empty_elan_tier_of_actions_gives_no_clips_of_other_tiers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = elan_file(tmp_path / "1", UTTERANCE, tier("action"))
    with pytest.raises(DataError, match=r"s\.eaf: the tiers that hold the classes are empty"):
        load_dataset(empty)
    assert "s.eaf: the tier 'action' is empty; the file gives no clips" in capsys.readouterr().err


def test_the_media_offset_is_that_of_the_elan_video_that_is_there(tmp_path: Path) -> None:
    touch(tmp_path / "b.mp4")
    entries = [
        f'<MEDIA_DESCRIPTOR MEDIA_URL="file:///x/{name}.mp4" MIME_TYPE="video/mp4" TIME_ORIGIN="{origin}"/>'
        for name, origin in (("gone", 500), ("b", 2000))
    ]
    data = elan_file(tmp_path, UTTERANCE)
    (tmp_path / "a.mp4").unlink()
    text = (tmp_path / "s.eaf").read_text("utf-8")
    (tmp_path / "s.eaf").write_text(text.replace("<MEDIA_DESCRIPTOR", "".join(entries) + "<MEDIA_DESCRIPTOR", 1), "utf-8")
    assert spans(load_dataset(data))[0] == ("b.mp4", "hello there", 4.0, 7.0)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([UTTERANCE, tier("action", "r1 >u9 wave", parent="utterance")], r"'r1': it refers to 'u9', which is no annotation of a"),
        (
            [tier("action", "r1 >r1 wave", parent="action")],
            r"tier 'action' depends on 'action', which is not there or depends on",
        ),
        ([tier("action", "r1 >r1 wave")], r"annotation 'r1': it refers to 'r1', which is no annotation of a tier above"),
        ([UTTERANCE, tier("action", "r1 >u1 wave", parent="nowhere")], r"tier 'action' depends on 'nowhere', which is not there"),
        (
            [UTTERANCE, tier("action", "r1 >u1,r2 a", "r2 >u1,r1 b", parent="utterance")],
            r"tier 'action': its annotations do not f",
        ),
        ([tier("action", "a1 ts1-open wave")], r"tier 'action': time slot 'open' has no time, nor has one before and one after"),
    ],
)
def test_elan_tiers_that_lead_nowhere_are_refused(tmp_path: Path, parts: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_dataset(elan_file(tmp_path, *parts, slots="ts1=0 ts2=2000 ts3=5000 ts4=8000 ts5=10000 open"))


@pytest.mark.parametrize("name", ["x" * 5000, "http://[/gone.mp4", "file:///", "%00.mp4", "..", "C:/"])
def test_a_name_that_can_be_no_file_is_not_there(tmp_path: Path, name: str) -> None:
    data = elan_file(tmp_path, UTTERANCE)
    (tmp_path / "s.eaf").write_text((tmp_path / "s.eaf").read_text("utf-8").replace("file:///C:/x/a.mp4", name), "utf-8")
    with pytest.raises(DataError, match=rf"s\.eaf: its video '{re.escape(name)}' is not there"):
        load_dataset(data)


def test_elan_times_in_frames_are_refused(tmp_path: Path) -> None:
    data = elan_file(tmp_path, UTTERANCE)
    (tmp_path / "s.eaf").write_text((tmp_path / "s.eaf").read_text("utf-8").replace('"milliseconds"', '"PAL-frames"'), "utf-8")
    with pytest.raises(DataError, match=r"s\.eaf: its times are PAL-frames, not milliseconds; save it anew in ELAN"):
        load_dataset(data)


def test_boris_states_are_paired_by_subject_and_points_get_a_second(tmp_path: Path) -> None:
    clips = load_dataset(make_boris(tmp_path))
    name = f"1 {LONG}"
    assert sorted(spans(clips)[:3], key=lambda row: row[2]) == [
        (name, "fressen é", 1.0, 3.0),
        (name, "fressen é", 1.5, 3.5),
        (name, "peck", 5.5, 6.5),
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


def test_cvat_tracks_are_clips_where_they_are_visible(tmp_path: Path) -> None:
    film(tmp_path / LONG, fps=10)
    write(tmp_path / "annotations.xml", *cvat_xml(), bom=False)
    assert spans(load_dataset(f"cvat:{tmp_path}")) == [
        (LONG, "winken é", 1.0, 2.0),
        (LONG, "winken é", 4.0, 5.0),
        (LONG, "jump up", 2.0, 3.0),
    ]


def test_cvat_counts_frames_from_the_first_picture(tmp_path: Path) -> None:
    with_sound(tmp_path / "late.mp4", [grey(4 * index) for index in range(60)], late=2.0, seconds=9)
    write(tmp_path / "annotations.xml", *cvat_xml("late.mp4"), bom=False)
    found = spans(load_dataset(f"cvat:{tmp_path}"))
    assert [span[2:] for span in found] == [(3.0, 4.0), (6.0, 7.0), (4.0, 5.0)]


def test_cvat_attributes_called_action_and_tags_name_clips_too(tmp_path: Path) -> None:
    film(tmp_path / LONG, fps=10)
    boxes = "".join(
        f'<box frame="{n}" outside="0"><attribute name="Action">{"sit é" if n < 5 else "stand"}</attribute></box>'
        for n in range(10)
    )
    tags = "".join(f'<image id="{n}" name="frame_{n}"><tag label="wave" source="manual"></tag></image>' for n in (20, 25, 30, 50))
    body = f'<track id="0" label="person">{boxes}</track>{tags}'
    write(tmp_path / "annotations.xml", *cvat_xml(task="<frame_filter>step=5</frame_filter>", body=body), bom=False)
    assert spans(load_dataset(f"cvat:{tmp_path}")) == [
        (LONG, "sit é", 0.0, 0.9),
        (LONG, "stand", 0.5, 1.4),
        (LONG, "wave", 2.0, 3.5),
        (LONG, "wave", 5.0, 5.5),
    ]


def test_label_studio_frames_are_counted_from_1_at_the_rate_of_the_task(tmp_path: Path) -> None:
    clips = load_dataset(make_labelstudio(tmp_path))
    assert spans(clips)[:2] == [(f"1 {LONG}", "winken é", 1.0, 3.0), (f"1 {LONG}", "jump up", 4.0, 6.0)]


def test_label_studio_rates_come_from_the_config_or_the_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film(tmp_path / LONG, fps=10)
    write_json(tmp_path / "export.json", [studio_task()])
    data = f"labelstudio:{tmp_path / 'export.json'}"
    assert spans(load_dataset(data))[0][2:] == (1.0, 3.0)
    assert "task 5: frame numbers are taken at the video's own rate" in capsys.readouterr().err
    write(tmp_path / "config.xml", '<View><Video name="v" value="$video" framerate="20"/></View>', bom=False)
    assert spans(load_dataset(data))[0][2:] == (0.5, 1.5)
    write(tmp_path / "config.xml", '<View><Video name="v" value="$video"/></View>', bom=False)
    assert spans(load_dataset(data))[0][2:] == (round(10 / 24, 3), 1.25)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/data/local-files/?d=a%20b/c é.mp4", "a b/c é.mp4"),
        ("https://host.example/x/c%20d.mp4?token=1", "c d.mp4"),
        ("s3://bucket/x/c.mp4", "c.mp4"),
        (r"C:\Users\me\c d.mp4", "c d.mp4"),
        (r"folder\c.mp4", "folder/c.mp4"),
    ],
)
def test_videos_are_found_whatever_address_was_noted(tmp_path: Path, address: str, name: str) -> None:
    touch(tmp_path / name)
    task = studio_task()
    task["data"] = {"video_url": address, "note": "x"}
    task["annotations"] = [
        {"result": [{"value": {"choices": ["wave é"]}}, {"value": {"start": 1.5, "end": 2, "channel": 0, "labels": ["jump"]}}]}
    ]
    write_json(tmp_path / "export.json", [task])
    clips = load_dataset(f"labelstudio:{tmp_path}")
    assert clips[0].path.samefile(tmp_path / name)
    assert [row[1:] for row in spans(clips)] == [("wave é", 0.0, None), ("jump", 1.5, 2.0)]


# --- what is damaged


def changed(maker: Callable[[Path], str], file: str, old: str, new: str) -> Callable[[Path], str]:
    """A layout in whose file one text is another."""

    def make(path: Path) -> str:
        data = maker(path)
        text = (path / file).read_text("utf-8-sig")
        assert old in text, text
        (path / file).write_text(text.replace(old, new, 1), "utf-8")
        return data

    make.__name__ = f"{file}: {old[:30]!r} -> {new[:30]!r}"
    return make


def project(**parts: object) -> Callable[[Path], str]:
    """A VIA project with other parts."""

    def make(path: Path) -> str:
        touch(path / LONG)
        write_json(path / "p.json", via_project() | parts)
        return f"via:{path / 'p.json'}"

    make.__name__ = str(parts)[:60]
    return make


def boris(*rows: str) -> Callable[[Path], str]:
    def make(path: Path) -> str:
        touch(path / "a.mp4")
        touch(path / "b.mp4")
        write(path / "e.csv", BORIS_COLUMNS, *rows)
        return f"boris:{path / 'e.csv'}"

    make.__name__ = str(rows)[:60]
    return make


SPLITS = "testTrainMulti_7030_splits"
DATABASE = "activity_net.v1-3.json"
LABELS = "something-something-v2-labels.json"
TRAIN = "something-something-v2-train.json"
DAMAGED = [
    (changed(make_top5, "ucf101_top5/train.csv", "tag", "class"), r"train\.csv:1: expected the columns video_name and tag"),
    (changed(make_top5, "ucf101_top5/train.csv", ",Punch", ",Kick"), r"train\.csv:2: 'Kick' is not one of CricketShot"),
    (changed(make_top5, "ucf101_top5/test.csv", "v_Punch", "v_Kick"), r"v_Kick_g01_c01\.avi: listed but not there \(1 of 6"),
    (
        changed(make_hmdb51, f"{SPLITS}/wave_test_split1.txt", "_1.avi 1", "_1.avi 3"),
        r"wave_test_split1\.txt:2: .* and 0, 1 or 2",
    ),
    (changed(make_kinetics, "train.csv", "time_end", "end"), r"train\.csv:1: no column 'time_end'"),
    (changed(make_kinetics, "train.csv", ",10,20,", ",10,soon,"), r"train\.csv:3: column 'time_end': 'soon' is not a number"),
    (
        changed(make_kinetics, "train.csv", ",10,20,", ",10,10,"),
        r"train\.csv:3: column 'time_end': 10 is not after time_start, 10",
    ),
    (changed(make_kinetics, "train.csv", "20,train", "20,dev"), r"train\.csv:3: column 'split': 'dev' is not one of train"),
    (changed(make_kinetics, "train.csv", "riding a bike", ""), r"train\.csv:2: column 'label' is empty"),
    (changed(make_ssv2, LABELS, "{", "["), r"labels\.json:2: not JSON"),
    (changed(make_ssv2, TRAIN, '"template"', '"tmpl"'), r"train\.json: entry 1: field 'template' is missing"),
    (
        changed(make_ssv2, TRAIN, "Holding [", "Eating ["),
        r"train\.json: entry 1: template 'Eating something .* not in the labels",
    ),
    (changed(make_ssv2, TRAIN, '"10"', "true"), r"train\.json: entry 1: field 'id' is 'True'"),
    (changed(make_activitynet, DATABASE, '"database"', '"data"'), r"activity_net\.v1-3\.json: field 'database' is missing"),
    (changed(make_activitynet, DATABASE, "1.5", "NaN"), r"video 'id-1': field 'segment': 'nan' is not a number"),
    (changed(make_activitynet, DATABASE, "1.5,", ""), r"video 'id-1': field 'segment' is \[4\], not a start and an end"),
    (changed(make_activitynet, DATABASE, '"training"', '"dev"'), r"video 'id-1': field 'subset' is 'dev', not training"),
    (changed(make_activitynet, DATABASE, '"Zumba é"', "7"), r"video 'id-1': the label is 7, not a name"),
    (
        changed(make_list_file, "all.csv", "clip 2.mp4;jump up", "clip 2.mp4"),
        r"all\.csv:4: 'clip 2\.mp4' is not a path and a label",
    ),
    (
        changed(make_list_file, "all.csv", "clip 2.mp4", "clip 2.doc"),
        r"all\.csv:4: 'clip 2\.doc' is not the name of a video file",
    ),
    (
        changed(make_list, "label_map.txt", "Zähne putzen\n", ""),
        r"train_list\.txt:2: the label is the number 1, which .* not name",
    ),
    (changed(make_frames_list, "train_rawframes.txt", "clip 1a 3 1", "clip"), r"train_rawframes\.txt:2: 'clip' is not a path"),
    (project(metadata={}), r"p\.json: no temporal segment has a value for one of the attributes note, Activity, object"),
    (project(metadata=[]), r"p\.json: field 'metadata' is '\[\]', not an object"),
    (
        project(metadata={"a": {"vid": "1", "z": [3, 2], "av": {"2": "7"}}}),
        r"metadata 'a': the end, 2 s, is not after the start, 3 s",
    ),
    (project(metadata={"a": {"vid": "1", "z": [3, 4], "av": {"2": "5"}}}), r"metadata 'a': option '5' is not one of .*\(7, 8\)"),
    (project(metadata={"a": {"vid": "2", "z": [3, 4], "av": {"2": "7"}}}), r"metadata 'a': view '2': field '2' is missing"),
    (project(metadata={"a": {"vid": "1", "z": [3, "x"], "av": {"2": "7"}}}), r"metadata 'a': field 'z': 'x' is not a number"),
    (
        project(file={"9": {"fname": "other.mp4", "src": ""}}),
        r"p\.json: its video 'other\.mp4' is not there \(looked for .*other\.mp4",
    ),
    (changed(make_elan, "session 1.eaf", "</HEADER>", ""), r"session 1\.eaf:\d+: not XML \(mismatched tag"),
    (changed(make_elan, "session 1.eaf", "ANNOTATION_DOCUMENT", "HTML"), r"session 1\.eaf:\d+: not XML"),
    (
        changed(make_elan, "session 1.eaf", 'REF2="ts2"', 'REF2="ts9"'),
        r"tier 'Action', annotation 'a1': time slot 'ts9' is not in",
    ),
    (
        changed(make_elan, "session 1.eaf", ' TIME_SLOT_REF2="ts2"', ""),
        r"annotation 'a1': <ALIGNABLE_ANNOTATION> without the attribute",
    ),
    (changed(make_elan, "session 1.eaf", 'VALUE="1000"', 'VALUE="x"'), r"time slot 'ts1': 'x' is not a number"),
    (
        changed(make_elan, "session 1.eaf", "<ANNOTATION_DOCUMENT", '<!DOCTYPE a [<!ENTITY b "c">]><ANNOTATION_DOCUMENT'),
        r"session 1\.eaf: not XML that can be read \(it declares a document type",
    ),
    (boris(), r"e\.csv:1: no events below the header"),
    (boris(boris_row("o", "p", "eat", "START", 1, "a.mp4")), r"e\.csv:2: 'eat' starts but never stops"),
    (boris(boris_row("o", "p", "eat", "STOP", 1, "a.mp4")), r"e\.csv:2: 'eat' stops without having started"),
    (boris(*[boris_row("o", "p", "eat", "START", n, "a.mp4") for n in (1, 2)]), r"e\.csv:3: 'eat' starts again.* line 2"),
    (boris(boris_row("o", "p", "eat", "EVENT", 1, "a.mp4")), r"e\.csv:2: column 'Behavior type' is 'EVENT', not START"),
    (boris(boris_row("o", "p", "", "POINT", 1, "a.mp4")), r"e\.csv:2: column 'Behavior' is missing or empty"),
    (boris(boris_row("o", "p", "eat", "POINT", 1, "c.mp4")), r"e\.csv: its video 'c\.mp4' is not there"),
    (
        boris(*[boris_row("o", "p", "eat", "POINT", n, f"{'ab'[n]}.mp4") for n in (0, 1)]),
        r"e\.csv:3: one observation over two files \(a\.mp4, b\.mp4\), whose times run on",
    ),
    (changed(make_boris, "events.csv", "Time", "When"), r"events\.csv: no header with the columns Behavior and Time"),
    (
        changed(make_cvat, "task 1.xml", 'frame="11"', 'frame="8.5"'),
        r"task 1\.xml: track '0': frame: '8\.5' is not a frame number",
    ),
    (changed(make_cvat, "task 1.xml", 'frame="10"', 'frame="x"'), r"task 1\.xml: track '0': frame: 'x' is not a number"),
    (changed(make_cvat, "task 1.xml", ' label="winken é"', ""), r"task 1\.xml: track '0': <track> without the attribute 'label'"),
    (changed(make_cvat, "task 1.xml", "<source>1 ", "<source>3 "), r"task 1\.xml: its video '3 .*' is not there"),
    (changed(make_cvat, "task 1.xml", "<annotations>", "<annotation>"), r"task 1\.xml:\d+: not XML"),
    (changed(make_labelstudio, "export.json", "winken é", " "), r"task 5: the label is ' ', not a name"),
    (changed(make_labelstudio, "export.json", '"start": 11', '"start": null'), r"task 5: 'ranges': 'None' is not a number"),
    (changed(make_labelstudio, "export.json", '"fps": 10', '"fps": "0.0"'), r"task 5: field 'fps': a framerate of 0"),
    (changed(make_labelstudio, "export.json", '"annotations"', '"videoLabels"'), r"task 5: .* export as JSON, not JSON-MIN"),
    (changed(make_labelstudio, "export.json", "-1 ", "-3 "), r"export\.json: its video .* is not there \(looked for "),
]


@pytest.mark.parametrize(("maker", "words"), DAMAGED, ids=lambda value: getattr(value, "__name__", None))
def test_what_is_damaged_is_named(tmp_path: Path, maker: Callable[[Path], str], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        load_dataset(maker(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("maker", "words"),
    [
        (
            changed(make_activitynet, DATABASE, "1.5", "1e300"),
            r"video 'id-1': field 'segment': '1e\+300' is more than 10,000,000",
        ),
        (changed(make_activitynet, DATABASE, "1.5", "-1"), r"video 'id-1': field 'segment': '-1' is not a number of at least 0"),
        (changed(make_kinetics, "train.csv", ",10,20,", ",10,1e300,"), r"train\.csv:3: column 'time_end': '1e300' is more than"),
        (
            changed(make_kinetics, "train.csv", "riding a bike", "x" * 200_000),
            r"train\.csv:2: a value of more than 131,072 letters",
        ),
        (changed(make_kinetics, "train.csv", '"zähne', '"zähne"'), r"train\.csv:3: a quote is not closed, or stands inside"),
        (project(metadata={"a": {"vid": "1", "z": [3, 1e300], "av": {"2": "7"}}}), r"metadata 'a': field 'z': '1e\+300' is more"),
        (changed(make_elan, "session 1.eaf", 'VALUE="1000"', 'VALUE="1e300"'), r"time slot 'ts1': '1e300' is more than"),
        (boris(boris_row("o", "p", "eat", "POINT", 1e300, "a.mp4")), r"e\.csv:2: column 'Time': '1e\+300' is more than"),
        (boris(boris_row("o", "p", "eat", "POINT", -1, "a.mp4")), r"e\.csv:2: the event lies 1 s before the start of its video"),
        (boris(boris_row("o", "p", "eat", "POINT", 1, "x" * 5000)), r"e\.csv: its video 'x+' is not there"),
        (
            changed(make_cvat, "task 1.xml", 'frame="10"', 'frame="1e300"'),
            r"track '0': frame: '1e300' is more than 1,000,000,000",
        ),
        (changed(make_labelstudio, "export.json", '"fps": 10', '"fps": 1e-308'), r"task 5: field 'fps': a framerate of 1e-308"),
        (changed(make_labelstudio, "export.json", '"start": 11', '"start": 1e300'), r"task 5: 'ranges': '1e\+300' is more than"),
        (
            changed(make_list_file, "all.csv", "wave é", "9" * 5000),
            r"all\.csv:3: the label is a number of 5000 digits, not that of",
        ),
        (
            changed(make_ucf101, "ucfTrainTestlist/trainlist01.txt", "BabyCrawling/", "x" * 5000 + "/"),
            r"xx/v_.* listed but not there",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_no_video_can_have_is_refused_where_it_comes_in(tmp_path: Path, maker: Callable[[Path], str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_dataset(maker(tmp_path))


@pytest.mark.parametrize(
    ("maker", "file", "words"),
    [
        (make_list, "kinetics_train_list.txt", r"train_list\.txt:2: not UTF-8 text \(byte 0xe9\); save it as UTF-8"),
        (make_list, "label_map.txt", r"label_map\.txt:2: not UTF-8 text"),
        (make_hmdb51, f"{SPLITS}/wave_test_split1.txt", r"split1\.txt:1: not UTF-8 text"),
        (make_kinetics, "train.csv", r"train\.csv:3: not UTF-8 text"),
        (make_ssv2, LABELS, r"labels\.json:\d: not UTF-8 text"),
        (make_boris, "events.csv", r"events\.csv:2: not UTF-8 text"),
        (make_csv, "clips.csv", r"clips\.csv:2: not UTF-8 text"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_every_text_may_be_unicode_of_any_kind_and_nothing_else(
    tmp_path: Path, maker: Callable[[Path], str], file: str, words: str, encoding: str
) -> None:
    data = maker(tmp_path)
    before, text = load_dataset(data), (tmp_path / file).read_text("utf-8-sig")
    (tmp_path / file).write_bytes(text.encode(encoding))
    if encoding == "latin-1":
        with pytest.raises(DataError, match=words):
            load_dataset(data)
    else:
        assert load_dataset(data) == before


def test_xml_in_another_encoding_is_named_unless_it_says_so(tmp_path: Path) -> None:
    data = elan_file(tmp_path, tier("action", "a1 ts1-ts2 grüßen", "a2 ts2-ts3 wave"))
    text = (tmp_path / "s.eaf").read_text("utf-8")
    (tmp_path / "s.eaf").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"s\.eaf:4: not UTF-8 text \(byte 0xfc\); save it as UTF-8"):
        load_dataset(data)
    (tmp_path / "s.eaf").write_bytes(('<?xml version="1.0" encoding="ISO-8859-1"?>' + text).encode("latin-1"))
    assert [clip.label for clip in load_dataset(data)] == ["grüßen", "wave"]


TEXTS = (".txt", ".csv", ".json", ".eaf", ".xml", ".tsv")


@pytest.mark.parametrize("maker", [m for makers in MAKERS.values() for m in makers], ids=lambda maker: maker.__name__)
def test_damage_of_any_kind_is_an_error_of_ours_or_harmless(tmp_path: Path, maker: Callable[[Path], str]) -> None:
    """Cut, other bytes, other values at random places: never anything but a DataError with a path in it, or clips a video can have."""
    data = maker(tmp_path)
    files = sorted(file for file in tmp_path.rglob("*") if file.suffix in TEXTS)
    rng = random.Random(maker.__name__)
    for _ in range(60 if files else 0):
        file = rng.choice(files)
        whole = file.read_bytes() or b"x"
        file.write_bytes(damaged(whole, rng))
        try:
            clips = load_dataset(data)
        except GerundError as error:
            assert isinstance(error, DataError), error
            assert str(tmp_path) in str(error) or "leaks" in str(error), error
        else:
            assert all(0 <= clip.start < (clip.end or 2e7) <= 2e7 for clip in clips)
        file.write_bytes(whole)


VALUES = (
    *(
        b"-9",
        b"",
        b"null",
        b"NaN",
        b"1e999",
        b"1e300",
        b"1e-308",
        b"-0.5",
        b"9" * 5000,
        b"x" * 5000,
        b"x" * 140_000,
        b"true",
        b"[]",
        b"{}",
    ),
    *(
        rb"a\b",
        b"../..",
        b"http://[",
        b"file:///",
        b"%00",
        b"\\u0000",
        b"\\ud800",
        b"\xff",
        b"\0",
        b'"',
        b"'",
        b";",
        b"\t",
        b"\n#",
        b" " * 5000,
    ),
)


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """A file with something wrong somewhere: cut off, one byte, one value, one mark, two lines swapped, or one line twice."""
    place = rng.randrange(len(whole))
    words = list(re.finditer(rb"[\w./#:-]+", whole)) or list(re.finditer(rb".", whole, re.DOTALL))
    lines = whole.splitlines(keepends=True)
    word, line = rng.choice(words), rng.randrange(len(lines))
    return rng.choice(
        [
            whole[:place],
            whole[:place] + bytes([rng.randrange(256)]) + whole[place + 1 :],
            whole[: word.start()] + rng.choice(VALUES) + whole[word.end() :],
            whole[: word.start()] + rng.choice(VALUES) + whole[word.end() :],
            whole[: word.start()] + rng.choice(words)[0] + whole[word.end() :],
            whole.replace(*rng.choice([(b"{", b"["), (b",", b";"), (b'"', b""), (b"<", b"<<"), (b" ", b"")]), 1),
            b"".join([*lines[:line], lines[line], *lines[line:]]),
            b"".join([*lines[:line], *lines[line + 1 :]]),
        ]
    )


def test_json_that_is_too_deep_or_too_long_is_refused(tmp_path: Path) -> None:
    for text in ("[" * 100_000, '{"metadata": ' + "9" * 5000 + "}"):
        (tmp_path / "p.json").write_text(text)
        with pytest.raises(DataError, match=r"p\.json: not JSON that can be read"):
            load_dataset(f"via:{tmp_path / 'p.json'}")


def test_text_in_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    make_list_file(tmp_path)
    (tmp_path / "all.csv").write_bytes("a.mp4;jump\nb.mp4;grüßen\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"all\.csv:2: not UTF-8 text \(byte 0xfc\)"):
        load_dataset(f"list:{tmp_path / 'all.csv'}")


@pytest.mark.parametrize(
    "name", ["via", "elan", "boris", "cvat", "labelstudio", "hmdb51", "kinetics", "ssv2", "activitynet", "list"]
)
def test_an_empty_folder_says_what_was_expected(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(f"{name}:{tmp_path}")
    assert str(tmp_path) in str(caught.value)
    assert "no " in str(caught.value) or "0 JSON" in str(caught.value)


def test_an_elan_file_without_its_video_says_where_it_looked(tmp_path: Path) -> None:
    write(tmp_path / "s.eaf", *eaf("gone.mp4"), bom=False)
    looked = r"\./gone\.mp4' is not there \(looked for .*gone\.mp4, /elsewhere/gone\.mp4.*\); put it beside the annotation file"
    with pytest.raises(DataError, match=looked):
        load_dataset(f"elan:{tmp_path}")


def test_json_of_a_wrong_shape_says_so(tmp_path: Path) -> None:
    for name, words in (("via", "expected an object with the field 'metadata'"), ("labelstudio", "no annotation of a span")):
        (tmp_path / "x.json").write_text(json.dumps([]))
        with pytest.raises(DataError, match=words):
            load_dataset(f"{name}:{tmp_path / 'x.json'}")


def test_images_beside_frame_folders_do_no_harm(tmp_path: Path) -> None:
    images(tmp_path / "wave" / "a")
    images(tmp_path / "jump" / "b")
    touch(tmp_path / "overview.jpg")
    assert len(load_dataset(f"frames:{tmp_path}")) == 2
