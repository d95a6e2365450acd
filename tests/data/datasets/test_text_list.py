"""Lists of videos: any separator, numbers with or without a map, sides by the list's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from gerund.core.errors import DataError
from gerund.data.datasets import load_dataset
from gerund.data.datasets.class_maps import read_class_map
from gerund.data.datasets.text_list import side_of
from gerund.data.manifest import labels_of
from support.layouts import (
    make_list,
    make_list_file,
    spans,
    touch,
    write,
)


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
