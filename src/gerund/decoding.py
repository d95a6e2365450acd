"""Decoding in worker processes: a decoder that crashes, hangs or eats all memory costs one video, never the job.

A worker is `python -m gerund.decoding`. Orders and reports are JSON lines on its standard streams; frames are handed over in a
memory-mapped file, already scaled to the backbone's size.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from gerund import video
from gerund.errors import CacheError, GerundError
from gerund.types import Resize

SLOT_FRAMES = 32
SLOTS = 4
ALIVE_EVERY = 5.0
MEMORY_LIMIT = 8 * 2**30
"""Bytes of address space for a decoding process; an 8K video needs about 2 GB."""
SILENCE_LIMIT = 120.0
"""Seconds without a word from a worker before it is taken for hung; a healthy one reports every ALIVE_EVERY seconds."""

UNREADABLE = (GerundError, MemoryError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
"""What a broken file can trip in the decoder library; anything else is a mistake of ours and ends the job."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One video to decode: `skip` kept frames are already known and need no converting."""

    index: int
    path: Path
    skip: int = 0


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Some frames (n, H, W, 3) of a job and their pts (n,); valid until `release` is called."""

    index: int
    frames: np.ndarray
    pts: np.ndarray
    release: Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A job is over; `error` says why nothing (more) came of it."""

    index: int
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How every video is read: rate, input size of the backbone, mirrored or not."""

    fps: float | None
    resize: Resize
    flip: bool = False


def frames_of(
    job: Job, reading: Reading, *, threads: int = 1, tick: Callable[[], None] = lambda: None
) -> Iterator[tuple[float, np.ndarray]]:
    """The wanted frames of a video with their pts, from number `job.skip` on; `tick` is called for every packet."""
    convert = video.FrameConverter(reading.resize)
    for number, (pts, frame) in enumerate(video.frames(job.path, fps=reading.fps, threads=threads, tick=tick)):
        if number >= job.skip:
            picture = convert(frame)
            yield pts, picture[:, ::-1] if reading.flip else picture


def decode_here(jobs: Iterable[Job], reading: Reading) -> Iterator[Decoded | Finished]:
    """Decode in this process: quicker to start, for one or two videos."""
    for job in jobs:
        try:
            for pts, picture in frames_of(job, reading, threads=0):
                yield Decoded(index=job.index, frames=picture[None], pts=np.array([pts]), release=lambda: None)
            yield Finished(index=job.index)
        except UNREADABLE as failure:
            yield Finished(index=job.index, error=reason(job.path, failure))


def reason(path: Path, failure: Exception) -> str:
    """Why a video could not be read (further), with its path."""
    if isinstance(failure, GerundError):
        return str(failure)
    if isinstance(failure, MemoryError):
        return f"{path}: out of memory while decoding"
    return f"{path}: not readable as video ({type(failure).__name__}: {failure})"


class Worker:
    """One decoding process and the memory it shares with this one."""

    def __init__(self, reading: Reading, reports: queue.SimpleQueue[tuple[Worker, dict[str, Any]]]) -> None:
        shape = (SLOTS, SLOT_FRAMES, 3, reading.resize.height, reading.resize.width)
        self.memory = shared_memory(math.prod(shape))
        self.slots = np.memmap(self.memory, np.uint8, "r+", shape=shape)
        self.jobs: deque[Job] = deque()
        self.heard = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gerund.decoding"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # a Ctrl-C in the terminal is for the main process, which then ends its workers
        )
        self.tell({"memory": str(self.memory), "shape": shape, "reading": asdict(reading)})
        self.listener = threading.Thread(target=self.listen, args=(reports,), daemon=True)
        self.listener.start()

    def listen(self, reports: queue.SimpleQueue[tuple[Worker, dict[str, Any]]]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.heard = time.monotonic()
            reports.put((self, json.loads(line)))
        reports.put((self, {"kind": "exited"}))

    def tell(self, order: dict[str, Any]) -> None:
        with contextlib.suppress(OSError, ValueError):  # a dead worker is noticed by its reports ending
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
            self.process.stdin.flush()

    def give(self, job: Job) -> None:
        if not self.jobs:
            self.heard = time.monotonic()  # an idle worker has nothing to say; its silence counts from here
        self.jobs.append(job)
        self.tell({"kind": "job", "index": job.index, "path": str(job.path), "skip": job.skip})

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.listener.join()  # it reads to the end of the stream that is closed now
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self.memory.unlink(missing_ok=True)


def shared_memory(size: int) -> Path:
    """A file of `size` bytes for two processes to map, in memory if there is room.

    The room is reserved at once: a container may have 64 MB of it, and who writes beyond that is killed (SIGBUS).
    """
    for folder in (shared_memory_folder(), None):
        handle, name = tempfile.mkstemp(prefix="gerund-", dir=folder)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle, 0, size)
            else:
                os.truncate(handle, size)
            return Path(name)
        except OSError as error:
            Path(name).unlink()
            failure = error
        finally:
            os.close(handle)
    raise CacheError(f"{tempfile.gettempdir()}: no room for {size / 2**20:.0f} MB to hand frames over ({failure.strerror})")


def shared_memory_folder() -> str | None:
    """A folder that lives in memory, where the system has one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class DecodePool:
    """Worker processes that decode many videos; use as a context manager."""

    AHEAD = 2
    """Jobs a worker has in hand, so that it never waits for the next one."""

    def __init__(self, reading: Reading, workers: int) -> None:
        self.reading = reading
        self.reports: queue.SimpleQueue[tuple[Worker, dict[str, Any]]] = queue.SimpleQueue()
        self.workers = [Worker(reading, self.reports) for _ in range(workers)]

    def __enter__(self) -> DecodePool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.end()

    def run(self, jobs: Iterable[Job]) -> Iterator[Decoded | Finished]:
        """Decode all jobs; frames of one job come in order, those of several jobs interleaved."""
        todo = iter(jobs)
        again: deque[Job] = deque()
        while True:
            for worker in self.workers:
                while len(worker.jobs) < self.AHEAD and (job := again.popleft() if again else next(todo, None)):
                    worker.give(job)
            if not any(worker.jobs for worker in self.workers):
                return
            try:
                worker, report = self.reports.get(timeout=ALIVE_EVERY)
            except queue.Empty:
                self.end_silent_workers()
                continue
            if worker not in self.workers:
                continue
            if report["kind"] == "exited":
                if worker.jobs:
                    yield Finished(index=worker.jobs.popleft().index, error=self.cause_of_death(worker))
                again.extend(worker.jobs)
                worker.end()
                self.workers[self.workers.index(worker)] = Worker(self.reading, self.reports)
            elif report["kind"] == "frames":
                yield self.decoded(worker, report)
            elif report["kind"] == "finished":
                worker.jobs.popleft()
                yield Finished(index=report["index"], error=report["error"])

    def decoded(self, worker: Worker, report: dict[str, Any]) -> Decoded:
        slot = report["slot"]
        return Decoded(
            index=report["index"],
            frames=worker.slots[slot, : len(report["pts"])].transpose(0, 2, 3, 1),
            pts=np.array(report["pts"]),
            release=lambda: worker.tell({"kind": "slot", "slot": slot}),
        )

    def end_silent_workers(self) -> None:
        for worker in self.workers:
            if worker.jobs and time.monotonic() - worker.heard > SILENCE_LIMIT:
                worker.process.kill()

    def cause_of_death(self, worker: Worker) -> str:
        if time.monotonic() - worker.heard > SILENCE_LIMIT:
            return f"the decoder hung for {SILENCE_LIMIT:.0f} s and was ended"
        code = worker.process.wait()
        return f"the decoder crashed ({f'signal {-code}' if code < 0 else f'exit code {code}'})"


class WorkerSide:
    """What runs in the worker process."""

    def __init__(self, orders: IO[bytes], reports: IO[bytes]) -> None:
        self.orders, self.reports = orders, reports
        setup = json.loads(orders.readline())
        self.slots = np.memmap(setup["memory"], np.uint8, "r+", shape=tuple(setup["shape"]))
        reading = setup["reading"]
        self.reading = Reading(fps=reading["fps"], resize=Resize(**reading["resize"]), flip=reading["flip"])
        with contextlib.suppress(OSError):  # Windows keeps the name of an open file; the other side removes it then
            Path(setup["memory"]).unlink()
        self.free = deque(range(len(self.slots)))
        self.jobs: deque[Job] = deque()
        self.spoken = time.monotonic()

    def serve(self) -> None:
        limit_memory()
        while True:
            while not self.jobs:
                self.hear()
            job = self.jobs.popleft()
            error = None
            try:
                self.work(job)
            except UNREADABLE as failure:
                error = reason(job.path, failure)
            self.report({"kind": "finished", "index": job.index, "error": error})

    def work(self, job: Job) -> None:
        pts: list[float] = []
        slot = -1
        for time_stamp, picture in frames_of(job, self.reading, tick=self.tick):
            if not pts:
                slot = self.free_slot()
            self.slots[slot, len(pts)] = picture.transpose(2, 0, 1)
            pts.append(time_stamp)
            if len(pts) == self.slots.shape[1]:
                self.report({"kind": "frames", "index": job.index, "slot": slot, "pts": pts})
                pts = []
        if pts:
            self.report({"kind": "frames", "index": job.index, "slot": slot, "pts": pts})

    def free_slot(self) -> int:
        while not self.free:
            self.hear()
        return self.free.popleft()

    def hear(self) -> None:
        line = self.orders.readline()
        if not line:
            raise SystemExit(0)  # the main process is gone
        order = json.loads(line)
        if order["kind"] == "slot":
            self.free.append(order["slot"])
        else:
            self.jobs.append(Job(index=order["index"], path=Path(order["path"]), skip=order["skip"]))

    def report(self, message: dict[str, Any]) -> None:
        self.reports.write(json.dumps(message).encode() + b"\n")
        self.reports.flush()
        self.spoken = time.monotonic()

    def tick(self) -> None:
        if time.monotonic() - self.spoken > ALIVE_EVERY:
            self.report({"kind": "alive"})


def limit_memory() -> None:
    """Let a file that asks for absurd amounts of memory fail instead of taking the machine with it (where the system can)."""
    try:
        import resource
    except ImportError:
        return  # Windows
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))


if __name__ == "__main__":
    WorkerSide(sys.stdin.buffer, sys.stdout.buffer).serve()
