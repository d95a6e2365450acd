"""Decoding in worker processes: a decoder that crashes, hangs or eats all memory costs one video, never the job.

A worker hands its frames over in a memory-mapped file, already scaled to the backbone's size.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from gerund.core.errors import CacheError
from gerund.core.files import beside, tidy
from gerund.core.types import Resize
from gerund.core.workers import UNREADABLE, FileJob, Finished, Pool, Reports, Worker, WorkerSide, reason
from gerund.video.container import OWN_FILE, Trust
from gerund.video.converter import FrameConverter
from gerund.video.reader import wanted_frames

SLOT_FRAMES = 32
SLOTS = 4


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Some frames (n, H, W, 3) of a job and their pts (n,); valid until `release` is called."""

    index: int
    frames: np.ndarray
    pts: np.ndarray
    release: Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """All frames of a job are there; the video ends at `end` seconds."""

    index: int
    end: float


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How every video is read: rate, input size of the backbone, mirrored or not; `threads` per decoder, 0 for as many as it likes."""

    fps: float | None
    resize: Resize
    flip: bool = False
    threads: int = 1


@dataclass(frozen=True, kw_only=True)
class DecodeJob(FileJob):
    """One video to decode; of its wanted frames, the first `skip` are already known and need no converting."""

    skip: int = 0


def frames_of(
    path: Path,
    reading: Reading,
    *,
    skip: int = 0,
    tick: Callable[[], None] = lambda: None,
    ended: Callable[[float], None] = lambda end: None,
    trust: Trust = OWN_FILE,
) -> Iterator[tuple[float, np.ndarray]]:
    """The wanted frames of a video with their pts, from number `skip` on; `tick` and `ended` as for `wanted_frames`."""
    convert = FrameConverter(reading.resize)
    frames = wanted_frames(path, fps=reading.fps, threads=reading.threads, tick=tick, ended=ended, trust=trust)
    for number, (pts, frame) in enumerate(frames):
        if number >= skip:
            picture = convert(frame)
            yield pts, picture[:, ::-1] if reading.flip else picture


def decode_here(jobs: Iterable[DecodeJob], reading: Reading) -> Iterator[Decoded | Ended | Finished]:
    """Decode in this process: quicker to start, for one or two videos."""
    for job in jobs:
        ends: list[float] = []
        try:
            for pts, picture in frames_of(job.path, reading, skip=job.skip, ended=ends.append):
                yield Decoded(index=job.index, frames=picture[None], pts=np.array([pts]), release=lambda: None)
            yield from (Ended(index=job.index, end=end) for end in ends)
            yield Finished(index=job.index)
        except UNREADABLE as failure:
            yield Finished(index=job.index, error=reason(job.path, failure))


class DecodeWorker(Worker):
    """One decoding process and the memory it shares with this one."""

    def __init__(
        self,
        reading: Reading,
        reports: Reports,
        *,
        module: str = "gerund.video.pool",
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        shape = (SLOTS, SLOT_FRAMES, 3, reading.resize.height, reading.resize.width)
        self.memory = shared_memory(math.prod(shape))
        self.slots = np.memmap(self.memory, np.uint8, "r+", shape=shape)
        setup = {"memory": str(self.memory), "shape": shape, "reading": asdict(reading), "limits": dict(limits or {})}
        super().__init__(module, setup, reports)

    def end(self) -> None:
        super().end()
        self.memory.unlink(missing_ok=True)


def shared_memory(size: int) -> Path:
    """A file of `size` bytes for two processes to map, in memory if there is room.

    The room is reserved at once: a container may have 64 MB of it, and who writes beyond that is killed (SIGBUS). The file's name is
    gone as soon as both have mapped it; those of processes that were killed before are removed.
    """
    for folder in (shared_memory_folder(), None):
        tidy(Path(folder or tempfile.gettempdir()))
        handle, name = tempfile.mkstemp(prefix=f"{beside(Path('gerund')).name}.", dir=folder)
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


class DecodePool(Pool):
    """Worker processes that decode many videos; use as a context manager. `run` gives Decoded, Ended and Finished events.

    Frames of one job come in order, those of several jobs interleaved.
    """

    def __init__(self, reading: Reading, workers: int) -> None:
        self.reading = reading
        super().__init__(workers)

    def start(self) -> DecodeWorker:
        return DecodeWorker(self.reading, self.reports)

    def event(self, worker: DecodeWorker, report: dict[str, Any]) -> Decoded | Ended:
        if report["kind"] == "ended":
            return Ended(index=report["index"], end=report["end"])
        slot = report["slot"]
        return Decoded(
            index=report["index"],
            frames=worker.slots[slot, : len(report["pts"])].transpose(0, 2, 3, 1),
            pts=np.array(report["pts"]),
            release=lambda: worker.tell({"kind": "slot", "slot": slot}),
        )


class DecodeSide(WorkerSide):
    """What runs in the worker process."""

    job = DecodeJob
    trust = OWN_FILE

    def __init__(self, orders: IO[bytes], reports: IO[bytes]) -> None:
        super().__init__(orders, reports)
        self.slots = np.memmap(self.setup["memory"], np.uint8, "r+", shape=tuple(self.setup["shape"]))
        reading = self.setup["reading"]
        self.reading = Reading(**{**reading, "resize": Resize(**reading["resize"])})
        with contextlib.suppress(OSError):  # Windows keeps the name of an open file; the other side removes it then
            Path(self.setup["memory"]).unlink()
        self.free = deque(range(len(self.slots)))

    def work(self, job: DecodeJob) -> None:
        self.end: float | None = None
        frames = self.frames(job)
        while self.hand_over(job, frames):
            pass
        if self.end is not None:
            self.report({"kind": "ended", "index": job.index, "end": self.end})

    def hand_over(self, job: DecodeJob, frames: Iterator[tuple[float, np.ndarray]]) -> bool:
        """Fill one slot and report it; whether there may be more. A slot that is not reported, for whatever reason, is free again."""
        first = next(frames, None)
        if first is None:
            return False
        slot, pts = self.free_slot(), list[float]()
        try:
            for time_stamp, picture in itertools.islice(itertools.chain([first], frames), self.slots.shape[1]):
                self.slots[slot, len(pts)] = picture.transpose(2, 0, 1)
                pts.append(time_stamp)
        except BaseException:
            self.free.append(slot)
            raise
        self.report({"kind": "frames", "index": job.index, "slot": slot, "pts": pts})
        return len(pts) == self.slots.shape[1]

    def frames(self, job: DecodeJob) -> Iterator[tuple[float, np.ndarray]]:
        return frames_of(
            job.path,
            self.reading,
            skip=job.skip,
            tick=self.tick,
            ended=lambda end: self.ended(job, end),
            trust=self.trust,
        )

    def ended(self, job: DecodeJob, end: float) -> None:
        self.end = end

    def free_slot(self) -> int:
        while not self.free:
            self.await_order()
        return self.free.popleft()

    def ordered(self, order: dict[str, Any]) -> None:
        self.free.append(order["slot"])


if __name__ == "__main__":
    DecodeSide(sys.stdin.buffer, sys.stdout.buffer).serve()
