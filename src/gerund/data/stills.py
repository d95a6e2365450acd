"""Write spans of videos as folders of JPEG images, in worker processes: a decoder that crashes or hangs costs one video."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gerund import video
from gerund.core import workers
from gerund.core.errors import ClipError
from gerund.core.files import beside
from gerund.core.workers import UNREADABLE, FileJob, Finished, reason
from gerund.video.rate import TIME_SLACK

JPEG_QUALITY = 92
"""Of a JPEG; at 95 files are half as large again, and no eye tells the difference."""


@dataclass(frozen=True, kw_only=True)
class StillSpan:
    """Seconds of a video, and the folder that its images make."""

    start: float
    end: float | None
    folder: str


@dataclass(frozen=True, kw_only=True)
class Order:
    """All spans wanted of one video, which is decoded once; `fps` None is every frame, `size` the short side in pixels."""

    path: str
    spans: Sequence[StillSpan] = field(default_factory=tuple)
    fps: float | None = None
    size: int | None = None


class SpanWriter:
    """The folder of one span in the making; it has another name until it is complete."""

    def __init__(self, span: StillSpan) -> None:
        self.span = span
        self.target = Path(span.folder)
        self.temporary = beside(self.target, "partial")
        self.count = 0

    def add(self, image: Image.Image) -> None:
        if not self.count:
            shutil.rmtree(self.temporary, ignore_errors=True)
            self.temporary.mkdir(parents=True)
        self.count += 1
        image.save(self.temporary / f"{self.count:06d}.jpg", quality=JPEG_QUALITY)

    def finish(self) -> None:
        if not self.count:
            end = "the end" if self.span.end is None else f"{self.span.end:g} s"
            raise ClipError(f"no frame between {self.span.start:g} s and {end}")
        self.temporary.rename(self.target)

    def holds(self, pts: float) -> bool:
        return self.span.start - TIME_SLACK <= pts and not self.is_over(pts)

    def is_over(self, pts: float) -> bool:
        return self.span.end is not None and pts >= self.span.end - TIME_SLACK


def write_spans(order: Order, tick: Callable[[], None] = lambda: None) -> dict[str, str]:
    """Decode a video once and write the images of its spans; returns the folders that failed, with the reasons."""
    path = Path(order.path)
    open_spans = [SpanWriter(span) for span in order.spans]
    failed: dict[str, str] = {}

    def close(writers: list[SpanWriter], problem: str | None = None) -> None:
        for writer in writers:
            open_spans.remove(writer)
            try:
                if problem is None:
                    writer.finish()
                else:
                    failed[writer.span.folder] = problem
            except (ClipError, OSError) as error:
                failed[writer.span.folder] = f"{path}: {error}"
            shutil.rmtree(writer.temporary, ignore_errors=True)

    def finish(writers: list[SpanWriter], until: float) -> None:
        """Close spans over which the last picture stood `until` then; one in which none came on screen gets that one."""
        for writer in writers:
            if not writer.count and shown is not None and writer.span.start < until:
                writer.add(scaled(convert(shown), order.size))
        close(writers)

    convert, shown, ends = video.FrameConverter(None), None, list[float]()
    try:
        for pts, frame in video.wanted_frames(path, fps=order.fps, tick=tick, ended=ends.append):
            finish([writer for writer in open_spans if writer.is_over(pts)], pts)
            if not open_spans:
                break
            holding = [writer for writer in open_spans if writer.holds(pts)]
            if holding:
                image = scaled(convert(frame), order.size)
                for writer in holding:
                    writer.add(image)
            shown = frame
        finish(list(open_spans), max(ends, default=0.0))
    except OSError as error:
        close(list(open_spans), f"{path}: its images cannot be written ({error.strerror or error})")
    except UNREADABLE as error:
        close(list(open_spans), reason(path, error))
    return failed


def scaled(picture: np.ndarray, size: int | None) -> Image.Image:
    """The picture with its short side `size` pixels long."""
    image = Image.fromarray(picture)
    if size is None:
        return image
    factor = size / min(image.size)
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


def write_orders(orders: Sequence[Order], count: int) -> Iterator[tuple[Order, dict[str, str]]]:
    """Carry out orders in `count` processes; yields each with the folders that failed."""
    failed: dict[int, dict[str, str]] = {}
    with StillsPool(orders, count) as pool:
        for event in pool.run(FileJob(index=index, path=Path(order.path)) for index, order in enumerate(orders)):
            if not isinstance(event, Finished):
                failed |= [event]
                continue
            order = orders[event.index]
            if event.error is not None:
                problem = event.error if event.error.startswith(order.path) else f"{order.path}: {event.error}"
                failed[event.index] = {span.folder: problem for span in order.spans if not Path(span.folder).is_dir()}
            yield order, failed.pop(event.index, {})


class StillsPool(workers.Pool):
    """Processes that know all orders; a job is the number of one."""

    def __init__(self, orders: Sequence[Order], count: int) -> None:
        self.setup = {"orders": [asdict(order) for order in orders]}
        super().__init__(count)

    def start(self) -> workers.Worker:
        return workers.Worker("gerund.data.stills", self.setup, self.reports)

    def event(self, worker: workers.Worker, report: dict[str, Any]) -> tuple[int, dict[str, str]]:
        return report["index"], report["failed"]


class StillWorker(workers.WorkerSide):
    """What runs in the worker process."""

    job = FileJob

    def work(self, job: FileJob) -> None:
        values = self.setup["orders"][job.index]
        order = Order(**values | {"spans": [StillSpan(**span) for span in values["spans"]]})
        self.report({"kind": "written", "index": job.index, "failed": write_spans(order, self.tick)})


if __name__ == "__main__":
    StillWorker(sys.stdin.buffer, sys.stdout.buffer).serve()
