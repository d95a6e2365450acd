"""Looking into files: every kind of damage has its name, and healthy files have none."""

from __future__ import annotations

import os
import shutil
import signal
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from gerund import video
from gerund.data.datasets import toy
from gerund.diagnosis import inspection as inspecting
from gerund.diagnosis.inspection import GREY_SIDE, NUM_PARTS, Parts, inspect, inspect_all, inspection_from, inspection_values
from support import damaging
from support.clocks import grey, with_sound
from support.videos import encode, turned

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


# --- healthy files that look odd


def edited(source: Path, target: Path, *, hidden: float, shown: float) -> Path:
    """An MP4 whose edit list leaves out the first seconds and ends so many seconds later: what trimming without encoding writes."""
    data = bytearray(source.read_bytes())
    at = data.find(b"elst")
    media, movie = (struct.unpack(">I", data[data.find(name) + 16 :][:4])[0] for name in (b"mdhd", b"mvhd"))
    (begin,) = struct.unpack(">i", data[at + 16 : at + 20])
    struct.pack_into(">Ii", data, at + 12, round(shown * movie), begin + round(hidden * media))
    target.write_bytes(data)
    return target


@pytest.mark.parametrize(("hidden", "shown"), [(0.92, 1.08), (0.0, 0.8), (0.52, 0.6)])
def test_pictures_hidden_by_an_edit_list_are_no_damage(
    healthy: Callable[..., Path], tmp_path: Path, hidden: float, shown: float
) -> None:
    seen = inspect(edited(healthy("libx264", ".mp4"), tmp_path / "trimmed.mp4", hidden=hidden, shown=shown))
    assert (seen.problem, seen.reason) == (None, "")
    assert seen.record.frames < 0.7 * seen.record.packets


def test_empty_chunks_of_an_avi_are_no_damage(action: np.ndarray, tmp_path: Path) -> None:
    times = [40 * index for index in (0, *range(3, 10), *range(14, 50))]
    path = encode(tmp_path / "gaps.avi", list(action[: len(times)]), codec="mpeg4", pix_fmt="yuv420p", pts_ms=times)
    assert path.read_bytes().count(b"00dc\0\0\0\0") >= 6
    seen = inspect(path)
    assert (seen.problem, seen.record.frames) == (None, len(times))
    assert seen.record.promised_frames > len(times)


def test_empty_chunks_at_the_end_of_an_avi_are_no_damage_but_missing_ones_are(
    healthy: Callable[..., Path], tmp_path: Path
) -> None:
    data = healthy().read_bytes()
    last = data.rindex(b"00dc", 0, data.index(b"idx1"))
    (length,) = struct.unpack("<I", data[last + 4 : last + 8])
    emptied = data[: last + 4] + bytes(4) + b"JUNK" + struct.pack("<I", length - 8) + data[last + 16 :]
    entry = emptied.rindex(b"00dc")
    emptied = emptied[: entry + 12] + bytes(4) + emptied[entry + 16 :]
    seen = inspect(damaging.written(tmp_path / "emptied", ".avi", emptied))
    assert (seen.problem, seen.record.frames) == (None, 49)
    renamed = data[:last] + b"JUNK" + data[last + 4 :]
    seen = inspect(damaging.written(tmp_path / "renamed", ".avi", renamed))
    assert (seen.problem, seen.reason) == ("damaged", "the header promises 50 frames, 49 are there")


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
@pytest.mark.parametrize(("start", "end"), [(0.21, 1.0), (0.0, 0.72), (0.34, 0.86)])
def test_a_stream_that_was_cut_anywhere_is_healthy(
    action: np.ndarray, tmp_path: Path, codec: str, start: float, end: float
) -> None:
    path = tmp_path / "whole.ts"
    video.write(path, action, fps=25, codec=codec, options={"g": "12", "bf": "2"})
    data = path.read_bytes()
    cut = data[int(len(data) * start) // 188 * 188 : int(len(data) * end) // 188 * 188]
    seen = inspect(damaging.written(tmp_path / "cut", ".ts", cut))
    assert (seen.problem, seen.reason) == (None, "")
    assert 10 < seen.record.frames < 50


def test_a_cut_stream_with_a_hole_in_it_is_damaged_all_the_same(action: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "whole.ts"
    video.write(path, action, fps=25, options={"g": "12", "crf": "4"})
    data = bytearray(path.read_bytes())
    del data[: len(data) // 5 // 188 * 188]
    data[len(data) // 2 : len(data) // 2 + len(data) // 10] = bytes(len(data) // 10)
    assert inspect(damaging.written(tmp_path / "hole", ".ts", data)).problem == "damaged"


@pytest.mark.parametrize(
    ("codec", "suffix", "options"),
    [
        ("libx264", ".mp4", {"x264-params": "open-gop=1:keyint=12:bframes=3"}),
        ("libvpx", ".webm", {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime", "b": "1M"}),
        ("libvpx-vp9", ".webm", {"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "8", "b": "1M"}),
        ("mpeg4", ".m4v", {}),
    ],
)
def test_pictures_that_no_one_sees_or_that_come_before_their_key_frame_are_no_damage(
    action: np.ndarray, tmp_path: Path, codec: str, suffix: str, options: dict[str, str]
) -> None:
    path = tmp_path / f"odd{suffix}"
    video.write(path, action, fps=25, codec=codec, options=options)
    seen = inspect(path)
    assert (seen.problem, seen.reason, seen.record.frames) == (None, "", 50)


def test_a_raw_stream_may_have_the_suffix_of_an_mp4(action: np.ndarray, tmp_path: Path) -> None:
    video.write(tmp_path / "raw.h264", action, fps=25)
    with av.open(str(tmp_path / "raw.m4v"), "w", format="m4v") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = *action.shape[1:3], "yuv420p"
        for picture in action:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    for name in ("raw.h264", "raw.m4v"):
        assert (inspect(tmp_path / name).problem, inspect(tmp_path / name).record.frames) == (None, 50)


def test_a_last_picture_that_stays_is_not_missing(healthy: Callable[..., Path], tmp_path: Path) -> None:
    data = bytearray(healthy("libx264", ".mkv").read_bytes())
    at = data.index(b"\x44\x89\x88") + 3
    assert struct.unpack(">d", data[at : at + 8]) == (2000.0,)
    struct.pack_into(">d", data, at, 6000.0)
    assert inspect(damaging.written(tmp_path / "stays", ".mkv", data)).problem is None


def test_a_file_with_its_index_in_front_is_told_when_it_was_cut(action: np.ndarray, tmp_path: Path) -> None:
    whole = encode(tmp_path / "web.mp4", list(action), codec="libx264", pix_fmt="yuv420p", container={"movflags": "faststart"})
    seen = inspect(damaging.truncated(whole, tmp_path / "cut"))
    size = whole.stat().st_size
    assert (seen.problem, seen.reason) == (
        "truncated",
        f"by its own account the file is {size} bytes long, {size * 7 // 10} are there",
    )


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
    seen = inspect(turned(healthy("libx264", ".mp4"), 6))
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


@pytest.mark.parametrize("count", [1, 5, NUM_PARTS, 100, Parts.BINS, Parts.BINS + 1, 3 * Parts.BINS + 7])
def test_parts_are_the_means_of_equal_shares_of_the_frames(count: int) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (count, GREY_SIDE, GREY_SIDE)).astype(np.uint8)
    parts = Parts()
    for picture in pictures:
        parts.add(picture)
    fine = np.repeat(pictures.astype(np.float64), NUM_PARTS, axis=0).reshape(NUM_PARTS, count, GREY_SIDE, GREY_SIDE).mean(axis=1)
    tolerance = 0.51 if parts.frames_per_bin == 1 else 25  # a bin on the border of two parts is shared out evenly
    assert np.abs(parts.means() - fine).max() <= tolerance


def test_parts_take_constant_memory() -> None:
    parts = Parts()
    size = parts.sums.nbytes
    for number in range(10 * Parts.BINS):
        parts.add(np.full((GREY_SIDE, GREY_SIDE), number * 255 // (10 * Parts.BINS), np.uint8))
    assert parts.sums.nbytes == size
    assert np.all(np.diff(parts.means()[:, 0, 0].astype(int)) > 0)


def test_an_inspection_survives_its_way_through_json(healthy: Callable[..., Path]) -> None:
    seen = inspect(healthy())
    back = inspection_from(inspection_values(seen))
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

    def killing(worker: inspecting.workers.Worker, job: inspecting.FileJob) -> None:
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
    monkeypatch.setattr(inspecting, "HASHED_AT_ONCE", 1000)
    path, ticks = healthy(), []
    inspect(path, lambda: ticks.append(1))
    assert len(ticks) == 50 + -(-path.stat().st_size // 1000)


def test_the_length_of_a_video_is_that_of_its_pictures(tmp_path: Path) -> None:
    path = with_sound(tmp_path / "late.mp4", [grey(9 * index) for index in range(20)], late=2.0, seconds=6)
    assert inspect(path).seconds == pytest.approx(2.0, abs=0.01)
