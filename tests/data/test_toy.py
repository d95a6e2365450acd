"""The toy action set: what is written, what is never half written, and that only order tells reversed pairs apart."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from gerund import video
from gerund.core.errors import DataError, UsageError
from gerund.core.types import Clip
from gerund.data import datasets
from gerund.data.datasets import toy
from gerund.data.datasets.toy import dataset
from gerund.data.datasets.toy.film import draw_performer, skeleton
from gerund.data.datasets.toy.movement import move, share_done

PAIRS = [("sitting_down", "standing_up"), ("opening_door", "closing_door")]


def write_small(path: Path) -> list[Clip]:
    return toy.make(path, performers=4, clips_per_action=1, size=(48, 64), fps=10.0)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Clip]]:
    path = tmp_path_factory.mktemp("toy") / "set"
    return path, write_small(path)


def codec_of(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.name


def test_every_file_decodes_to_the_size_and_length_it_was_made_with(small: tuple[Path, list[Clip]]) -> None:
    for clip in small[1]:
        blocks = list(video.read(clip.path))
        assert all(block.data.shape[1:] == (48, 64, 3) for block in blocks)
        assert 16 <= sum(map(len, blocks)) <= 30


def test_both_codecs_are_there_for_every_action(small: tuple[Path, list[Clip]]) -> None:
    found = {(clip.label, codec_of(clip.path)) for clip in small[1]}
    assert found == {(action, codec) for action in toy.ACTIONS for codec in ("h264", "mpeg4")}


def test_every_split_has_every_action_and_no_performer_is_on_both_sides(small: tuple[Path, list[Clip]]) -> None:
    groups = {split: {clip.group for clip in small[1] if clip.split == split} for split in ("train", "test")}
    labels = {split: {clip.label for clip in small[1] if clip.split == split} for split in ("train", "test")}
    assert labels["train"] == labels["test"] == set(toy.ACTIONS)
    assert not groups["train"] & groups["test"]
    assert len(groups["train"] | groups["test"]) == 4


def test_the_default_split_is_16_performers_to_train_and_8_to_test() -> None:
    splits = [dataset.clip_of_take(Path("set"), performer, "walking", 0).split for performer in range(24)]
    assert (splits.count("train"), splits.count("test")) == (16, 8)


@pytest.mark.parametrize("action", toy.ACTIONS)
def test_same_seed_same_pixels_and_another_seed_other_pixels(action: str) -> None:
    first, again, other = (toy.perform(action, 5, seed=seed, seconds=0.5, size=(48, 64)) for seed in (3, 3, 4))
    assert first.shape == (12, 48, 64, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_the_same_frames_give_the_same_file(suffix: str, tmp_path: Path) -> None:
    frames = toy.perform("walking", 6)
    for i in range(8):
        dataset.write_clip(tmp_path / f"{i}{suffix}", frames, fps=25.0)
    assert len({(tmp_path / f"{i}{suffix}").read_bytes() for i in range(8)}) == 1


def test_another_take_is_another_clip_of_the_same_action() -> None:
    first, second = (toy.perform("walking", 1, take=take, seconds=0.5, size=(48, 64)) for take in (0, 1))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(("forward", "backward"), PAIRS)
def test_a_reversed_pair_goes_through_the_same_poses_in_opposite_order(forward: str, backward: str) -> None:
    there, back = (move(action, 50, np.random.default_rng(7), fps=25.0) for action in (forward, backward))
    poses = [np.stack(list(motion.values()), axis=1) for motion in (there, back)]
    assert np.array_equal(poses[0], poses[1][::-1])
    assert sorted(map(tuple, poses[0])) == sorted(map(tuple, poses[1]))
    assert not np.allclose(poses[0], poses[1], atol=0.1)


@pytest.mark.parametrize(("forward", "backward"), PAIRS)
def test_the_average_picture_of_a_clip_does_not_betray_its_direction(forward: str, backward: str) -> None:
    """A nearest-mean classifier on time-averaged poses, with no part in how they were made, stays at chance."""

    def averages(action: str) -> np.ndarray:
        motions = [move(action, 50, np.random.default_rng([11, seed]), fps=25.0) for seed in seeds[action]]
        return np.array([[values.mean() for values in motion.values()] for motion in motions])

    seeds = {forward: range(0, 800), backward: range(800, 1600)}
    first, second = averages(forward), averages(backward)
    spread = np.concatenate([first, second]).std(axis=0) + 1e-9
    direction = (first[:400].mean(axis=0) - second[:400].mean(axis=0)) / spread
    middle = (first[:400].mean(axis=0) + second[:400].mean(axis=0)) / 2
    votes = [(clips[400:] - middle) / spread @ direction for clips in (first, second)]
    assert 0.42 < ((votes[0] > 0).sum() + (votes[1] < 0).sum()) / 800 < 0.58


def test_rests_before_and_after_a_movement_have_the_same_distribution() -> None:
    times = (np.arange(60) + 0.5) / 25
    shares = [share_done(times, 60 / 25, np.random.default_rng([2, seed])) for seed in range(1000)]
    before = np.array([(share == 0).mean() for share in shares])
    after = np.array([(share == 1).mean() for share in shares])
    quantiles = np.linspace(0.1, 0.9, 9)
    assert np.allclose(np.quantile(before, quantiles), np.quantile(after, quantiles), atol=0.025)


def test_the_door_is_shut_before_it_is_opened_and_open_before_it_is_closed() -> None:
    for action, start, end in (("opening_door", 0.0, 1.0), ("closing_door", 1.0, 0.0)):
        door = move(action, 60, np.random.default_rng(1), fps=25.0)["door"]
        assert (door[0], door[-1]) == (start, end)


def test_limbs_keep_their_length_in_every_action() -> None:
    body = draw_performer(np.random.default_rng(0))
    for action in toy.ACTIONS:
        joints = skeleton(move(action, 40, np.random.default_rng(3), fps=20.0), body)
        for side in ("", "far_"):
            limbs = (("top", "knee", "foot", body.leg), ("shoulder", "elbow", "hand", body.arm))
            for top, middle, end, length in limbs:
                for a, b in ((top, middle), (middle, end)):
                    bone = np.linalg.norm(joints[side + a] - joints[side + b], axis=1)
                    assert np.allclose(bone, length / 2, atol=1e-6), (action, a, b)


def test_a_figure_stays_in_the_picture_however_long_it_walks() -> None:
    frames = toy.perform("walking", 0, seconds=20.0, size=(48, 64), fps=5.0).astype(int)
    dark = frames.sum(axis=-1) < 330
    assert dark.any(axis=(1, 2)).all()


def test_the_second_load_rewrites_nothing(small: tuple[Path, list[Clip]]) -> None:
    path, clips = small
    before = {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in sorted(path.rglob("*"))}
    assert toy.load(path) == clips == toy.load(path, split=1)
    assert before == {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in sorted(path.rglob("*"))}


def test_a_run_that_dies_halfway_leaves_no_set_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, written = dataset.write_clip, []

    def dies(path: Path, frames: np.ndarray, *, fps: float) -> None:
        if len(written) >= 5:
            raise KeyboardInterrupt
        written.append(path)
        original(path, frames, fps=fps)

    monkeypatch.setattr(dataset, "write_clip", dies)
    with pytest.raises(KeyboardInterrupt):
        write_small(tmp_path / "set")
    assert len(written) >= 5
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert len(write_small(tmp_path / "set")) == 40


def test_a_folder_without_a_manifest_is_never_taken_for_the_set(small: tuple[Path, list[Clip]], tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(small[0] / "walking", half / "walking")
    with pytest.raises(DataError, match=r"half: not empty, and without a manifest\.csv no toy set; delete it"):
        toy.load(half)
    assert len(list((half / "walking").iterdir())) == 4


def test_a_set_that_lost_a_video_says_which(small: tuple[Path, list[Clip]], tmp_path: Path) -> None:
    lossy = tmp_path / "lossy"
    shutil.copytree(small[0], lossy)
    (lossy / "waving" / "performer02-0.mp4").unlink()
    with pytest.raises(DataError, match=r"1 of 40 videos are missing \(first: .*waving/performer02-0\.mp4\); delete"):
        toy.load(lossy)


def test_when_two_processes_write_one_set_the_first_one_stays(small: tuple[Path, list[Clip]], tmp_path: Path) -> None:
    late = tmp_path / "late"
    late.mkdir()
    inode = (small[0] / dataset.TOY_MANIFEST).stat().st_ino
    (late / "file").touch()
    dataset.publish(late, small[0])
    assert (small[0] / dataset.TOY_MANIFEST).stat().st_ino == inode


def test_unknown_actions_and_too_few_performers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="action 'flying' is not one of walking, jumping"):
        toy.perform("flying")
    with pytest.raises(UsageError, match="performers = 1: at least 2"):
        toy.make(tmp_path / "set", performers=1)


def test_the_small_set_has_every_action_on_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy, "perform", lambda *_, **__: np.zeros((4, 32, 48, 3), np.uint8))  # who does what, not how it looks
    clips = toy.load_small(tmp_path / "toy")
    assert len(clips) == 90
    for split, performers in (("train", 6), ("test", 3)):
        of_it = [clip for clip in clips if clip.split == split]
        assert {clip.label for clip in of_it} == set(toy.ACTIONS)
        assert len({clip.group for clip in of_it}) == performers
    assert toy.load_small(tmp_path / "toy") == clips


def test_a_folder_of_the_same_name_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(datasets.DATASETS, "toy", lambda path, split: [Clip(path=path)])
    datasets.load_dataset("toy")
    assert "toy" not in capsys.readouterr().err
    (tmp_path / "toy").mkdir()
    datasets.load_dataset("toy")
    assert "toy: the synthetic clips; for what lies here under that name give ./toy" in capsys.readouterr().err
