"""Small pictures of videos, and what their headers say: made in a process of its own, so that a file that crashes it costs one answer."""

from __future__ import annotations

import base64
import io
import itertools
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from gerund import video
from gerund.core.errors import VideoError
from gerund.core.workers import FileJob, Finished, Job, Pool, Worker, WorkerSide

PICTURE_HEIGHT = 108
QUALITY = 80


@dataclass(frozen=True, kw_only=True)
class LookJob(FileJob):
    """A look at a video: at its header, or, at `at` seconds, at the picture on screen."""

    at: float | None = None


class Looker(Pool):
    """A process that looks into videos for whoever asks, from any thread; one question after the other."""

    AHEAD = 1

    def __init__(self) -> None:
        self.asking = threading.Lock()
        self.numbers = itertools.count()
        super().__init__(workers=1)

    def start(self) -> Worker:
        return Worker("gerund.labelling.pictures", {}, self.reports)

    def event(self, worker: Any, report: dict[str, Any]) -> dict[str, Any]:
        return report

    def submit(self, job: Job) -> None:
        worker = self.workers[0]
        if worker.process.poll() is not None:  # it died while idle: no fault of the next job
            self.replace(worker)
        super().submit(job)

    def close(self) -> None:
        """End the process; who waits for an answer of it gets an error."""
        for worker in self.workers:
            worker.process.kill()
        with self.asking:
            self.__exit__()

    def ask(self, path: Path, at: float | None = None) -> dict[str, Any]:
        """What a look at a video gives. Raises VideoError with its path, also when the process dies over it."""
        with self.asking:
            said: dict[str, Any] = {}
            for event in self.run([LookJob(index=next(self.numbers), path=path, at=at)]):
                if not isinstance(event, Finished):
                    said = event
                elif event.error is not None:
                    raise VideoError(f"{path}: {event.error.removeprefix(f'{path}: ')}")
            return said

    def header(self, path: Path) -> tuple[float, float]:
        """Seconds and pictures per second, 0 for what the file does not say. Raises VideoError."""
        said = self.ask(path)
        return said["duration"], said["fps"]

    def picture(self, path: Path, at: float) -> bytes:
        """The picture on screen at a time, PICTURE_HEIGHT high, as JPEG. Raises VideoError."""
        return base64.b64decode(self.ask(path, at)["picture"])


class LookerSide(WorkerSide):
    """What runs in the process."""

    job = LookJob

    def work(self, job: LookJob) -> None:
        if job.at is None:
            info = video.probe(job.path)
            self.report({"kind": "header", "duration": info.duration or 0.0, "fps": info.fps or 0.0})
        else:
            self.report({"kind": "picture", "picture": base64.b64encode(film_picture(job.path, job.at)).decode()})


def film_picture(path: Path, seconds: float) -> bytes:
    picture = Image.fromarray(video.frame_at(path, seconds))
    width = max(1, round(picture.width * PICTURE_HEIGHT / picture.height))
    out = io.BytesIO()
    picture.resize((min(width, 4 * PICTURE_HEIGHT), PICTURE_HEIGHT), Image.Resampling.BILINEAR).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


if __name__ == "__main__":
    LookerSide(sys.stdin.buffer, sys.stdout.buffer).serve()
