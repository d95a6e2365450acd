"""Copies are found whatever was done to them; clips of one scene are not taken for copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gerund import video
from gerund.data.datasets import toy
from gerund.diagnosis import copies
from gerund.diagnosis.copies import Fingerprints
from gerund.diagnosis.inspection import GREY_SIDE, NUM_PARTS, Inspection, inspect
from support import damaging


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips of one room and performer at different moments, and one of another action."""
    folder = tmp_path_factory.mktemp("copies")
    scene = toy.perform("waving", 1, seconds=8.0)
    for number in range(4):
        video.write(folder / f"scene{number}.avi", scene[50 * number : 50 * number + 50], fps=25, codec="mpeg4")
    video.write(folder / "other.avi", toy.perform("jumping", 2, seconds=2.0), fps=25, codec="mpeg4")
    return folder


def found_among(seen: list[Inspection]) -> list[tuple[int, int, bool]]:
    with Fingerprints(len(seen), (NUM_PARTS, GREY_SIDE, GREY_SIDE)) as fingerprints:
        for index, inspection in enumerate(seen):
            assert inspection.fingerprint is not None
            fingerprints.add(index, inspection.fingerprint, seconds=inspection.seconds, frames=inspection.record.frames)
        return [(copy.first, copy.second, copy.mirrored) for copy in fingerprints.copies()]


def originals(folder: Path) -> list[Inspection]:
    return [inspect(path) for path in sorted(folder.glob("*.avi"))]


def test_clips_of_one_scene_are_no_copies(folder: Path) -> None:
    assert found_among(originals(folder)) == []


def other_rate(source: Path, target: Path) -> Path:
    frames = [frame for block in video.read(source) for frame in block.data]
    video.write(target.with_suffix(".webm"), frames[::2], fps=12.5, codec="libvpx-vp9")
    return target.with_suffix(".webm")


def wrong_rate(source: Path, target: Path) -> Path:
    video.write(target.with_suffix(".mkv"), (frame for block in video.read(source) for frame in block.data), fps=50)
    return target.with_suffix(".mkv")


@pytest.mark.parametrize(
    ("change", "mirrored"),
    [(damaging.mirrored, True), (damaging.half_size, False), (other_rate, False), (wrong_rate, False)],
)
def test_a_copy_is_found_with_its_original_only(folder: Path, tmp_path: Path, change: damaging.Damage, mirrored: bool) -> None:
    copy = inspect(change(folder / "scene2.avi", tmp_path / "copy"))
    names = [path.name for path in sorted(folder.glob("*.avi"))]
    assert found_among([*originals(folder), copy]) == [(names.index("scene2.avi"), len(names), mirrored)]


def test_the_search_is_the_same_in_small_blocks(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [*originals(folder), inspect(damaging.mirrored(folder / "other.avi", tmp_path / "copy"))] * 2
    whole = found_among(seen)
    monkeypatch.setattr(copies, "COMPARED_AT_ONCE", 3)
    assert found_among(seen) == whole
    pairs = {(first, second) for first, second, _ in whole}
    assert {(index, index + len(seen) // 2) for index in range(len(seen) // 2)} <= pairs
    assert all(first < second for first, second in pairs)


def test_random_fingerprints_agree_with_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "COMPARED_AT_ONCE", 16)
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 200, (30, NUM_PARTS, 4, 4)), np.ones((6, 6))).astype(np.uint8)
    again = np.clip(smooth[:10] + rng.integers(0, 8, smooth[:10].shape), 0, 255).astype(np.uint8)
    pictures = np.concatenate([smooth, again, again[..., ::-1]])
    with Fingerprints(len(pictures), pictures.shape[1:]) as fingerprints:
        for index, picture in enumerate(pictures):
            fingerprints.add(index, picture, seconds=10 + 0.001 * index, frames=250)
        found = {(copy.first, copy.second, copy.mirrored) for copy in fingerprints.copies()}
    straight = {(index, 30 + index, False) for index in range(10)}
    swapped = {(first + index, 40 + index, True) for index in range(10) for first in (0, 30)}
    assert found == straight | swapped


def test_videos_of_other_lengths_are_not_compared() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (NUM_PARTS, GREY_SIDE, GREY_SIDE)).astype(np.uint8)
    with Fingerprints(2, picture.shape) as fingerprints:
        fingerprints.add(0, picture, seconds=10, frames=250)
        fingerprints.add(1, picture, seconds=11, frames=275)
        assert fingerprints.copies() == []


def test_still_videos_are_left_out() -> None:
    still = np.broadcast_to(
        np.random.default_rng(0).integers(0, 255, (GREY_SIDE, GREY_SIDE)),
        (NUM_PARTS, GREY_SIDE, GREY_SIDE),
    ).astype(np.uint8)
    with Fingerprints(2, still.shape) as fingerprints:
        fingerprints.add(0, still, seconds=10, frames=250)
        fingerprints.add(1, still, seconds=10, frames=250)
        assert fingerprints.copies() == []
