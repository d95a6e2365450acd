"""Requests from the moment they are let in until their last byte is gone."""

from __future__ import annotations

import asyncio
import math
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from gerund.core.errors import VideoError
from gerund.core.types import Features, Prediction, Timeline
from gerund.recognition.recognizer import Recognizer
from gerund.serving import drawing
from gerund.serving.analysis import analysis, prediction_of
from gerund.serving.analyst import Analyst, EndedError, Task
from gerund.serving.limits import Limits, NoRoomError
from gerund.serving.scratch import Scratch
from gerund.timelines.timeline import windows_for

KEPT_UPLOADS = 8
"""How many uploads of the largest size the kept jobs may hold together; beyond that the oldest finished ones go."""
KEPT_JOBS = 200
UPLOADS_PER_PLACE = 4
"""Uploads on their way, for each place; when more come, the slowest goes."""
HEAD_START = 10**6
"""Bytes that an upload is taken to have sent before it begins, so that a new one is not the slowest."""
LOOK_EVERY = 0.1
"""Seconds between two looks at a job by those who watch it."""

State = Literal["queued", "running", "done", "failed", "cancelled"]
OVER = ("done", "failed", "cancelled")
T = TypeVar("T")


class RefusedError(Exception):
    """A request that is not let in: HTTP status, reason, and for a busy server how many seconds to wait."""

    def __init__(self, status: int, reason: str, wait: int | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.wait = status, reason, wait


@dataclass(eq=False, kw_only=True)
class VideoJob:
    """A video that is analysed while nobody holds the line. Its folder goes when it does."""

    id: str
    name: str
    task: Task
    size: int
    state: State = "queued"
    error: str | None = None
    result: dict[str, Any] | None = None
    timeline: Timeline | None = None
    over_at: float | None = None
    work: asyncio.Task[None] | None = None
    drawing: asyncio.Lock = field(default_factory=asyncio.Lock)
    drawings: set[asyncio.Task[Path]] = field(default_factory=set)

    @property
    def progress(self) -> float:
        """Share of the video that was decoded, 0 to 1; 0 while its length is unknown."""
        if self.state == "done":
            return 1.0
        return min(self.task.seconds_seen / self.task.duration, 0.99) if self.task.duration else 0.0


@dataclass(eq=False)
class Upload:
    """A body on its way, which `deadline` ends."""

    deadline: asyncio.Timeout
    started: float = field(default_factory=time.monotonic)
    size: int = 0

    @property
    def bytes_per_second(self) -> float:
        return (self.size + HEAD_START) / (time.monotonic() - self.started + 1.0)


class Service:
    """One model, its analyst, and the jobs; all methods belong to the event loop's thread."""

    def __init__(
        self, recognizer: Recognizer, scratch: Scratch, *, limits: Limits, workers: int, queue: int, keep: float
    ) -> None:
        self.recognizer = recognizer
        self.scratch = scratch
        self.limits = limits
        self.places = workers + queue
        self.workers = workers
        self.keep = keep
        self.windows = windows_for(recognizer)
        self.analyst = Analyst(recognizer, workers=workers, limits=limits)
        self.jobs: dict[str, VideoJob] = {}
        self.uploads: set[Upload] = set()
        self.taken = 0
        self.usual = 1.0
        self.closing = False
        self.drawing = asyncio.Semaphore(1)
        self.predicting, self.timing = (
            ThreadPoolExecutor(1),
            ThreadPoolExecutor(1),
        )  # more would wait for the same cores, with more memory

    @property
    def ready(self) -> bool:
        """Whether a request would be taken, and its upload had a place."""
        try:
            self.scratch.keep()
        except OSError:
            return False
        return not self.closing and self.analyst.thread.is_alive()

    def admit(self) -> None:
        """Raise RefusedError when there is no place for another request."""
        if self.closing:
            raise RefusedError(503, "the server is shutting down", 5)
        if self.taken >= self.places:
            wait = math.ceil(self.usual * self.taken / self.workers / 3)  # well before all of them are done
            raise RefusedError(429, "too many requests are waiting; try again later", min(max(wait, 1), 60))

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of the places for requests that wait or run. Raises RefusedError when there is none."""
        self.admit()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    @contextmanager
    def upload(self, deadline: asyncio.Timeout) -> Iterator[Upload]:
        """A body on its way. When there are too many, the slowest is given up."""
        if len(self.uploads) >= UPLOADS_PER_PLACE * self.places:
            slowest = min(self.uploads, key=lambda each: each.bytes_per_second)
            self.uploads.remove(slowest)
            slowest.deadline.reschedule(0.0)
        upload = Upload(deadline)
        self.uploads.add(upload)
        try:
            yield upload
        finally:
            self.uploads.discard(upload)

    def grow(self, upload: Upload, size: int) -> None:
        """Count bytes that have come. Raises RefusedError when the upload, or all of them together, are too large."""
        upload.size += size
        self.check_size(upload.size)
        if sum(each.size for each in self.uploads) > self.places * self.limits.upload:
            raise RefusedError(429, "too much is being sent; try again later", 60)

    def check_size(self, size: int) -> None:
        if size > self.limits.upload:
            raise RefusedError(
                413, f"more than {self.limits.upload:,} bytes, the most that is taken; send a shorter or smaller video"
            )

    def folder(self) -> Path:
        """A new folder whose name says nothing and cannot be guessed. Raises RefusedError when there is no place for it."""
        try:
            self.scratch.keep()
            path = self.scratch.folder / secrets.token_urlsafe(16)
            path.mkdir()
        except OSError as error:
            raise RefusedError(507, f"the upload cannot be stored ({error.strerror})") from None
        return path

    async def features(self, task: Task) -> Features:
        """Have a task done. Whoever is cancelled while waiting ends it. Raises VideoError, NoRoomError or EndedError."""
        started = time.monotonic()
        try:
            features = await asyncio.wrap_future(self.analyst.submit(task))
        except asyncio.CancelledError:
            self.analyst.end(task, "nobody waits for it")
            raise
        self.usual += 0.1 * (time.monotonic() - (task.started or started) - self.usual)
        return features

    async def aside(self, pool: ThreadPoolExecutor, work: Callable[..., T], *given: Any) -> T:
        """The result of what would hold up the event loop."""
        return await asyncio.get_running_loop().run_in_executor(pool, work, *given)

    async def predict(self, folder: Path, name: str) -> Prediction:
        """The answer for the video in a folder. Raises VideoError when it cannot be read."""
        features = await self.features(Task(folder=folder, time_limit=self.limits.seconds_now))
        return await self.aside(self.predicting, prediction_of, self.recognizer, name, features)

    def start(self, folder: Path, name: str) -> VideoJob:
        """Take over a folder with a video as a job. It has a place of its own at once: who sent it has just had one."""
        self.taken += 1
        task = Task(folder=folder, time_limit=self.limits.seconds_job, patient=True)
        job = VideoJob(id=folder.name, name=name, task=task, size=task.path.stat().st_size)
        self.jobs[job.id] = job
        job.work = asyncio.create_task(self.run(job))
        return job

    async def run(self, job: VideoJob) -> None:
        try:
            features = await self.features(job.task)
            job.result, job.timeline = await self.aside(self.timing, analysis, self.recognizer, job.name, features, self.windows)
            job.state = "done"
        except (VideoError, NoRoomError) as error:
            job.state, job.error = "failed", f"{job.name}: {error}"
        except (EndedError, asyncio.CancelledError) as error:
            job.state, job.error = "cancelled", str(error) or "cancelled"
        except Exception:
            job.state, job.error = "failed", "the server failed; its log says how"
            raise
        finally:
            self.taken -= 1
            job.over_at = time.monotonic()
            shutil.rmtree(job.task.folder / "features", ignore_errors=True)
            if job.state != "done":
                shutil.rmtree(job.task.folder, ignore_errors=True)
            self.tidy()

    def state(self, job: VideoJob) -> State:
        """`queued` becomes `running` when a decoder takes it; nobody reports that moment."""
        return "running" if job.state == "queued" and job.task.started is not None else job.state

    def position(self, job: VideoJob) -> int | None:
        """How many tasks stand before a waiting job; None when it does not wait."""
        waiting = list(self.analyst.waiting)
        return waiting.index(job.task) if job.task in waiting else None

    async def watch(self, job: VideoJob) -> AsyncIterator[VideoJob | None]:
        """The job whenever something about it changed, until it is over; None now and then, as a sign of life."""
        shown, quiet = None, 0.0
        while True:
            now = (self.state(job), job.task.seconds_seen, self.position(job))
            if now != shown:
                yield job
                shown, quiet = now, 0.0
            elif quiet > 10:
                yield None
                quiet = 0.0
            if job.state in OVER:
                return
            await asyncio.sleep(LOOK_EVERY)
            quiet += LOOK_EVERY

    async def remove(self, job: VideoJob) -> None:
        """End a job wherever it is, and delete all that is left of it."""
        self.jobs.pop(job.id, None)
        self.analyst.end(job.task, "cancelled")
        works = [work for work in (job.work, *job.drawings) if work is not None]
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        shutil.rmtree(job.task.folder, ignore_errors=True)

    async def film(self, job: VideoJob, kind: drawing.FilmKind) -> Path:
        """A video made from a job's: a `preview` any browser plays, or an `annotated` one. Whoever is cancelled while waiting, or
        removes the job, ends the drawing. Raises VideoError, NoRoomError, or RefusedError when the job was removed."""
        film = asyncio.create_task(self.drawn(job, kind))
        job.drawings.add(film)
        try:
            return await film
        except asyncio.CancelledError:
            if job.id in self.jobs:
                raise
            raise RefusedError(404, "no such job; it was removed while its video was drawn") from None
        finally:
            job.drawings.discard(film)

    async def drawn(self, job: VideoJob, kind: drawing.FilmKind) -> Path:
        assert job.timeline is not None
        out = job.task.folder / f"{kind}.mp4"
        async with job.drawing:
            if not job.task.path.is_file():
                raise RefusedError(404, "the video of this job is no longer there; send it again")
            if not out.is_file():
                async with self.drawing:
                    await drawing.draw_film(kind, job.task.path, out, job.timeline, self.limits)
        return out

    def tidy(self) -> None:
        """Remove finished jobs that are old, or too many; oldest first. Those that somebody waits for a drawing of stay."""
        ended = (job for job in self.jobs.values() if job.over_at is not None and not job.drawings)
        over = sorted(ended, key=lambda job: job.over_at or 0.0)
        room = KEPT_UPLOADS * self.limits.upload - sum(job.size for job in over)
        now = time.monotonic()
        for number, job in enumerate(over):
            if now - (job.over_at or now) > self.keep or room < 0 or len(over) - number > KEPT_JOBS:
                room += job.size
                self.jobs.pop(job.id, None)
                shutil.rmtree(job.task.folder, ignore_errors=True)

    async def tidy_forever(self) -> None:
        while True:
            await asyncio.sleep(min(self.keep / 4 + 0.1, 15.0))
            self.tidy()
            with suppress(OSError):
                self.scratch.keep()

    async def finish(self, seconds: float) -> None:
        """Take nothing more, and wait for the jobs in hand for so long at most."""
        self.closing = True
        works = [job.work for job in self.jobs.values() if job.work is not None and not job.work.done()]
        if works:
            await asyncio.wait(works, timeout=seconds)

    async def close(self) -> None:
        for job in list(self.jobs.values()):
            await self.remove(job)
        await asyncio.to_thread(self.analyst.close)
