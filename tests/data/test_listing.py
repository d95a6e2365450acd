"""What is found below a folder, whatever else lies there, and that nothing is left out without a word."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from gerund.core.errors import DataError
from gerund.data.datasets import load_dataset
from gerund.data.inputs import expand
from gerund.data.listing import Listing, list_videos
from support.layouts import MAKERS, images, make_activitynet, make_hmdb51, make_kinetics, make_ssv2, make_ucf101, touch, write

Captured = pytest.CaptureFixture[str]


def link(path: Path, target: Path | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target, target_is_directory=True)
    return path


def two_classes(path: Path, count: int = 4) -> Path:
    for label in ("left", "right"):
        for number in range(count):
            touch(path / label / f"{number}.mp4")
    return path


def names(listing: Listing) -> list[str]:
    return [path.relative_to(listing.folder).as_posix() for path in listing.videos]


def labels(path: Path | str) -> dict[str, int]:
    found = [clip.label for clip in load_dataset(path)]
    return {str(label): found.count(label) for label in found}


# --- covers and other images


@pytest.mark.parametrize("cover", ["poster.jpg", "a.PNG", "folder.webp", "0001.tif"])
def test_a_folder_of_videos_with_a_cover_is_no_folder_of_frames(tmp_path: Path, cover: str) -> None:
    for name in ("a.mp4", "b.mp4", cover):
        touch(tmp_path / "left" / "s1" / name)
    touch(tmp_path / "right" / "c.mp4")
    assert [clip.path.name for clip in load_dataset(tmp_path)] == ["a.mp4", "b.mp4", "c.mp4"]
    assert [clip.path.name for clip in expand([tmp_path / "left" / "s1"])] == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    "system", [".DS_Store", ".thumbnails/x.jpg", "@eaDir/f/SYNOVIDEO_VIDEO_SCREENSHOT.jpg", "__MACOSX/._x.jpg"]
)
def test_what_systems_put_beside_frames_and_videos_changes_nothing(tmp_path: Path, system: str) -> None:
    images(tmp_path / "left" / "frames")
    touch(tmp_path / "left" / "frames" / system)
    touch(tmp_path / "left" / "a.mp4")
    touch(tmp_path / "left" / system)
    assert names(list_videos(tmp_path)) == ["left/a.mp4", "left/frames"]


def test_thumbnails_beside_videos_are_no_video(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    images(tmp_path / "Thumbs")
    listing = list_videos(tmp_path)
    assert names(listing) == ["a.mp4"]
    assert listing.sentence() == f"{tmp_path}: 1 video; left out: 1 folder of thumbnails (Thumbs)."


def test_a_poster_beside_folders_of_frames_is_counted(tmp_path: Path) -> None:
    images(tmp_path / "left" / "one")
    images(tmp_path / "left" / "two")
    touch(tmp_path / "left" / "poster.jpg")
    touch(tmp_path / "left" / "two" / "Thumbs.db")
    sentence = list_videos(tmp_path).sentence()
    assert sentence == f"{tmp_path}: 2 videos (2 of them folders of images); left out: 2 files with other suffixes (.jpg, .db)."


# --- links


def test_a_link_that_leads_back_adds_nothing(tmp_path: Path, capsys: Captured) -> None:
    link(two_classes(tmp_path) / "left" / "all", "..")
    assert labels(tmp_path) == {"left": 4, "right": 4}
    assert "8 videos; left out: 1 link to a folder that is listed anyway (left/all)." in capsys.readouterr().err


@pytest.mark.parametrize("target", [".", "..", "../..", "../../..", "/", "../right", "../left"])
def test_links_to_what_is_listed_or_lies_above_are_not_followed(tmp_path: Path, target: str) -> None:
    data = two_classes(tmp_path / "data")
    touch(tmp_path / "outside.mp4")
    for name in ("l1", "l2"):
        link(data / "left" / name, target)
    assert labels(data) == {"left": 4, "right": 4}


def test_classes_that_link_to_each_other_keep_their_own(tmp_path: Path) -> None:
    two_classes(tmp_path)
    link(tmp_path / "left" / "r", "../right")
    link(tmp_path / "right" / "l", "../left")
    assert labels(tmp_path) == {"left": 4, "right": 4}


def test_a_folder_linked_into_two_classes_is_listed_once_and_that_is_said(tmp_path: Path, capsys: Captured) -> None:
    touch(tmp_path / "store" / "shared.mp4")
    link(two_classes(tmp_path / "data") / "left" / "x", tmp_path / "store")
    link(tmp_path / "data" / "right" / "y", tmp_path / "store")
    assert labels(tmp_path / "data") == {"left": 5, "right": 4}
    assert "1 link to a folder that is listed anyway (right/y)" in capsys.readouterr().err


def test_a_loop_outside_ends_too(tmp_path: Path) -> None:
    touch(tmp_path / "store" / "deep" / "a.mp4")
    link(tmp_path / "store" / "deep" / "up", "..")
    link(tmp_path / "store" / "deep" / "data", tmp_path / "data")
    link(tmp_path / "data" / "left", tmp_path / "store")
    assert names(list_videos(tmp_path / "data")) == ["left/deep/a.mp4"]


def test_links_to_files_are_videos_and_broken_ones_are_counted(tmp_path: Path) -> None:
    link(tmp_path / "data" / "a.mp4", touch(tmp_path / "store" / "1234"))
    link(tmp_path / "data" / "gone.mp4", "nowhere")
    link(tmp_path / "data" / "self.mp4", "self.mp4")
    listing = list_videos(tmp_path / "data")
    assert names(listing) == ["a.mp4"]
    assert "2 links that lead nowhere (gone.mp4, self.mp4)" in listing.sentence()


@pytest.mark.parametrize("maker", [make_kinetics, make_hmdb51, make_ssv2, make_activitynet, make_ucf101])
def test_every_data_set_finds_its_videos_in_linked_folders(tmp_path: Path, maker: Callable[[Path], str]) -> None:
    """Each folder of the data set is moved elsewhere and linked."""
    data = tmp_path / "data"
    where = maker(data)
    here = load_dataset(where)
    for folder in [path for path in data.iterdir() if path.is_dir()]:
        folder.rename(tmp_path / f"store {folder.name}")
        link(folder, tmp_path / f"store {folder.name}")
    assert load_dataset(where) == here
    link(data / "loop", ".")
    assert load_dataset(where) == here


def test_linked_folders_are_searched_for_what_is_given_to_predict(tmp_path: Path) -> None:
    touch(tmp_path / "store" / "a.mp4")
    link(tmp_path / "data" / "linked", tmp_path / "store")
    link(tmp_path / "data" / "back", ".")
    assert expand([tmp_path / "data"])[0].path == tmp_path / "data" / "linked" / "a.mp4"


# --- what is not taken


def test_hidden_files_are_no_videos_for_any_command(tmp_path: Path, capsys: Captured) -> None:
    for name in ("x.mp4", "._x.mp4", ".hidden/y.mp4"):
        touch(tmp_path / name)
    assert [clip.path.name for clip in expand([tmp_path])] == ["x.mp4"]
    assert capsys.readouterr().err == f"{tmp_path}: 1 video; left out: 2 hidden files and folders (._x.mp4, .hidden).\n"
    assert [clip.path.name for clip in expand([tmp_path / "*.mp4"])] == ["x.mp4"]
    assert [clip.path.name for clip in expand([tmp_path / "._*.mp4"])] == ["._x.mp4"]


def test_a_pattern_means_what_its_files_mean(tmp_path: Path) -> None:
    touch(tmp_path / "one" / "a.mp4")
    touch(tmp_path / "one" / "notes.xml")
    touch(tmp_path / "odd.bin")
    write(tmp_path / "o.csv", "path", "odd.bin")
    assert [clip.path.name for clip in expand([tmp_path / "o*"])] == ["odd.bin", "odd.bin", "a.mp4"]


@pytest.mark.parametrize("maker", [maker for makers in MAKERS.values() for maker in makers])
def test_what_a_mac_writes_beside_every_file_changes_no_data_set(tmp_path: Path, maker: Callable[[Path], str]) -> None:
    where = maker(tmp_path)
    before = load_dataset(where)
    for path in [*tmp_path.rglob("*")]:
        path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07 Mac OS X")
        touch(path.with_name(".DS_Store"))
    assert load_dataset(where) == before


@pytest.mark.parametrize("suffix", ".MOD .mod .TOD .m2t .264 .H264 .265 .ivf .insv .dav .m2p .MTS".split())
def test_what_cameras_and_recorders_write_is_a_video(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path / f"clip{suffix}")
    assert names(list_videos(tmp_path)) == [f"clip{suffix}"]


def test_files_with_other_suffixes_are_counted_the_most_frequent_first(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.dat", "c.dat", "d.srt", "e", "desktop.ini", "f.THM", "g.LRV"):
        touch(tmp_path / name)
    assert list_videos(tmp_path).sentence() == (
        f"{tmp_path}: 1 video; left out: 6 files with other suffixes (.dat 2, .srt, .ini, none and 1 more), "
        "1 small copy made by the camera (.LRV)."
    )


def test_pipes_and_sockets_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(tmp_path / "b.mp4"))
        link(tmp_path / "c.mp4", "/dev/zero")
        assert "0 videos; left out: 3 pipes, sockets and devices (a.mp4, b.mp4, c.mp4)" in list_videos(tmp_path).sentence()


def test_a_folder_that_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "open" / "a.mp4")
    (tmp_path / "shut").mkdir()
    scan = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    listing = list_videos(tmp_path)
    assert names(listing) == ["open/a.mp4"]
    assert "1 folder that cannot be opened (shut)" in listing.sentence()


def test_a_class_without_videos_and_videos_without_a_class_are_said(tmp_path: Path, capsys: Captured) -> None:
    two_classes(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("middle/a.dat", "one.mp4", "two.mp4", "three.mp4"):
        touch(tmp_path / name)
    images(tmp_path / "stills")
    assert labels(tmp_path) == {"left": 4, "right": 4}
    said = capsys.readouterr().err
    assert f"{tmp_path}: 8 videos; left out: 1 file with another suffix (.dat)" in said
    assert "1 class folder whose images lie in no folder of their own (stills)" in said
    assert "3 videos beside the class folders (one.mp4, three.mp4, two.mp4)" in said
    assert "2 class folders without a video (empty, middle)" in said


def test_a_clean_folder_is_counted_in_one_short_line(tmp_path: Path, capsys: Captured) -> None:
    load_dataset(two_classes(tmp_path))
    assert capsys.readouterr().err == f"{tmp_path}: 8 videos.\n"


def test_data_sets_with_lists_count_what_they_do_not_use(tmp_path: Path, capsys: Captured) -> None:
    where = make_kinetics(tmp_path)
    for name in ("strange.mp4", "again/-id00_000000_000010.mp4", "._train.csv", "notes.pdf"):
        touch(tmp_path / name)
    images(tmp_path / "frames")
    assert len(load_dataset(where)) == 4
    said = capsys.readouterr().err
    assert "4 videos; left out: 1 hidden file or folder (._train.csv)" in said
    assert "1 folder of images (frames), 1 video with the name of another (train/riding a bike/-id00_000000_000010.mp4)" in said
    assert "1 video that the lists do not use (strange.mp4)" in said


# --- splits


@pytest.mark.parametrize(
    "sides", [{"train": "train", "test": "test"}, {"Training": "train", "Validation": "val", "testing": "test"}]
)
def test_sides_in_the_class_folders_are_the_split(tmp_path: Path, sides: dict[str, str]) -> None:
    for label in ("left", "right"):
        for name in sides:
            touch(tmp_path / label / name / f"{name}.mp4")
            images(tmp_path / label / "camera 1" / name / "frames")
    clips = load_dataset(tmp_path)
    assert len(clips) == 4 * len(sides)
    assert {clip.label for clip in clips} == {"left", "right"}
    assert all(clip.split == sides[clip.path.parent.name] for clip in clips)


def test_sides_that_some_videos_lack_are_refused(tmp_path: Path) -> None:
    two_classes(tmp_path)
    for side in ("train", "test"):
        touch(tmp_path / "left" / side / "a.mp4")
    with pytest.raises(DataError, match=r"look like a split \(test and train\), but .*left/0\.mp4 lies outside of them; move it"):
        load_dataset(tmp_path)


def test_a_single_side_is_no_split_and_that_is_said(tmp_path: Path, capsys: Captured) -> None:
    two_classes(tmp_path)
    touch(tmp_path / "left" / "test" / "a.mp4")
    assert {clip.split for clip in load_dataset(tmp_path)} == {None}
    assert "left/test is not taken for the test side of a split, since there is no other side" in capsys.readouterr().err
