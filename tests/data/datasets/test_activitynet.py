"""ActivityNet and its kin: one JSON for many videos, which may lie elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from gerund.data.datasets import load_dataset
from support.layouts import (
    make_activitynet,
    make_ssv2,
    spans,
    touch,
    write,
)


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


def test_activitynet_segments_end_with_their_video(tmp_path: Path) -> None:
    clips = load_dataset(make_activitynet(tmp_path))
    assert spans(clips)[:2] == [("v_id-1.mp4", "Zumba é", 1.5, 4.0), ("v_id-1.mp4", "long jump", 5.0, 10.0)]
    assert [clip.split for clip in clips] == ["train"] * 4 + ["val"] * 2
