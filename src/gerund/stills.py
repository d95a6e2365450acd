"""Write spans of videos as folders of JPEG images, in worker processes: a decoder that crashes or hangs costs one video.

A worker is `python -m gerund.stills`; orders and reports are JSON lines on its standard streams.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from gerund import video
from gerund.decoding import ALIVE_EVERY, SILENCE_LIMIT, UNREADABLE, reason
from gerund.errors import ClipError
from gerund.sampling import TIME_SLACK, at_rate

QUALITY = 92
"""Of a JPEG; at 95 files are half as large again, and no eye tells the difference."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """Seconds of a video, and the folder that its images make."""

    start: float
    end: float | None
    folder: str


@dataclass(frozen=True, kw_only=True)
class Order:
    """All spans wanted of one video, which is decoded once; `fps` None is every frame, `size` the short side in pixels."""

    path: str
    spans: Sequence[Span] = field(default_factory=tuple)
    fps: float | None = None
    size: int | None = None


class SpanWriter:
    """The folder of one span in the making; it has another name until it is complete."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.target = Path(span.folder)
        self.temporary = self.target.with_name(f".{self.target.name}.partial")
        self.count = 0

    def add(self, image: Image.Image) -> None:
        if not self.count:
            shutil.rmtree(self.temporary, ignore_errors=True)
            self.temporary.mkdir(parents=True)
        self.count += 1
        image.save(self.temporary / f"{self.count:06d}.jpg", quality=QUALITY)

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

    try:
        for pts, picture in pictures(order, tick):
            close([writer for writer in open_spans if writer.is_over(pts)])
            if not open_spans:
                break
            image = scaled(picture, order.size)
            for writer in open_spans:
                if writer.holds(pts):
                    writer.add(image)
        close(list(open_spans))
    except OSError as error:
        close(list(open_spans), f"{path}: its images cannot be written ({error.strerror or error})")
    except UNREADABLE as error:
        close(list(open_spans), reason(path, error))
    return failed


def pictures(order: Order, tick: Callable[[], None]) -> Iterator[tuple[float, np.ndarray]]:
    """Upright pictures in the video's own size with their times; those before the first span are not converted."""
    convert = video.FrameConverter(None)
    first = min(span.start for span in order.spans) - TIME_SLACK

    def ticking() -> Iterator[tuple[float, Any]]:
        for item in video.decode(Path(order.path)):
            tick()
            yield item

    for pts, frame in at_rate(ticking(), order.fps):
        if pts >= first:
            yield pts, convert(frame)


def scaled(picture: np.ndarray, size: int | None) -> Image.Image:
    """The picture with its short side `size` pixels long."""
    image = Image.fromarray(picture)
    if size is None:
        return image
    factor = size / min(image.size)
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


def write_all(orders: Sequence[Order], workers: int) -> Iterator[tuple[Order, dict[str, str]]]:
    """Carry out orders in parallel; yields each with the folders that failed."""
    local = threading.local()
    running: list[Worker] = []

    def carry_out(order: Order) -> dict[str, str]:
        worker = getattr(local, "worker", None)
        if worker is None or worker.process.poll() is not None:
            worker = local.worker = Worker()
            running.append(worker)
        return worker.carry_out(order)

    with ThreadPoolExecutor(workers) as pool:
        todo = {pool.submit(carry_out, order): order for order in orders}
        try:
            for done in as_completed(todo):
                yield todo[done], done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in running:
                worker.end()


class Worker:
    """One writing process."""

    def __init__(self) -> None:
        self.hung = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gerund.stills"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # a Ctrl-C in the terminal is for the main process, which then ends its workers
        )

    def carry_out(self, order: Order) -> dict[str, str]:
        """The folders of an order that failed, with the reasons; all that are not there when the process dies."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(OSError):  # a dead process is noticed by its reports ending
            self.process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
            self.process.stdin.flush()
        while True:
            timer = threading.Timer(SILENCE_LIMIT, self.hang)
            timer.start()
            line = self.process.stdout.readline()
            timer.cancel()
            if not line:
                problem = f"{order.path}: {self.cause_of_death()}"
                return {span.folder: problem for span in order.spans if not Path(span.folder).is_dir()}
            report = json.loads(line)
            if report is not None:
                return report

    def hang(self) -> None:
        self.hung = True
        self.process.kill()

    def cause_of_death(self) -> str:
        code = self.process.wait()
        if self.hung:
            return f"the decoder hung for {SILENCE_LIMIT:.0f} s and was ended"
        return f"the decoder crashed ({f'signal {-code}' if code < 0 else f'exit code {code}'})"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def serve(orders: IO[bytes], reports: IO[bytes]) -> None:
    """What runs in the worker process: an order in, its failures out; `null` now and then says that it is alive."""
    spoken = time.monotonic()

    def report(message: Any) -> None:
        nonlocal spoken
        reports.write(json.dumps(message).encode() + b"\n")
        reports.flush()
        spoken = time.monotonic()

    def tick() -> None:
        if time.monotonic() - spoken > ALIVE_EVERY:
            report(None)

    for line in orders:
        values = json.loads(line)
        report(write_spans(Order(**values | {"spans": [Span(**span) for span in values["spans"]]}), tick))


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
