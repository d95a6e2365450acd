"""Frames of all videos packed into the backbone's full batches, and each video's rows handed back to its writer."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from gerund.backbones import Engine
from gerund.core.progress import Bar
from gerund.core.workers import Finished
from gerund.features.cache import BlockWriter
from gerund.features.tokens import as_stored
from gerund.video.pool import Decoded, Ended


def run_batches(
    events: Iterable[Decoded | Ended | Finished], engine: Engine, writers: Mapping[int, BlockWriter], bar: Bar, windows: Windows
) -> Iterator[tuple[int, str]]:
    """Pack frames of all videos into full batches, run them, and store each video's rows; yields (index, reason) of failures."""
    packer = Packer(engine, writers, windows.window)
    for event in events:
        packer.raise_failure()
        if isinstance(event, Decoded):
            bar.advance(0, seconds=float(event.pts[-1]) - packer.last_pts.get(event.index, float(event.pts[0])))
            for frames, pts in windows.add(event.index, event.frames, event.pts):
                packer.add(event.index, frames, pts)
            event.release()
        elif isinstance(event, Ended):
            packer.ends[event.index] = event.end
        elif event.error:
            windows.forget(event.index)
            packer.discard(event.index)
            bar.advance()
            yield event.index, event.error
        else:
            for frames, pts in windows.finish(event.index):
                packer.add(event.index, frames, pts)
            packer.finish(event.index)
            bar.advance()
    packer.flush()
    yield from packer.failures.items()


class Windows:
    """Turns the frames of several videos, each in order, into what a backbone sees at once: `window` frames, every `stride` frames.

    An image backbone's frames pass as they come. The last window of a video is the one that shows its last frame, which is repeated
    where the window goes beyond it; so N frames give 1 + ceil((N - window) / stride) rows, at least 1.
    """

    def __init__(self, window: int, stride: int) -> None:
        self.window, self.stride = window, stride
        self.held: dict[int, list[tuple[float, np.ndarray]]] = defaultdict(list)
        self.shown: Counter[int] = Counter()

    def add(self, index: int, frames: np.ndarray, pts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Frames (n * window, H, W, 3) and the seconds (n,) of the windows' middles, for windows that these frames make full."""
        if self.window == 1:
            yield frames, pts
            return
        held = self.held[index]
        for seconds, frame in zip(pts.tolist(), frames, strict=True):
            held.append((seconds, frame.copy(order="K")))  # what comes in is overwritten soon; planes stay planes
            if len(held) == self.window:
                yield self.joined(held)
                del held[: self.stride]
                self.shown[index] = len(held)

    def finish(self, index: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The last window of a video, if there are frames that no window has shown."""
        held = self.held.pop(index, [])
        if len(held) > self.shown.pop(index, 0):
            yield self.joined(held)

    def forget(self, index: int) -> None:
        self.held.pop(index, None)
        self.shown.pop(index, None)

    def joined(self, held: list[tuple[float, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
        pictures = [frame for _, frame in held]
        pictures += pictures[-1:] * (self.window - len(held))
        return np.stack(pictures), np.array([(held[0][0] + held[-1][0]) / 2])


class Packer:
    """Fills batches of one fixed size across videos and hands the rows back to each video's writer."""

    def __init__(self, engine: Engine, writers: Mapping[int, BlockWriter], window: int) -> None:
        self.engine = engine
        self.writers = writers
        self.window = window
        self.batch: np.ndarray | None = None
        self.owners: list[tuple[int, np.ndarray]] = []
        self.filled = 0
        self.sent = self.received = 0
        self.arrived: dict[int, tuple[np.ndarray, Sequence[tuple[int, np.ndarray]]]] = {}
        self.waiting: Counter[int] = Counter()
        self.finished: set[int] = set()
        self.dropped: set[int] = set()
        self.last_pts: dict[int, float] = {}
        self.ends: dict[int, float] = {}
        self.failures: dict[int, str] = {}
        self.failure: Exception | None = None
        self.lock = threading.Lock()

    def add(self, index: int, frames: np.ndarray, pts: np.ndarray) -> None:
        """Frames (n * window, H, W, 3) of a video and the seconds (n,) of the rows they make."""
        self.last_pts[index] = float(pts[-1])
        while len(pts):
            if self.batch is None:
                shape = (self.engine.batch_size * self.window, 3, *frames.shape[1:3])
                self.batch = np.zeros(shape, np.uint8).transpose(0, 2, 3, 1)
            room = self.engine.batch_size - self.filled
            part = frames[: room * self.window]
            self.batch[self.filled * self.window :][: len(part)] = part
            self.owners.append((index, pts[:room]))
            with self.lock:
                self.waiting[index] += len(pts[:room])
            self.filled += len(pts[:room])
            frames, pts = frames[room * self.window :], pts[room:]
            if self.filled == self.engine.batch_size:
                self.send()

    def send(self) -> None:
        assert self.batch is not None
        owners, self.owners, self.filled = self.owners, [], 0
        number, self.sent = self.sent, self.sent + 1
        self.engine.submit(self.batch, lambda features: self.receive(number, features, owners))

    def receive(self, number: int, features: np.ndarray, owners: Sequence[tuple[int, np.ndarray]]) -> None:
        """Give each video its rows. Batches run side by side and may come back in any order; they are stored in the order sent."""
        try:
            with self.lock:
                self.arrived[number] = (features, owners)
                while self.received in self.arrived:
                    features, owners = self.arrived.pop(self.received)
                    self.received += 1
                    row = 0
                    for index, pts in owners:
                        self.store(index, features[row : row + len(pts)], pts)
                        row += len(pts)
        except Exception as error:  # raised again in the main thread
            self.failure = error

    def store(self, index: int, data: np.ndarray, pts: np.ndarray) -> None:
        self.waiting[index] -= len(pts)
        if index in self.dropped:
            return
        if not np.isfinite(data).all():
            self.dropped.add(index)
            self.failures[index] = "the backbone gave features that are not finite; try --precision f32"
            return
        self.writers[index].add(as_stored(data), pts)
        self.close_if_complete(index)

    def finish(self, index: int) -> None:
        with self.lock:
            self.finished.add(index)
            self.close_if_complete(index)

    def close_if_complete(self, index: int) -> None:
        if index in self.finished and not self.waiting[index] and index not in self.dropped:
            self.writers[index].close(self.ends.pop(index, None))

    def discard(self, index: int) -> None:
        with self.lock:
            self.dropped.add(index)
            self.ends.pop(index, None)

    def flush(self) -> None:
        """Run what is left, its tail padded with whatever the batch held before, and wait for everything."""
        if self.owners:
            self.send()
        self.engine.drain()
        self.raise_failure()

    def raise_failure(self) -> None:
        if self.failure:
            raise self.failure
