"""Worker processes for work that may crash: whoever dies, hangs or eats all memory costs one job, never the whole run.

A worker is `python -m gerund.MODULE`. Orders and reports are JSON lines on its standard streams.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from gerund.core.errors import GerundError

ALIVE_EVERY = 5.0
MEMORY_LIMIT = 8 * 2**30
"""Bytes of address space for a worker; an 8K video needs about 2 GB."""
SILENCE_LIMIT = 120.0
"""Seconds without a word from a worker before it is taken for hung; a healthy one reports every ALIVE_EVERY seconds."""

UNREADABLE = (GerundError, MemoryError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
"""What a broken file can trip in the decoder library; anything else is a mistake of ours and ends the job."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One piece of work for a worker process; kinds of work that need more than a number say so in fields of plain values."""

    index: int


@dataclass(frozen=True, kw_only=True)
class FileJob(Job):
    """Work on one file, or one folder of images."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))  # it comes to the worker as a text


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A job is over; `error` says why nothing (more) came of it."""

    index: int
    error: str | None = None


def reason(path: Path, failure: Exception) -> str:
    """Why a video could not be read (further), with its path."""
    if isinstance(failure, GerundError):
        return str(failure)
    if isinstance(failure, MemoryError):
        return f"{path}: out of memory while decoding"
    return f"{path}: not readable as video ({type(failure).__name__}: {failure})"


def environment() -> dict[str, str]:
    """The variables of a process of ours: this one's, the places it imports from, and one thread of arithmetic."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


Reports = queue.SimpleQueue[tuple["Worker", dict[str, Any]]]


class Worker:
    """One process that runs a module of gerund, and the jobs it has in hand."""

    def __init__(self, module: str, setup: Mapping[str, Any], reports: Reports) -> None:
        self.jobs: deque[Job] = deque()
        self.heard = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            start_new_session=True,  # a Ctrl-C in the terminal is for the main process, which then ends its workers
        )
        self.tell(setup)
        self.listener = threading.Thread(target=self.listen, args=(reports,), daemon=True)
        self.listener.start()

    def listen(self, reports: Reports) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.heard = time.monotonic()
            reports.put((self, json.loads(line)))
        reports.put((self, {"kind": "exited"}))

    def tell(self, order: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError, ValueError):  # a dead worker is noticed by its reports ending
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps(order, default=str).encode() + b"\n")
            self.process.stdin.flush()

    def give(self, job: Job) -> None:
        if not self.jobs:
            self.heard = time.monotonic()  # an idle worker has nothing to say; its silence counts from here
        self.jobs.append(job)
        self.tell({"kind": "job", **asdict(job)})

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.listener.join()  # it reads to the end of the stream that is closed now
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


class Pool(ABC):
    """Worker processes that do many jobs; use as a context manager."""

    AHEAD = 2
    """Jobs a worker has in hand, so that it never waits for the next one."""
    WHO = "the decoder"

    def __init__(self, workers: int) -> None:
        self.reports: Reports = queue.SimpleQueue()
        self.workers = [self.start() for _ in range(workers)]

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.end()

    @abstractmethod
    def start(self) -> Any:
        """A new worker that reports to `self.reports`."""

    @abstractmethod
    def event(self, worker: Any, report: dict[str, Any]) -> Any:
        """What a report of a worker on a job in hand means to the caller of `events`."""

    def run(self, jobs: Iterable[Job]) -> Iterator[Any]:
        """Do all jobs, taking each when there is room for it: their events, those of several interleaved, and one Finished for each."""
        todo = iter(jobs)
        while True:
            while self.has_room and (job := next(todo, None)) is not None:
                self.submit(job)
            if not self.is_busy:
                return
            yield from self.events()

    @property
    def has_room(self) -> bool:
        """Whether some worker can take one more job."""
        return any(len(worker.jobs) < self.AHEAD for worker in self.workers)

    @property
    def is_busy(self) -> bool:
        """Whether any job is in hand."""
        return any(worker.jobs for worker in self.workers)

    def submit(self, job: Job) -> None:
        """Give a job to the first worker that has room."""
        next(worker for worker in self.workers if len(worker.jobs) < self.AHEAD).give(job)

    def events(self) -> Iterator[Any]:
        """Wait for what a worker says next, for at most ALIVE_EVERY seconds; the events that it means, none or one."""
        try:
            worker, report = self.reports.get(timeout=ALIVE_EVERY)
        except queue.Empty:
            self.end_silent_workers()
            return
        if worker not in self.workers or report["kind"] == "alive":
            return
        if report["kind"] == "exited":
            if worker.jobs:
                yield Finished(index=worker.jobs.popleft().index, error=self.cause_of_death(worker))
            self.replace(worker)
        elif report["kind"] == "finished":
            worker.jobs.popleft()
            yield Finished(index=report["index"], error=report["error"])
        else:
            yield self.event(worker, report)

    def replace(self, worker: Worker) -> None:
        """A new worker, with the jobs that the old one had in hand."""
        worker.end()
        self.workers[self.workers.index(worker)] = successor = self.start()
        for job in worker.jobs:
            successor.give(job)

    def end_silent_workers(self) -> None:
        for worker in self.workers:
            if worker.jobs and time.monotonic() - worker.heard > SILENCE_LIMIT:
                worker.process.kill()

    def cause_of_death(self, worker: Worker) -> str:
        if time.monotonic() - worker.heard > SILENCE_LIMIT:
            return f"{self.WHO} hung for {SILENCE_LIMIT:.0f} s and was ended"
        code = worker.process.wait()
        return f"{self.WHO} crashed ({f'signal {-code}' if code < 0 else f'exit code {code}'})"


def limit_memory() -> None:
    """Let a file that asks for absurd amounts of memory fail instead of taking the machine with it (where the system can)."""
    try:
        import resource
    except ImportError:
        return  # Windows
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))


class WorkerSide(ABC):
    """What runs in the worker process. `survives` are the errors that end a job of its kind, any other ends the process."""

    job: type[Job] = Job
    survives: tuple[type[Exception], ...] = UNREADABLE

    def __init__(self, orders: IO[bytes], reports: IO[bytes]) -> None:
        self.orders, self.reports = orders, reports
        self.setup = json.loads(orders.readline())
        self.heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.jobs: deque[Job] = deque()
        self.spoken = time.monotonic()

    @abstractmethod
    def work(self, job: Any) -> None:
        """Do one job, reporting on the way."""

    def ordered(self, order: dict[str, Any]) -> None:
        """Take an order that is not a job."""
        raise ValueError(f"unknown order {order['kind']!r}")

    def prepare(self) -> None:
        """What the process does first."""
        limit_memory()

    def reason(self, job: Job, failure: Exception) -> str:
        """Why nothing came of a job."""
        if isinstance(job, FileJob):
            return reason(job.path, failure)
        return str(failure) if isinstance(failure, GerundError) else f"{type(failure).__name__}: {failure}"

    def serve(self) -> None:
        """Do jobs until the main process is gone."""
        threading.Thread(target=self.listen, daemon=True).start()
        try:
            self.prepare()
            while True:
                self.serve_one()
        finally:  # an ordinary end would wait for the thread that listens
            traceback.print_exc()
            os._exit(1)

    def serve_one(self) -> None:
        while not self.jobs:
            self.obey(self.heard.get())
        job = self.jobs.popleft()
        error = None
        try:
            self.work(job)
        except self.survives as failure:
            error = self.reason(job, failure)
        self.report({"kind": "finished", "index": job.index, "error": error})

    def listen(self) -> None:
        for line in self.orders:
            self.heard.put(json.loads(line))
        os._exit(0)  # the main process is gone, whatever this one is busy with

    def await_order(self) -> None:
        """Wait for the next order in the middle of a job, saying now and then that this process is alive."""
        while True:
            try:
                order = self.heard.get(timeout=ALIVE_EVERY)
            except queue.Empty:
                self.report({"kind": "alive"})
            else:
                return self.obey(order)

    def obey(self, order: dict[str, Any]) -> None:
        if order["kind"] == "job":
            self.jobs.append(self.job(**{name: value for name, value in order.items() if name != "kind"}))
        else:
            self.ordered(order)

    def report(self, message: dict[str, Any]) -> None:
        self.reports.write(json.dumps(message).encode() + b"\n")
        self.reports.flush()
        self.spoken = time.monotonic()

    def tick(self) -> None:
        """Say that this process is alive, now and then; to be called often."""
        if time.monotonic() - self.spoken > ALIVE_EVERY:
            self.report({"kind": "alive"})
