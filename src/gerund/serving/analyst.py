"""One thread that feeds one backbone: the frames of all requests share its batches, and each request gets its features."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gerund.backbones import Engine
from gerund.core.errors import CacheError, GerundError, VideoError
from gerund.core.types import Features
from gerund.core.workers import Finished
from gerund.features.batches import Packer, Windows
from gerund.features.cache import BlockWriter, FeatureCache
from gerund.recognition.recognizer import Recognizer
from gerund.serving.decoder import Probed, ServingPool
from gerund.serving.limits import Limits, NoRoomError
from gerund.video.pool import Decoded, DecodeJob, Ended, Reading

VIDEO = "video"
"""What the one video of a folder is called there and in its cache; a stranger's name never becomes a path."""
LINGER = 0.1
"""Seconds that the last frames of a video wait for others to fill their batch."""
TIDY_EVERY = 200
"""Videos after which the packer is emptied at the latest, so that what it remembers of them stays small."""

log = logging.getLogger("gerund.serving")


class EndedError(Exception):
    """A task that somebody ended; says why."""


@dataclass(eq=False, kw_only=True)
class Task:
    """A video in a folder of its own, and what becomes of it. `patient` tasks leave a worker free for those somebody waits for."""

    folder: Path
    time_limit: float
    patient: bool = False
    features: Future[Features] = field(default_factory=Future)
    index: int = -1
    duration: float | None = None
    seconds_seen: float = 0.0
    started: float | None = None
    verdict: Exception | None = None
    decoded: bool = False

    @property
    def path(self) -> Path:
        return self.folder / VIDEO

    @property
    def condemned(self) -> bool:
        """Whether its work is to be ended, by whoever asked for it or because it takes too long."""
        if self.verdict is None and self.started is not None and time.monotonic() - self.started > self.time_limit:
            self.verdict = VideoError(f"it took longer than {self.time_limit:.0f} s; send a shorter video, or send it as a job")
        return self.verdict is not None


class Analyst:
    """Owns the decoders and the backbone. `submit` and `end` may be called from any thread; answers come as futures."""

    def __init__(self, recognizer: Recognizer, *, workers: int, limits: Limits) -> None:
        self.recognizer = recognizer
        self.engine = Timed(recognizer.extractor.engine)
        self.decode_seconds = 0.0
        self.waiting: deque[Task] = deque()
        self.tasks: dict[int, Task] = {}
        self.count = 0
        self.lock = threading.Lock()
        self.arrived = threading.Event()
        self.closing = False
        self.due: float | None = None
        reading = Reading(fps=recognizer.extractor.spec.fps, resize=recognizer.backbone.resize)
        self.pool = ServingPool(reading, workers, limits)
        self.clear_desk()
        self.thread = threading.Thread(target=self.work, name="analyst", daemon=True)
        self.thread.start()

    def clear_desk(self) -> None:
        backbone = self.recognizer.backbone
        self.windows = Windows(backbone.window, backbone.stride)
        self.desk = Desk(self.engine, {}, backbone.window, failed=self.pool.wake)

    def submit(self, task: Task) -> Future[Features]:
        """Queue a task; its future gives the features, or raises VideoError (the file is at fault), NoRoomError or EndedError."""
        with self.lock:
            self.waiting.append(task)
        self.wake()
        return task.features

    def end(self, task: Task, why: str) -> None:
        """Stop a task wherever it is: out of the queue, or its decoder killed."""
        task.verdict = task.verdict or EndedError(why)
        with self.lock:
            queued = task in self.waiting
            if queued:
                self.waiting.remove(task)
        if queued:
            settle(task, EndedError(why))
        self.wake()

    def wake(self) -> None:
        self.arrived.set()
        self.pool.wake()

    def close(self) -> None:
        """End everything; tasks still in hand are given up."""
        self.closing = True
        for task in [*self.tasks.values(), *self.waiting]:
            self.end(task, "the server is shutting down")
        self.wake()
        self.thread.join()
        self.pool.__exit__()

    def work(self) -> None:
        while not self.closing:
            self.arrived.wait()
            self.arrived.clear()
            try:
                self.analyse()
            except Exception as error:  # a device that fell over: those in hand hear of it, the next have a chance
                log.exception("the analysis failed")
                self.give_up(error if isinstance(error, GerundError) else EndedError("the server failed; its log says how"))

    def analyse(self) -> None:
        """Work until nothing is in hand or waiting."""
        self.due = None
        while self.hand_out():
            for event in self.pool.events():
                self.take(event)
            self.desk.raise_failure()
            self.flush_if_due()
            self.report_failures()
        self.desk.flush()
        self.report_failures()

    def hand_out(self) -> bool:
        """End what is condemned and start what may start; whether anything is in hand."""
        for index, task in list(self.tasks.items()):
            if task.condemned:
                self.pool.cancel(index)
        while self.pool.has_room and (job := self.next_job()) is not None:
            self.pool.submit(job)
        return self.pool.is_busy

    def take(self, event: Decoded | Ended | Probed | Finished) -> None:
        """What a decoder says of a job."""
        task = self.tasks.get(event.index)
        if isinstance(event, Decoded):
            if task is not None:
                task.seconds_seen = float(event.pts[-1])
                for frames, pts in self.windows.add(event.index, event.frames, event.pts):
                    self.desk.add(event.index, frames, pts)
            event.release()
        elif task is None:
            pass
        elif isinstance(event, Ended):
            self.desk.ends[event.index] = event.end
        elif isinstance(event, Probed):
            task.duration = event.duration
        else:
            self.decoded(task, event)

    def flush_if_due(self) -> None:
        """Run a batch that is not full once a finished video has waited LINGER seconds for its last frames, or no others are coming.

        Frames that the backbone has already are waited for only when no others are coming: a pause for each video would cost a quarter of
        the throughput.
        """
        if len(self.desk.over) > TIDY_EVERY:
            self.desk.flush()
        coming = self.waiting or any(index not in self.desk.over for index in list(self.tasks))
        now = time.monotonic()
        if self.desk.owes and not coming:
            self.desk.flush()
            self.due = None
        elif not self.desk.holds_back:
            self.due = None
        elif self.due is None:
            self.due = now + LINGER
            threading.Timer(LINGER, self.pool.wake).start()
        elif now >= self.due:
            self.desk.send()
            self.due = None

    def next_job(self) -> DecodeJob | None:
        """The next task that may start now; one worker, if there are several, is kept free of patient tasks."""
        with self.lock:
            busy = sum(self.tasks[job.index].patient for worker in self.pool.workers for job in worker.jobs)
            room = busy < max(1, len(self.pool.workers) - 1)
            task = next((task for task in self.waiting if room or not task.patient), None)
            if task is None:
                return None
            self.waiting.remove(task)
            self.count += 1
            task.index, task.started = self.count, time.monotonic()
            self.tasks[task.index] = task
        cache = FeatureCache(task.folder)
        self.desk.writers[task.index] = RowWriter(
            cache, self.recognizer.extractor.spec, VIDEO, done=lambda: self.hand_over(task, cache)
        )
        return DecodeJob(index=task.index, path=task.path)

    def decoded(self, task: Task, event: Finished) -> None:
        assert task.started is not None
        self.decode_seconds += time.monotonic() - task.started
        task.decoded = True
        self.desk.over.add(event.index)
        if event.error is None and task.verdict is None:
            for frames, pts in self.windows.finish(event.index):
                self.desk.add(event.index, frames, pts)
            self.desk.finish(event.index)
            return
        self.windows.forget(event.index)
        self.desk.discard(event.index)
        self.tasks.pop(event.index, None)
        settle(task, task.verdict or VideoError((event.error or "").removeprefix(f"{task.path}: ")))

    def hand_over(self, task: Task, cache: FeatureCache) -> None:
        """The last row of a video is stored; called from whatever thread the backbone answers in."""
        features = cache.get(self.recognizer.extractor.spec, VIDEO)
        self.tasks.pop(task.index, None)
        settle(task, features if features is not None else EndedError("its features were removed"))
        if task.verdict is not None:  # whoever ended it has deleted its folder, perhaps before the last rows were written
            shutil.rmtree(task.folder, ignore_errors=True)

    def report_failures(self) -> None:
        """Tell those whose features were not finite or could not be stored; what of theirs is still being decoded is ended."""
        for index, verdict in self.desk.take_failures():
            task = self.tasks.get(index)
            if task is not None:
                task.verdict = verdict
                settle(task, task.verdict)
                if task.decoded:
                    self.tasks.pop(index)

    def give_up(self, error: Exception) -> None:
        """Fail all tasks in hand, and start again with new decoders and an empty desk."""
        for task in list(self.tasks.values()):
            settle(task, error)
        self.pool.restart()
        self.tasks.clear()
        self.clear_desk()


def settle(task: Task, outcome: Features | Exception) -> None:
    with suppress(InvalidStateError):  # whoever asked may have gone
        if isinstance(outcome, Exception):
            task.features.set_exception(outcome)
        else:
            task.features.set_result(outcome)


class RowWriter(BlockWriter):
    """Stores a video's rows, and says when all are there."""

    def __init__(self, *place: Any, done: Callable[[], None]) -> None:
        super().__init__(*place)
        self.done = done

    def close(self, end: float | None = None) -> None:
        super().close(end)
        self.done()


class Desk(Packer):
    """A packer that videos come to and leave as they like."""

    writers: dict[int, BlockWriter]

    def __init__(self, engine: Engine, writers: dict[int, BlockWriter], window: int, *, failed: Callable[[], None]) -> None:
        super().__init__(engine, writers, window)
        self.failed = failed
        self.over: set[int] = set()
        self.unstored: dict[int, CacheError] = {}

    def receive(self, number: int, features: np.ndarray, owners: Sequence[tuple[int, np.ndarray]]) -> None:
        super().receive(number, features, owners)
        if self.failure or self.failures or self.unstored:
            self.failed()  # the backbone answers in another thread, and no frame may come for long

    def store(self, index: int, data: np.ndarray, pts: np.ndarray) -> None:
        with self.at_its_own_cost(index):
            super().store(index, data, pts)

    def close_if_complete(self, index: int) -> None:
        with self.at_its_own_cost(index):
            super().close_if_complete(index)

    @contextmanager
    def at_its_own_cost(self, index: int) -> Iterator[None]:
        """A video whose rows cannot be stored is dropped; the others go on."""
        try:
            yield
        except CacheError as error:
            self.dropped.add(index)
            self.unstored[index] = error

    @property
    def owes(self) -> bool:
        """Whether some video has been decoded to its end, but not all of its frames have been seen by the backbone."""
        return any(self.waiting[index] for index in self.over)

    @property
    def holds_back(self) -> bool:
        """Whether the last frames of such a video are in the batch that is being filled."""
        return any(index in self.over for index, _ in self.owners)

    def flush(self) -> None:
        """Run what is left, and forget the videos that are over: after this no batch holds a frame of theirs."""
        super().flush()
        with self.lock:
            for index in self.over:
                self.writers.pop(index, None)
                for memory in (self.waiting, self.last_pts):
                    memory.pop(index, None)
            self.finished -= self.over
            self.dropped -= self.over
            self.over.clear()

    def take_failures(self) -> list[tuple[int, Exception]]:
        """The videos that were dropped since the last call, and why: VideoError or NoRoomError."""
        with self.lock:
            failures: list[tuple[int, Exception]] = [(index, VideoError(why)) for index, why in self.failures.items()]
            for index, error in self.unstored.items():
                log.error("%s", error)
                failures.append((index, NoRoomError("its features cannot be stored; the disk may be full")))
            self.failures.clear()
            self.unstored.clear()
        return failures


class Timed:
    """An engine that counts its seconds and frames, and leaves the device's unfinished batches to `drain`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.batch_size = engine.batch_size
        self.seconds = 0.0
        self.batches = 0

    def submit(self, batch: np.ndarray, done: Callable[[np.ndarray], None]) -> None:
        started = time.monotonic()

        def answered(features: np.ndarray) -> None:
            self.seconds += time.monotonic() - started
            self.batches += 1
            done(features)

        self.engine.submit(batch, answered)

    def drain(self) -> None:
        self.engine.drain()
