"""Decoding strangers' files: in worker processes that are bound hand and foot, and that are ended when a request is over."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

import numpy as np

from gerund import video
from gerund.core.errors import VideoError
from gerund.core.workers import Job
from gerund.serving.limits import Limits, more_processor_time, shut_in
from gerund.video.container import strangers_file
from gerund.video.pool import DecodeJob, DecodePool, DecodeSide, DecodeWorker, Reading


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What the header of a job's video says; `duration` (seconds) may be unknown."""

    index: int
    duration: float | None


class ServingPool(DecodePool):
    """A pool that lives on between jobs, and whose jobs can be ended."""

    AHEAD = 1

    def __init__(self, reading: Reading, workers: int, limits: Limits) -> None:
        self.limits = limits
        super().__init__(reading, workers)

    def start(self) -> DecodeWorker:
        return DecodeWorker(self.reading, self.reports, module="gerund.serving.decoder", limits=asdict(self.limits))

    def event(self, worker: Any, report: dict[str, Any]) -> Any:
        if report["kind"] == "probed":
            return Probed(index=report["index"], duration=report["duration"])
        return super().event(worker, report)

    def submit(self, job: Job) -> None:
        for worker in list(self.workers):
            if not worker.jobs and worker.process.poll() is not None:  # it died while idle: no fault of the next job
                self.replace(worker)
        super().submit(job)

    def cancel(self, index: int) -> None:
        """End a job that is being worked on; its Finished follows."""
        for worker in self.workers:
            if worker.jobs and worker.jobs[0].index == index:
                worker.process.kill()
                worker.process.wait()  # it may have come to its end by itself: no next job must find it dying

    def wake(self) -> None:
        """Have `events` return now; may be called from any thread."""
        self.reports.put((self.workers[0], {"kind": "alive"}))

    def restart(self) -> None:
        """New workers for all, whatever the old ones had in hand."""
        for worker in list(self.workers):
            worker.jobs.clear()
            self.replace(worker)


class ServingSide(DecodeSide):
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

    def frames(self, job: DecodeJob) -> Iterator[tuple[float, np.ndarray]]:
        more_processor_time(self.limits.seconds_job)
        self.packets = 0
        info = video.probe(job.path, trust=self.trust)
        self.trust.check_size(info.width, info.height)
        self.check_length(info.duration or 0.0)
        self.report({"kind": "probed", "index": job.index, "duration": info.duration})
        for pts, picture in super().frames(job):
            self.check_length(pts)
            yield pts, picture

    def ended(self, job: DecodeJob, end: float) -> None:
        self.check_length(end)
        super().ended(job, end)

    def check_length(self, seconds: float) -> None:
        if seconds > self.limits.duration:
            raise VideoError(f"longer than {self.limits.duration:g} s, the most that is taken; send a part of it")


if __name__ == "__main__":
    ServingSide(sys.stdin.buffer, sys.stdout.buffer).serve()
