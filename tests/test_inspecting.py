"""Looking into files: every kind of damage has its name, and healthy files have none."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

import damaging
from gerund import inspecting, video
from gerund.datasets import toy
from gerund.inspecting import PARTS, SIDE, Parts, as_values, from_values, inspect, inspect_all
from test_video import turned

CODECS = [
    ("libx264", ".mp4"),
    ("mpeg4", ".avi"),
    ("libx264", ".mkv"),
    ("libvpx-vp9", ".webm"),
    ("libvpx", ".webm"),
    ("mpeg2video", ".mpg"),
    ("flv1", ".flv"),
    ("libx264", ".ts"),
]


@pytest.fixture(scope="module")
def action() -> np.ndarray:
    return toy.perform("walking", seconds=2.0)


@pytest.fixture
def healthy(action: np.ndarray, tmp_path: Path) -> Callable[..., Path]:
    def healthy(codec: str = "mpeg4", suffix: str = ".avi", *, frames: np.ndarray = action, name: str = "healthy") -> Path:
        path = tmp_path / f"{name}{suffix}"
        video.write(path, frames, fps=25, codec=codec)
        return path

    return healthy


@pytest.mark.parametrize(("codec", "suffix"), CODECS)
def test_a_healthy_file_has_no_problem(healthy: Callable[..., Path], codec: str, suffix: str) -> None:
    seen = inspect(healthy(codec, suffix))
    assert (seen.problem, seen.reason) == (None, "")
    assert (seen.record.width, seen.record.height, seen.record.frames) == (160, 120, 50)
    assert seen.seconds == pytest.approx(2.0, abs=0.05)
    assert seen.uneven <= 0.05


@pytest.mark.parametrize(("codec", "suffix"), [each for each in CODECS if each[1] not in (".ts", ".mpg")])
def test_a_cut_file_is_found_where_the_header_promises_more(
    healthy: Callable[..., Path], tmp_path: Path, codec: str, suffix: str
) -> None:
    assert inspect(damaging.truncated(healthy(codec, suffix), tmp_path / "cut")).problem == "truncated"


@pytest.mark.parametrize(("codec", "suffix"), [each for each in CODECS if each[1] != ".mpg"])
def test_a_zeroed_span_is_found_in_any_container(healthy: Callable[..., Path], tmp_path: Path, codec: str, suffix: str) -> None:
    data = bytearray(healthy(codec, suffix).read_bytes())
    data[len(data) // 2 : len(data) // 2 + len(data) // 10] = bytes(len(data) // 10)
    assert inspect(damaging.written(tmp_path / "zeroed", suffix, data)).problem in ("truncated", "damaged")


@pytest.mark.parametrize(
    "name", ["truncated", "a span zeroed", "text, renamed", "empty", "audio only", "header only", "wrong extension"]
)
@pytest.mark.parametrize(("codec", "suffix"), CODECS[:2])
def test_each_kind_of_damage_has_its_name(
    healthy: Callable[..., Path], tmp_path: Path, name: str, codec: str, suffix: str
) -> None:
    damage, kinds = damaging.TEN_WAYS[name]
    seen = inspect(damage(healthy(codec, suffix), tmp_path / "bad"))
    assert seen.problem in kinds
    assert seen.reason


def test_a_missing_file_and_an_empty_one_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    assert inspect(tmp_path / "none.mp4").problem == "missing"
    assert inspect(tmp_path / "empty.mp4").problem == "empty"


def test_a_truncated_file_says_how_much_is_there(healthy: Callable[..., Path], tmp_path: Path) -> None:
    seen = inspect(damaging.truncated(healthy(), tmp_path / "cut"))
    assert seen.reason == f"the header promises 50 frames, {seen.record.frames} are there"


def test_black_frozen_and_single_frame_videos_are_named(healthy: Callable[..., Path], action: np.ndarray) -> None:
    assert inspect(healthy(frames=np.zeros_like(action))).problem == "black"
    for codec, suffix in CODECS:
        assert inspect(healthy(codec, suffix, frames=np.broadcast_to(action[:1], action.shape))).problem == "frozen"
    assert inspect(healthy(frames=action[:1])).reason == "a still picture: a single frame"


def test_a_dark_scene_with_something_in_it_is_neither_black_nor_frozen(healthy: Callable[..., Path], action: np.ndarray) -> None:
    assert inspect(healthy(frames=action // 5 + 20)).problem is None


def test_uneven_times_are_measured(action: np.ndarray, tmp_path: Path) -> None:
    with video.Writer(tmp_path / "uneven.mp4") as writer:
        time = 0.0
        for number, frame in enumerate(action):
            writer.add(frame, time)
            time += (0.04, 0.04, 0.12)[number % 3]
    assert inspect(tmp_path / "uneven.mp4").uneven == pytest.approx(1 / 3, abs=0.03)


def test_a_turned_video_tells_its_rotation(healthy: Callable[..., Path]) -> None:
    seen = inspect(turned(healthy("libx264", ".mp4"), 90))
    assert abs(seen.record.rotation) == 90
    assert seen.problem is None


def test_a_folder_of_images_is_inspected_like_a_video(action: np.ndarray, tmp_path: Path) -> None:
    from PIL import Image

    for number, frame in enumerate(action[:20]):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    seen = inspect(tmp_path)
    assert (seen.problem, seen.record.frames, seen.record.container) == (None, 20, "images")
    (tmp_path / "7.png").write_text("no picture")
    assert inspect(tmp_path).problem == "truncated"


def test_equal_content_has_equal_digests(healthy: Callable[..., Path], tmp_path: Path) -> None:
    path = healthy()
    copy = shutil.copy(path, tmp_path / "copy.avi")
    other = healthy(name="other", frames=toy.perform("walking", seconds=1.0))
    assert inspect(path).digest == inspect(Path(copy)).digest != inspect(other).digest


@pytest.mark.parametrize("count", [1, 5, PARTS, 100, Parts.BINS, Parts.BINS + 1, 3 * Parts.BINS + 7])
def test_parts_are_the_means_of_equal_shares_of_the_frames(count: int) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE)).astype(np.uint8)
    parts = Parts()
    for picture in pictures:
        parts.add(picture)
    fine = np.repeat(pictures.astype(np.float64), PARTS, axis=0).reshape(PARTS, count, SIDE, SIDE).mean(axis=1)
    tolerance = 0.51 if parts.frames_per_bin == 1 else 25  # a bin on the border of two parts is shared out evenly
    assert np.abs(parts.means() - fine).max() <= tolerance


def test_parts_take_constant_memory() -> None:
    parts = Parts()
    size = parts.sums.nbytes
    for number in range(10 * Parts.BINS):
        parts.add(np.full((SIDE, SIDE), number * 255 // (10 * Parts.BINS), np.uint8))
    assert parts.sums.nbytes == size
    assert np.all(np.diff(parts.means()[:, 0, 0].astype(int)) > 0)


def test_an_inspection_survives_its_way_through_json(healthy: Callable[..., Path]) -> None:
    seen = inspect(healthy())
    back = from_values(as_values(seen))
    assert np.array_equal(back.fingerprint, seen.fingerprint)
    assert {k: v for k, v in vars(back).items() if k != "fingerprint"} == {
        k: v for k, v in vars(seen).items() if k != "fingerprint"
    }


def test_a_pool_sees_what_inspect_sees_and_never_stops_at_a_bad_file(healthy: Callable[..., Path], tmp_path: Path) -> None:
    good = healthy()
    paths = [
        tmp_path / "none.avi",
        good,
        damaging.text(good, tmp_path / "text"),
        damaging.zeroed(good, tmp_path / "zeroed"),
        good,
    ]
    found = dict(inspect_all(paths, 2))
    assert sorted(found) == list(range(5))
    for index, path in enumerate(paths):
        assert (found[index].problem, found[index].reason) == (inspect(path).problem, inspect(path).reason)


def test_a_decoder_that_crashes_costs_one_file(healthy: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    good = healthy()
    killed: list[int] = []
    give = inspecting.workers.Worker.give

    def killing(worker: inspecting.workers.Worker, job: inspecting.Job) -> None:
        if job.index == 2 and not killed:
            killed.append(job.index)
            worker.jobs.append(job)
            os.kill(worker.process.pid, signal.SIGKILL)
        else:
            give(worker, job)

    monkeypatch.setattr(inspecting.workers.Worker, "give", killing)
    monkeypatch.setattr(inspecting.InspectPool, "AHEAD", 1)
    found = dict(inspect_all([good] * 5, 1))
    assert [found[index].problem for index in range(5)] == [None, None, "crashes-decoder", None, None]
    assert "signal 9" in found[2].reason


def test_a_flipped_bit_that_only_the_log_tells_of_is_damage(healthy: Callable[..., Path], tmp_path: Path) -> None:
    data = bytearray(healthy("ffv1", ".mkv").read_bytes())
    data[len(data) // 2] ^= 1
    seen = inspect(damaging.written(tmp_path / "flipped", ".mkv", data))
    assert seen.problem == "damaged"
    assert "decoder" in seen.reason or "damaged" in seen.reason


def test_nothing_that_the_library_says_reaches_the_terminal(healthy: Callable[..., Path], tmp_path: Path, capfd) -> None:
    inspect(damaging.zeroed(healthy(), tmp_path / "zeroed"))
    assert capfd.readouterr() == ("", "")
    assert av.logging.get_level() is None


def test_a_healthy_file_is_not_blamed_for_what_was_said_of_the_one_before(healthy: Callable[..., Path], tmp_path: Path) -> None:
    bad, good = damaging.zeroed(healthy(), tmp_path / "zeroed"), healthy("libx264", ".mp4")
    for _ in range(3):
        assert inspect(bad).problem == "damaged"
        assert inspect(good).problem is None


def test_a_file_that_the_system_withholds_is_told(healthy: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def withheld(*_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(inspecting, "whole_digest", withheld)
    seen = inspect(healthy())
    assert (seen.problem, seen.reason) == ("unreadable", "the system does not let it be read (Permission denied)")


def test_frames_and_bytes_of_a_long_file_are_signs_of_life(healthy: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "CHUNK", 1000)
    path, ticks = healthy(), []
    inspect(path, lambda: ticks.append(1))
    assert len(ticks) == 50 + -(-path.stat().st_size // 1000)
