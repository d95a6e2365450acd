"""The CSV manifest, there and back, and splits that never part a group."""

from __future__ import annotations

import csv
import hashlib
import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from gerund.core.errors import DataError, UsageError
from gerund.core.types import Clip
from gerund.data.manifest import TEST_SHARE, assign_splits, group_of, labels_of, leaking_groups, read_manifest, write_manifest


def manifest(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "clips.csv"
    path.write_bytes(text.encode(encoding))
    return path


def clips_of(groups_per_label: dict[str, int], clips_per_group: int = 2, folder: str = "/data") -> list[Clip]:
    return [
        Clip(path=Path(folder, label, f"{group}_{number}.mp4"), label=label, group=f"{label}_{group}")
        for label, groups in groups_per_label.items()
        for group in range(groups)
        for number in range(clips_per_group)
    ]


def split_of_groups(clips: list[Clip]) -> dict[str, str | None]:
    return {group_of(clip): clip.split for clip in clips}


def hash_by_hand(group: str, seed: int, split: str) -> float:
    return int(hashlib.sha256(f"{seed}/{split}/{group}".encode()).hexdigest()[:12], 16) / 16**12


def test_what_is_written_is_read_back_the_same(tmp_path: Path) -> None:
    clips = [
        Clip(path=tmp_path / "vidéos" / "Zähne putzen, früh.mp4", label="Zähne putzen", split="train", group="Zoë, 1"),
        Clip(path=tmp_path / 'say "hi"; bye.mp4', label="grüßen", start=0.04, end=12345.678, split="val"),
        Clip(path=tmp_path / "a,b" / "日本.avi", label="走る", start=1 / 3, end=2.0, split="test", group="g"),
        Clip(path=Path("/elsewhere/far away.mkv")),
    ]
    write_manifest(clips, tmp_path / "clips.csv")
    assert read_manifest(tmp_path / "clips.csv") == clips


@pytest.mark.parametrize("name", ["two\nlines.mp4", "separator\u2028.mp4", "next\x85line.mp4"])
def test_a_name_with_a_line_break_comes_back(tmp_path: Path, name: str) -> None:
    clips = [Clip(path=tmp_path / name, label="a"), Clip(path=tmp_path / "b.mp4", label="b")]
    write_manifest(clips, tmp_path / "clips.csv")
    assert read_manifest(tmp_path / "clips.csv") == clips


def test_paths_below_the_manifest_are_relative_and_others_absolute(tmp_path: Path) -> None:
    write_manifest([Clip(path=tmp_path / "in" / "a.mp4"), Clip(path=tmp_path.parent / "out.mp4")], tmp_path / "clips.csv")
    rows = list(csv.reader((tmp_path / "clips.csv").read_text().splitlines()))
    assert [row[0] for row in rows] == ["path", "in/a.mp4", str(tmp_path.parent / "out.mp4")]


def test_a_manifest_moves_with_its_videos(tmp_path: Path) -> None:
    write_manifest([Clip(path=tmp_path / "old" / "a.mp4", label="a")], tmp_path / "old" / "clips.csv")
    (tmp_path / "old").rename(tmp_path / "new")
    assert read_manifest(tmp_path / "new" / "clips.csv")[0].path == tmp_path / "new" / "a.mp4"


def test_a_failed_write_leaves_the_old_manifest(tmp_path: Path) -> None:
    write_manifest([Clip(path=tmp_path / "a.mp4", label="a")], tmp_path / "clips.csv")
    with pytest.raises(AttributeError):
        write_manifest([Clip(path=tmp_path / "b.mp4"), None], tmp_path / "clips.csv")  # type: ignore[list-item]
    assert [clip.path.name for clip in read_manifest(tmp_path / "clips.csv")] == ["a.mp4"]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_spreadsheet_export_with_byte_order_mark_and_any_line_ends_is_read(tmp_path: Path, ends: str) -> None:
    text = ends.join(["path,label,split", "a.mp4,wave,train", "", " b.mp4 , jump ,test", ""])
    clips = read_manifest(manifest(tmp_path, text, "utf-8-sig"))
    assert [(clip.path, clip.label, clip.split) for clip in clips] == [
        (tmp_path / "a.mp4", "wave", "train"),
        (tmp_path / "b.mp4", "jump", "test"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "path;label;split\na.mp4;wave, left;train\nb.mp4;jump;test\n",
        "path\tlabel\tsplit\na.mp4\twave, left\ttrain\nb.mp4\tjump\ttest\n",
        "sep=;\r\npath;label;split\r\na.mp4;wave, left;train\r\nb.mp4;jump;test\r\n",
        '"sep=\t"\npath\tlabel\tsplit\na.mp4\twave, left\ttrain\nb.mp4\tjump\ttest\n',
        'Path,LABEL , Split\na.mp4,"wave, left",train\nb.mp4,jump,test\n',
        'path, label, split\na.mp4, "wave, left", train\nb.mp4, jump, test\n',
        ',path,label,split\n0,a.mp4,"wave, left",train\n1,b.mp4,jump,test\n',
        "\tpath\tlabel\tsplit\n0\ta.mp4\twave, left\ttrain\n1\tb.mp4\tjump\ttest\n",
        'Unnamed: 0,Unnamed: 0.1,path,label,split\n0,0,a.mp4,"wave, left",train\n7,1,b.mp4,jump,test\n',
        'path,label,split,,\na.mp4,"wave, left",train,,\n,,,,\nb.mp4,jump,test,,\n,,,,\n,,,,\n',
        '\n  \n"path";"label";"split"\n"a.mp4";"wave, left";"train"\n"b.mp4";"jump";"test"\n\n',
        'path,label,split\na.mp4,"wave, left",train,,\nb.mp4,jump,test,\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_are_read_as_spreadsheets_and_pandas_write_them(tmp_path: Path, text: str, encoding: str) -> None:
    assert read_manifest(manifest(tmp_path, text, encoding)) == [
        Clip(path=tmp_path / "a.mp4", label="wave, left", split="train"),
        Clip(path=tmp_path / "b.mp4", label="jump", split="test"),
    ]


@pytest.mark.parametrize(
    ("written", "there"),
    [
        (r"v\a.mp4", "v/a.mp4"),
        (r".\v\a.mp4", "v/a.mp4"),
        (r"v/w\a.mp4", "v/w/a.mp4"),
        (r"C:\Users\me\v\a.mp4", "v/a.mp4"),
        (r"\\server\share\v\a.mp4", "v/a.mp4"),
        ("file:///D:/films/v/a%20b.mp4", "v/a b.mp4"),
        ("v/a%20b.mp4", "v/a b.mp4"),
        ("v/e\u0301.mp4", "v/\u00e9.mp4"),
        ("v/\u00e9.mp4", "v/e\u0301.mp4"),
    ],
)
def test_a_path_is_found_as_windows_and_others_write_it(tmp_path: Path, written: str, there: str) -> None:
    (tmp_path / there).parent.mkdir(parents=True)
    (tmp_path / there).touch()
    (clip,) = read_manifest(manifest(tmp_path, f"path,label\n{written},x\n"))
    assert clip.path.samefile(tmp_path / there)


@pytest.mark.skipif(os.name == "nt", reason="a backslash parts folders there")
def test_a_file_that_is_called_exactly_as_written_comes_first(tmp_path: Path) -> None:
    for name in (r"v\a.mp4", "v/a.mp4", "b%20c.mp4", "b c.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    clips = read_manifest(manifest(tmp_path, "path\nv\\a.mp4\nb%20c.mp4\n"))
    assert [clip.path for clip in clips] == [tmp_path / r"v\a.mp4", tmp_path / "b%20c.mp4"]


def test_the_longest_part_of_a_path_of_another_machine_counts(tmp_path: Path) -> None:
    for name in ("left/0.mp4", "right/0.mp4", "0.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    clips = read_manifest(manifest(tmp_path, "path\nD:\\v\\right\\0.mp4\nD:\\v\\left\\0.mp4\nD:\\v\\1.mp4\n"))
    assert [clip.path for clip in clips] == [tmp_path / "right" / "0.mp4", tmp_path / "left" / "0.mp4", tmp_path / "D:/v/1.mp4"]


def test_columns_that_are_missing_or_empty_have_their_defaults(tmp_path: Path) -> None:
    clips = read_manifest(manifest(tmp_path, "end,path,start,group\n,a.mp4,,\n2.5,b.mp4,1,p1\n"))
    assert clips == [Clip(path=tmp_path / "a.mp4"), Clip(path=tmp_path / "b.mp4", start=1.0, end=2.5, group="p1")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "",
            r"clips\.csv:1: no column 'path' \(found: nothing\); the columns are path,label,start,end,subject,status,by,at,group,split",
        ),
        ("video,label\na.mp4,x\n", r"clips\.csv:1: no column 'path' \(found: video, label\)"),
        ("path,class\na.mp4,x\n", r"clips\.csv:1: unknown column 'class'"),
        ("path,label\n", r"clips\.csv: no rows below the header"),
        ("path,label\na.mp4,x\n,y\n", r"clips\.csv:3: column 'path': is empty"),
        ("path,label\na.mp4,x,y\n", r"clips\.csv:2: more values than columns; quote values that contain a comma"),
        ("path,start\na.mp4,1\nb.mp4,soon\n", r"clips\.csv:3: column 'start': 'soon' is not a number of at least 0"),
        ("path,start\na.mp4,-1\n", r"clips\.csv:2: column 'start': '-1' is not a number of at least 0"),
        ("path,end\na.mp4,nan\n", r"clips\.csv:2: column 'end': 'nan' is not a number of at least 0"),
        ("path,end\na.mp4,inf\n", r"clips\.csv:2: column 'end': 'inf' is not a number of at least 0"),
        ("path,start,end\na.mp4,2,1.5\n", r"clips\.csv:2: column 'end': 1\.5 is before start, 2"),
        ("path,status\na.mp4,done\n", r"clips\.csv:2: column 'status': 'done' is not one of confirmed, suggested, rejected"),
        ("path,split\na.mp4,dev\n", r"clips\.csv:2: column 'split': 'dev' is not one of train, val, test"),
        (
            'path,label\na.mp4,"' + "x" * 200_000 + '"\n',
            r"clips\.csv:2: a value of more than 131,072 letters; a quote is not closed",
        ),
        ("path,start,end\na.mp4,1e300,\n", r"clips\.csv:2: column 'start': '1e300' is more than 10,000,000"),
        ("path,start,end\na.mp4,0,1_0\n", r"clips\.csv:2: column 'end': '1_0' is not a number"),
        ("path,Path\na.mp4,b.mp4\n", r"clips\.csv:1: column 'path' is there twice"),
        ("path,label,\na.mp4,x,y\n", r"clips\.csv:2: the value 'y' stands in a column without a name"),
        ('path,label\na.mp4,x\nb.mp4,"y\nc.mp4,x\nd.mp4,y\n', r"clips\.csv:3: a quote is not closed"),
        ('path,label\na.mp4,x\nb.mp4,"y\nc.mp4,"x\nd.mp4,y\n', r"clips\.csv:3: a quote is not closed"),
        ('path,label\na.mp4,"x\nb.mp4,y"\nc.mp4,x\n', r"clips\.csv:2: column 'label': .* several lines; is a quote not closed\?"),
        ("\0".join("path,label\na.mp4,x\n"), r"clips\.csv:1: not UTF-8 text \(every other byte is zero, as in UTF-16"),
    ],
)
def test_what_cannot_be_read_is_named_with_file_line_and_column(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_manifest(manifest(tmp_path, text))


def test_a_manifest_in_another_encoding_or_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"clips\.csv:2: not UTF-8 text \(byte 0xfc\); save it as UTF-8"):
        read_manifest(manifest(tmp_path, "path,label\na.mp4,grüßen\n", "latin-1"))
    with pytest.raises(DataError, match=r"none\.csv: not readable \(No such file"):
        read_manifest(tmp_path / "none.csv")


def test_labels_sort_without_regard_to_case() -> None:
    clips = [Clip(path=Path("x"), label=label) for label in ("JumpRope", "JumpingJack", "Biking", "jump", None, "JumpRope")]
    assert labels_of(clips) == ["Biking", "jump", "JumpingJack", "JumpRope"]


def test_no_group_is_parted_and_every_class_can_be_trained_and_tested() -> None:
    clips = clips_of({f"class{number}": 2 + number for number in range(12)}, clips_per_group=3)
    for seed in range(10):
        done, _ = assign_splits(clips, seed=seed)
        assert leaking_groups(done) == {}
        assert [replace(clip, split=None) for clip in done] == clips
        for split in ("train", "test"):
            assert {clip.label for clip in done if clip.split == split} == {clip.label for clip in clips}


def test_a_group_shared_by_classes_stays_whole() -> None:
    clips = [Clip(path=Path(f"{person}_{label}.mp4"), label=label, group=f"p{person}") for person in range(9) for label in "abc"]
    done, _ = assign_splits(clips)
    assert leaking_groups(done) == {}
    assert {(clip.split, clip.label) for clip in done} >= {(split, label) for split in ("train", "test") for label in "abc"}


def test_the_same_seed_splits_the_same_in_any_order_and_another_seed_differently() -> None:
    clips = clips_of({"a": 20, "b": 20})
    first, again, other = (assign_splits(each, seed=seed)[0] for each, seed in ((clips, 1), (clips[::-1], 1), (clips, 2)))
    assert split_of_groups(first) == split_of_groups(again)
    assert split_of_groups(first) != split_of_groups(other)


def test_the_shares_are_about_right_over_many_groups() -> None:
    done, _ = assign_splits(clips_of({"a": 1000, "b": 1000}, clips_per_group=1), val=0.15)
    share = {split: sum(clip.split == split for clip in done) / len(done) for split in ("train", "val", "test")}
    assert share["test"] == pytest.approx(0.2, abs=0.02)
    assert share["val"] == pytest.approx(0.15 * 0.8, abs=0.02)
    assert sum(share.values()) == 1


def test_a_group_goes_where_its_hash_says() -> None:
    done, _ = assign_splits(clips_of({"a": 30, "b": 30}), seed=5, val=0.25)
    for group, split in split_of_groups(done).items():
        if hash_by_hand(group, 5, "test") < TEST_SHARE:
            assert split == "test"
        else:
            assert split == ("val" if hash_by_hand(group, 5, "val") < 0.25 else "train")


def test_adding_clips_never_moves_an_existing_group() -> None:
    before, _ = assign_splits(clips_of({"a": 25, "b": 25}))
    after, _ = assign_splits(clips_of({"a": 40, "b": 25, "c": 10}, clips_per_group=5))
    assert split_of_groups(before).items() <= split_of_groups(after).items()


def test_only_a_stand_in_goes_back_when_a_group_with_a_lower_hash_arrives() -> None:
    names = [f"person{number}" for number in range(60)]
    high = [name for name in names if hash_by_hand(name, 0, "test") > TEST_SHARE][:4]
    low = next(name for name in names if hash_by_hand(name, 0, "test") < TEST_SHARE)
    stand_in = min(high, key=lambda name: hash_by_hand(name, 0, "test"))

    def test_groups(members: list[str]) -> set[str]:
        clips = [Clip(path=Path(f"{label}{name}"), label=label, group=name) for name in members for label in "ab"]
        return {group for group, split in split_of_groups(assign_splits(clips, val=0)[0]).items() if split == "test"}

    assert test_groups(high) == {stand_in}
    assert test_groups([*high, low]) == {low}


def test_moving_the_whole_data_set_moves_no_clip_to_another_side() -> None:
    here, there = (
        assign_splits([replace(clip, group=None) for clip in clips_of({"a": 15, "b": 15}, folder=folder)])[0]
        for folder in ("/data", "/mnt/disk 2/data")
    )
    assert [clip.split for clip in here] == [clip.split for clip in there]
    assert {clip.split for clip in here} == {"train", "val", "test"}


def test_a_given_split_is_kept_and_validation_carved_out_of_train_only() -> None:
    given = [replace(clip, split="test" if index % 4 < 2 else "train") for index, clip in enumerate(clips_of({"a": 30, "b": 30}))]
    done, notes = assign_splits(given)
    assert [clip for clip in done if clip.split == "test"] == [clip for clip in given if clip.split == "test"]
    assert {clip.split for clip in done} == {"train", "val", "test"}
    assert leaking_groups(done) == {}
    assert len(notes) == 1
    assert "carved by group from the training clips" in notes[0]


def test_given_validation_is_kept_as_it_is() -> None:
    given = [
        replace(clip, split=("train", "val", "test")[index % 6 // 2]) for index, clip in enumerate(clips_of({"a": 9, "b": 9}))
    ]
    assert assign_splits(given) == (given, [])


def test_the_notes_count_what_was_set_aside() -> None:
    done, notes = assign_splits(clips_of({"a": 12, "b": 12}, clips_per_group=3))
    counts: dict[str | None, set[str]] = defaultdict(set)
    for clip in done:
        counts[clip.split].add(group_of(clip))
    assert f"{3 * len(counts['test'])} of 72 clips ({len(counts['test'])} groups) set aside as test" in notes[0]
    assert f"{3 * len(counts['val'])} of 72 clips ({len(counts['val'])} group" in notes[1]


def test_what_cannot_be_split_says_why() -> None:
    clips = clips_of({"a": 3, "b": 3})
    with pytest.raises(DataError, match="only one class, 'a'; a recogniser needs clips of at least two"):
        assign_splits(clips_of({"a": 5}))
    with pytest.raises(DataError, match=r"class 'b' has clips of one group only \(b_0\); it needs another one to be tested on"):
        assign_splits(clips_of({"a": 5, "b": 1}))
    with pytest.raises(DataError, match=r"0_0\.mp4: no label"):
        assign_splits([replace(clips[0], label=None), *clips[1:]])
    with pytest.raises(DataError, match=r"0_1\.mp4: no split, though 1 other clips have one; give all or none"):
        assign_splits([replace(clips[0], split="train"), *clips[1:]])
    with pytest.raises(DataError, match="no clip of b is left to train on"):
        assign_splits([replace(clip, split="train" if clip.label == "a" else "test") for clip in clips])
    with pytest.raises(DataError, match="no clips"):
        assign_splits([])
    with pytest.raises(UsageError, match="--val 1: the share of training groups"):
        assign_splits(clips, val=1)


def test_groups_on_two_sides_are_found() -> None:
    clips = [
        Clip(path=Path("1.mp4"), group="p1", split="train"),
        Clip(path=Path("2.mp4"), group="p1", split="test"),
        Clip(path=Path("3.mp4"), group="p2", split="test"),
        Clip(path=Path("4.mp4"), split="train"),
        Clip(path=Path("4.mp4"), split="val"),
        Clip(path=Path("5.mp4"), group="p2"),
    ]
    assert leaking_groups(clips) == {"p1": {"train", "test"}, "4.mp4": {"train", "val"}}
