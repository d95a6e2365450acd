"""UCF-101 and its sample of five classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gerund.core.errors import UsageError
from gerund.data.datasets import load_dataset
from gerund.data.manifest import labels_of, of_split
from support.layouts import (
    make_top5,
    make_top5_of_all,
)


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
