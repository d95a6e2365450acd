"""HMDB51 as it is published: names, splits by class, and what its own splits part."""

from __future__ import annotations

from pathlib import Path

import pytest

from gerund.data.datasets import load_dataset
from gerund.data.manifest import of_split
from support.layouts import (
    make_hmdb51,
)


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
