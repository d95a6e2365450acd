"""Folders of frames, listed or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gerund.core.errors import DataError
from gerund.data.datasets import load_dataset
from support.layouts import (
    images,
    make_frames,
    make_frames_list,
    spans,
    touch,
    write,
)


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
