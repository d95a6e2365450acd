"""Decoding strangers' files: in worker processes that are bound hand and foot, and that are ended when a request is over."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

import numpy as np

from gerund import video
from gerund.core.errors import VideoError
from gerund.core.workers import Job
from gerund.serving.limits import Limits, more_processor_time, shut_in
from gerund.video import pool as decoding
from gerund.video.container import strangers_file
from gerund.video.pool import Reading

NOBODY: Any = object()


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What the header of a job's video says; `duration` (seconds) may be unknown."""

    index: int
    duration: float | None


@dataclass(frozen=True)
class Nudge:
    """Nothing happened; an event for whoever wants to look at the clock."""

    index: int = 0


class DecodePool(decoding.DecodePool):
    """A pool for a server: it lives on between jobs, and `condemned` says which running job is to be ended."""

    AHEAD = 1

    def __init__(self, reading: Reading, workers: int, limits: Limits, condemned: Callable[[int], bool]) -> None:
        self.limits = limits
        self.condemned = condemned
        super().__init__(reading, workers)

    def start(self) -> decoding.Worker:
        return decoding.Worker(self.reading, self.reports, module="gerund.serving.decoder", limits=asdict(self.limits))

    def event(self, worker: Any, report: dict[str, Any]) -> Any:
        if report["kind"] == "nudge":
            return Nudge()
        if report["kind"] == "probed":
            return Probed(index=report["index"], duration=report["duration"])
        return super().event(worker, report)

    def hand_out(self, again: deque[Job], todo: Iterator[Job]) -> bool:
        for worker in list(self.workers):
            if worker.jobs and self.condemned(worker.jobs[0].index):
                worker.process.kill()
                worker.process.wait()  # it may have come to its end by itself: no next job must find it dying
            elif not worker.jobs and worker.process.poll() is not None:  # it died while idle: no fault of the next job
                self.replace(worker)
        return super().hand_out(again, todo)

    def replace(self, worker: decoding.Worker) -> None:
        worker.end()
        self.workers[self.workers.index(worker)] = self.start()

    def restart(self) -> None:
        """New workers for all, whatever the old ones had in hand."""
        for worker in list(self.workers):
            self.replace(worker)

    def wake(self) -> None:
        """Have `run` look for new and ended jobs now; may be called from any thread."""
        self.reports.put((NOBODY, {}))

    def nudge(self) -> None:
        """Have `run` yield a Nudge."""
        self.reports.put((self.workers[0], {"kind": "nudge"}))


class WorkerSide(decoding.WorkerSide):
    """What runs in the worker process."""

    def __init__(self, orders: IO[bytes], reports: IO[bytes]) -> None:
        super().__init__(orders, reports)
        self.limits = Limits(**self.setup["limits"])
        self.packets = 0
        self.trust = strangers_file(pixels=self.limits.pixels)

    def prepare(self) -> None:
        shut_in(cpu_seconds=self.limits.seconds_job)

    def tick(self) -> None:
        super().tick()
        self.packets += 1
        if self.packets > self.limits.packets:
            raise VideoError(f"more than {self.limits.packets:,} packets; send a shorter video")

    def frames(self, job: Job) -> Iterator[tuple[float, np.ndarray]]:
        more_processor_time(self.limits.seconds_job)
        self.packets = 0
        info = video.probe(job.path, trust=self.trust)
        self.trust.check_size(info.width, info.height)
        self.check_length(info.duration or 0.0)
        self.report({"kind": "probed", "index": job.index, "duration": info.duration})
        for pts, picture in super().frames(job):
            self.check_length(pts)
            yield pts, picture

    def ended(self, job: Job, end: float) -> None:
        self.check_length(end)
        super().ended(job, end)

    def check_length(self, seconds: float) -> None:
        if seconds > self.limits.duration:
            raise VideoError(f"longer than {self.limits.duration:g} s, the most that is taken; send a part of it")


if __name__ == "__main__":
    WorkerSide(sys.stdin.buffer, sys.stdout.buffer).serve()
