"""Decoding in worker processes: a decoder that dies costs one video, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import queue
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gerund import video
from gerund.core import workers
from gerund.core.errors import VideoError
from gerund.core.types import Resize
from gerund.video import pool as decoding
from gerund.video.pool import Decoded, DecodeJob, DecodePool, DecodeSide, DecodeWorker, Ended, Finished, Reading, decode_here

RampVideo = Callable[..., Path]
READING = Reading(fps=None, resize=Resize(height=16, width=24, fit="squeeze"))
MORE_THAN_FITS = (decoding.SLOTS + 2) * decoding.SLOT_FRAMES
"""Frames of a video that a worker cannot hand over before some are given back: it waits in the middle of it."""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

Rows = dict[int, tuple[list[int], list[float]]]


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the workers' shared memory lies in a test."""
    folder = tmp_path / "memory"
    folder.mkdir()
    monkeypatch.setattr(decoding, "shared_memory_folder", lambda: str(folder))
    return folder


def collect(events: Iterable[Decoded | Ended | Finished]) -> tuple[Rows, dict[int, str | None]]:
    """Grey levels and times by job, and how each job ended."""
    rows: Rows = {}
    ends: dict[int, str | None] = {}
    for event in events:
        if isinstance(event, Decoded):
            levels, pts = rows.setdefault(event.index, ([], []))
            levels += [int(level) for level in event.frames[:, 0, 0, 0]]
            pts += event.pts.tolist()
            event.release()
        elif isinstance(event, Finished):
            assert event.index not in ends
            ends[event.index] = event.error
    return rows, ends


def directly(path: Path, fps: float | None = None) -> tuple[list[int], list[float]]:
    blocks = list(video.read(path, fps=fps, resize=READING.resize))
    return [int(level) for block in blocks for level in block.data[:, 0, 0, 0]], [
        time for block in blocks for time in block.pts.tolist()
    ]


def open_files(folder: Path) -> list[str]:
    """Files of a folder that this process holds open or mapped, deleted ones included."""
    held = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that lists the folder is closed by now
            held.append(str(link.readlink()))
    return [name for name in held if name.startswith(str(folder))]


def test_a_pool_gives_the_frames_that_direct_reading_gives(ramp_video: RampVideo, memory: Path) -> None:
    paths = [ramp_video(count, name=f"Vidéo {count}", step=1) for count in (5, MORE_THAN_FITS, decoding.SLOT_FRAMES, 1)]
    with DecodePool(READING, 2) as pool:
        rows, ends = collect(pool.run(DecodeJob(index=index, path=path) for index, path in enumerate(paths)))
    assert ends == dict.fromkeys(range(4))
    assert rows == {index: directly(path) for index, path in enumerate(paths)}


def test_in_process_and_in_a_pool_rate_skip_and_flip_mean_the_same(tmp_path: Path, memory: Path) -> None:
    column = np.arange(48, dtype=np.uint8)[None, :, None] * 4
    video.write(tmp_path / "columns.mp4", [np.broadcast_to(column + np.uint8(index), (32, 48, 3)) for index in range(50)], fps=25)
    reading = Reading(fps=8, resize=READING.resize, flip=True)
    jobs = [DecodeJob(index=0, path=tmp_path / "columns.mp4", skip=5), DecodeJob(index=1, path=tmp_path / "columns.mp4")]
    found: list[dict[int, np.ndarray]] = []
    with DecodePool(reading, 1) as pool:
        for events in (decode_here(jobs, reading), pool.run(jobs)):
            parts: dict[int, list[np.ndarray]] = {0: [], 1: []}
            for event in events:
                if isinstance(event, Decoded):
                    parts[event.index].append(event.frames.copy())
                    event.release()
                elif isinstance(event, Finished):
                    assert event.error is None
            found.append({index: np.concatenate(each) for index, each in parts.items()})
    here, there = found
    plain = np.concatenate([block.data for block in video.read(tmp_path / "columns.mp4", fps=8, resize=READING.resize)])
    for both in (here, there):
        assert np.array_equal(both[1], plain[:, :, ::-1])
        assert np.array_equal(both[0], both[1][5:])
    assert plain[0, 0, 0, 0] < plain[0, 0, -1, 0]


def kill(pool: DecodePool, job: int, how: signal.Signals) -> None:
    worker = next(worker for worker in pool.workers if worker.jobs and worker.jobs[0].index == job)
    os.kill(worker.process.pid, how)


def test_a_worker_killed_in_the_middle_of_a_video_costs_that_one_and_no_other(ramp_video: RampVideo, memory: Path) -> None:
    paths = [ramp_video(MORE_THAN_FITS, name=f"long{number}", step=1) for number in range(6)]
    killed = []

    def killing(events: Iterable[Decoded | Ended | Finished], pool: DecodePool) -> Iterable[Decoded | Ended | Finished]:
        for event in events:
            if isinstance(event, Decoded) and event.index == 0 and not killed:
                killed.append(event.index)
                kill(pool, 0, signal.SIGKILL)  # with job 1 in hand, which must not be lost
            yield event

    with DecodePool(READING, 2) as pool:
        rows, ends = collect(killing(pool.run([DecodeJob(index=index, path=path) for index, path in enumerate(paths)]), pool))
        assert len(pool.workers) == 2
    assert killed == [0]
    assert ends[0] is not None
    assert "the decoder crashed (signal 9)" in ends[0]
    assert {index: error for index, error in ends.items() if index != 0} == dict.fromkeys(range(1, 6))
    expected = directly(paths[1])
    assert all(rows[index] == expected for index in range(1, 6))
    assert len(rows[0][0]) < MORE_THAN_FITS


def test_a_worker_that_hangs_is_ended_and_says_so(ramp_video: RampVideo, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ALIVE_EVERY", 0.05)
    path = ramp_video(MORE_THAN_FITS, step=1)
    ends = []
    with DecodePool(READING, 1) as pool:
        for event in pool.run([DecodeJob(index=7, path=path)]):
            if isinstance(event, Decoded):  # never given back, so that it cannot come to its end before it is stopped
                kill(pool, 7, signal.SIGSTOP)
                monkeypatch.setattr(workers, "SILENCE_LIMIT", 0.2)
            elif isinstance(event, Finished):
                ends.append((event.index, event.error))
    assert [index for index, _ in ends] == [7]
    assert "the decoder hung for 0 s and was ended" in str(ends[0][1])


def test_a_broken_file_in_a_pool_is_named_and_the_next_ones_are_read(tmp_path: Path, ramp_video: RampVideo, memory: Path) -> None:
    (tmp_path / "letter.mp4").write_text("Dear Sir or Madam,\n" * 50)
    paths = [tmp_path / "letter.mp4", tmp_path / "none.mp4", ramp_video(3)]
    jobs = [DecodeJob(index=index, path=path) for index, path in enumerate(paths)]
    with DecodePool(READING, 1) as pool:
        in_pool, here = collect(pool.run(jobs)), collect(decode_here(jobs, READING))
    assert in_pool == here
    rows, ends = here
    assert "letter.mp4: not readable as video (Invalid data" in str(ends[0])
    assert str(ends[1]).endswith("none.mp4: no such file")
    assert ends[2] is None
    assert rows == {2: directly(paths[2])}


@pytest.mark.parametrize("failure", [ValueError("a strange header"), MemoryError(), ZeroDivisionError("time base")])
def test_a_file_that_trips_the_decoder_library_costs_one_video_in_process_too(
    ramp_video: RampVideo, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    original = video.wanted_frames

    def tripping(path: Path, **options: Any) -> Any:
        if path.stem == "bad":
            raise failure
        return original(path, **options)

    monkeypatch.setattr(decoding, "wanted_frames", tripping)
    jobs = [DecodeJob(index=0, path=ramp_video(3, name="bad")), DecodeJob(index=1, path=ramp_video(3, name="good"))]
    rows, ends = collect(decode_here(jobs, READING))
    assert "bad.mp4: " in str(ends[0])
    assert ends[1] is None
    assert list(rows) == [1]


class Side(DecodeSide):
    """The worker's side in this process; its job's frames come from `given`."""

    def __init__(self, memory: Path, given: Callable[[], Iterator[tuple[float, np.ndarray]]]) -> None:
        file = memory / "shared"
        file.write_bytes(bytes(MORE_THAN_FITS * 16 * 24 * 3))
        shape = (decoding.SLOTS, decoding.SLOT_FRAMES, 3, 16, 24)
        setup = {"memory": str(file), "shape": shape, "reading": asdict(READING)}
        super().__init__(io.BytesIO(json.dumps(setup).encode() + b"\n"), io.BytesIO())
        self.given = given

    def frames(self, job: DecodeJob) -> Iterator[tuple[float, np.ndarray]]:
        yield from self.given()

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.reports.getvalue().splitlines()]  # type: ignore[attr-defined]


def pictures(count: int) -> Iterator[tuple[float, np.ndarray]]:
    return ((float(index), np.full((16, 24, 3), index, np.uint8)) for index in range(count))


@pytest.mark.parametrize("failure", [VideoError("longer than 1 s"), MemoryError(), ValueError("in the middle")])
@pytest.mark.parametrize("frames", [0, 1, decoding.SLOT_FRAMES - 1, decoding.SLOT_FRAMES, decoding.SLOT_FRAMES + 1])
def test_a_video_that_fails_in_the_middle_takes_no_room_with_it(memory: Path, failure: Exception, frames: int) -> None:
    def failing() -> Iterator[tuple[float, np.ndarray]]:
        yield from pictures(frames)
        raise failure

    side = Side(memory, failing)
    for index in range(2 * decoding.SLOTS):
        with pytest.raises(type(failure)):
            side.work(DecodeJob(index=index, path=memory))
        for told in (each for each in side.said if each["index"] == index):
            side.obey({"kind": "slot", "slot": told["slot"]})
    assert sorted(side.free) == list(range(decoding.SLOTS))
    side.given = lambda: pictures(decoding.SLOTS * decoding.SLOT_FRAMES)
    side.work(DecodeJob(index=99, path=memory))
    assert [len(each["pts"]) for each in side.said if each["index"] == 99] == [decoding.SLOT_FRAMES] * decoding.SLOTS


def test_a_worker_that_waits_for_room_says_that_it_is_alive(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    side = Side(memory, lambda: pictures(MORE_THAN_FITS))
    nothing_yet, heard = 3, iter([{"kind": "slot", "slot": 2}, {"kind": "slot", "slot": 0}])

    def get(timeout: float) -> dict[str, Any]:
        nonlocal nothing_yet
        nothing_yet -= 1
        if nothing_yet >= 0:
            raise queue.Empty
        return next(heard)

    monkeypatch.setattr(side, "heard", SimpleNamespace(get=get))
    side.work(DecodeJob(index=0, path=memory))
    kinds = [each["kind"] for each in side.said]
    assert kinds == ["frames"] * decoding.SLOTS + ["alive"] * 3 + ["frames"] * 2


@linux_only
def test_nothing_is_left_of_a_pool(ramp_video: RampVideo, memory: Path) -> None:
    with DecodePool(READING, 3) as pool:
        collect(pool.run([DecodeJob(index=0, path=ramp_video(3))]))
        assert open_files(memory)
    assert list(memory.iterdir()) == []
    assert all(worker.process.poll() is not None for worker in pool.workers)
    assert not any(worker.listener.is_alive() for worker in pool.workers)
    del pool
    gc.collect()
    assert open_files(memory) == []


def test_a_pool_left_by_an_error_is_ended_too(ramp_video: RampVideo, memory: Path) -> None:
    pool = DecodePool(READING, 2)
    with pytest.raises(KeyboardInterrupt), pool:
        next(iter(pool.run([DecodeJob(index=index, path=ramp_video(MORE_THAN_FITS, step=1)) for index in range(2)])))
        raise KeyboardInterrupt
    assert list(memory.iterdir()) == []
    assert all(worker.process.poll() is not None for worker in pool.workers)


def test_a_worker_ends_by_itself_when_its_parent_is_gone(memory: Path) -> None:
    worker = DecodeWorker(READING, queue.SimpleQueue())
    assert worker.process.stdin is not None
    worker.process.stdin.close()  # what the system does when the main process dies
    assert worker.process.wait(timeout=60) == 0
    assert list(memory.iterdir()) == []
    worker.end()


def test_a_worker_in_the_middle_of_a_video_ends_too_when_its_parent_is_gone(ramp_video: RampVideo, memory: Path) -> None:
    reports: workers.Reports = queue.SimpleQueue()
    worker = DecodeWorker(READING, reports)
    worker.give(DecodeJob(index=0, path=ramp_video(MORE_THAN_FITS, step=1)))
    for _ in range(decoding.SLOTS):
        assert reports.get(timeout=60)[1]["kind"] == "frames"
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    assert worker.process.wait(timeout=60) == 0
    worker.end()


@linux_only
def test_memory_too_small_to_share_is_replaced_by_a_file_on_disk(
    ramp_video: RampVideo, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker gives a container 64 MB of /dev/shm; a worker that writes beyond it is killed (signal 7)."""
    asked: list[str] = []

    def full(handle: int, offset: int, size: int) -> None:
        assert size == decoding.SLOTS * decoding.SLOT_FRAMES * 16 * 24 * 3
        asked.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        if asked[-1].startswith(str(memory)):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    path = ramp_video(4)
    with DecodePool(READING, 1) as pool:
        rows, _ = collect(pool.run([DecodeJob(index=0, path=path)]))
        assert not pool.workers[0].memory.is_relative_to(memory)
    assert rows == {0: directly(path)}
    assert len(asked) == 2
    assert list(memory.iterdir()) == []
