"""Looking into video files: each is decoded once, in worker processes, and what is wrong with it gets a name.

`inspect` looks into one file; `inspect_all` into many, at once, with a fingerprint of each by which copies are found.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gerund import video
from gerund.core import workers
from gerund.core.types import Resize
from gerund.core.workers import UNREADABLE, FileJob, Finished
from gerund.diagnosis.damage import CORRUPTION, damaged, misleading, unreadable
from gerund.video.clock import shown_for
from gerund.video.container import complaints
from gerund.video.decoder import Record

NUM_PARTS, GREY_SIDE = 16, 24
"""A fingerprint is the mean grey picture, GREY_SIDE x GREY_SIDE pixels, of each of NUM_PARTS equal parts of a video's frames."""

DARK_LEVEL = 24
"""Grey level (0..255) that no pixel of a black video exceeds, in pictures of GREY_SIDE x GREY_SIDE."""
STILL_LEVELS = 14
"""Grey levels by which no pixel of a frozen video leaves the first frame: encoders refine a still picture by up to 13, and the
stillest of 250 real clips moves by 50."""
SAID_KEPT = 50
HASHED_AT_ONCE = 2**20


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a file turned out to be. `problem` is the kind of what is wrong with it, None for a healthy one, and `reason` says it.

    `record` is what decoding met, `seconds` how long the decoded frames last. `uneven` is the share of frames that do not follow at
    the usual distance. `fingerprint` is (NUM_PARTS, GREY_SIDE, GREY_SIDE) uint8, None when no frame was decoded.
    """

    problem: str | None = None
    reason: str = ""
    digest: str = ""
    size: int = 0
    record: Record = field(default_factory=Record)
    seconds: float = 0.0
    uneven: float = 0.0
    fingerprint: np.ndarray | None = None

    @property
    def fps(self) -> float:
        return self.record.frames / self.seconds if self.seconds else 0.0


class Parts:
    """Mean pictures of equal parts of a video of any length, in constant memory: bins of frames that merge in pairs when all are full."""

    BINS = 8 * NUM_PARTS

    def __init__(self) -> None:
        self.sums = np.zeros((self.BINS, GREY_SIDE, GREY_SIDE), np.int64)
        self.frames = 0
        self.frames_per_bin = 1

    def add(self, picture: np.ndarray) -> None:
        if self.frames == self.BINS * self.frames_per_bin:
            half = self.BINS // 2
            self.sums[:half] = self.sums[::2] + self.sums[1::2]
            self.sums[half:] = 0
            self.frames_per_bin *= 2
        self.sums[self.frames // self.frames_per_bin] += picture
        self.frames += 1

    def means(self) -> np.ndarray:
        """(NUM_PARTS, GREY_SIDE, GREY_SIDE) uint8; frames on the border of two parts count for both in proportion."""
        used = -(-self.frames // self.frames_per_bin)
        ends = np.minimum(np.arange(used + 1) * self.frames_per_bin, self.frames)
        total = np.concatenate([np.zeros((1, GREY_SIDE, GREY_SIDE)), np.cumsum(self.sums[:used], axis=0)])
        borders = np.linspace(0, self.frames, NUM_PARTS + 1)
        left = np.clip(np.searchsorted(ends, borders, side="right") - 1, 0, used - 1)
        share = (borders - ends[left]) / (ends[left + 1] - ends[left])
        sums = np.diff(total[left] + (total[left + 1] - total[left]) * share[:, None, None], axis=0)
        return np.rint(sums * NUM_PARTS / self.frames).astype(np.uint8)


class Viewing:
    """What the pictures and times of a video show, frame by frame."""

    STEPS = 1000

    def __init__(self) -> None:
        self.convert = video.FrameConverter(
            Resize(height=GREY_SIDE, width=GREY_SIDE, fit="squeeze", interpolation="area"), grey=True
        )
        self.parts = Parts()
        self.first: np.ndarray | None = None
        self.moves = self.shines = False
        self.steps: Counter[int] = Counter()
        self.start = self.last = self.own = 0.0

    def add(self, time: float, frame: Any) -> None:
        picture = self.convert(frame)
        self.parts.add(picture)
        if self.first is None:
            self.first, self.start = picture.astype(np.int16), time
        else:
            step = round(1000 * (time - self.last))
            if step in self.steps or len(self.steps) < self.STEPS:
                self.steps[step] += 1
        self.last, self.own = time, shown_for(frame)
        self.shines = self.shines or int(picture.max()) > DARK_LEVEL
        self.moves = self.moves or int(np.abs(picture - self.first).max()) > STILL_LEVELS

    @property
    def usual_step(self) -> int:
        """Milliseconds between most frames; 40 when there is only one frame."""
        return self.steps.most_common(1)[0][0] if self.steps else 40

    @property
    def uneven(self) -> float:
        usual = self.usual_step
        even = sum(count for step, count in self.steps.items() if abs(step - usual) <= max(2, 0.2 * usual))
        return 1 - even / max(self.steps.total(), 1)

    @property
    def seconds(self) -> float:
        return self.last - self.start + (self.own or self.usual_step / 1000)


class Ear:
    """What the decoder library complains about, each with the number of the packet that was being decoded.

    What a decoder says of pictures before the first key frame is left out, and so is what it says while the file is opened: the first
    pictures are tried then and decoded again later. What is said of the container counts from the beginning.
    """

    def __init__(self, said: list[tuple[int, str, str]], record: Record) -> None:
        self.said = said
        self.record = record
        self.heard: list[tuple[int, str]] = []

    def listen(self) -> None:
        """Before each packet, and at the end."""
        for _, part, text in self.said[:SAID_KEPT]:
            of_container = part == self.record.container != self.record.codec
            if CORRUPTION.search(text) and (of_container or not self.record.leading) and len(self.heard) < SAID_KEPT:
                self.heard.append((self.record.packets, text.strip()))
        self.said.clear()


def inspect(path: Path, tick: Callable[[], None] = lambda: None) -> Inspection:
    """Decode a whole file and tell what it is and what is wrong with it; never raises for a bad one.

    `tick` is called now and then, so that a long file is not taken for a decoder that hangs.
    """
    try:
        if not path.exists():
            return Inspection(problem="missing", reason="there is no such file")
        if not (path.is_file() or path.is_dir()):
            return Inspection(problem="unreadable", reason="it is not a file, but a pipe, a socket or a device")
        if path.is_file() and path.stat().st_size == 0:
            return Inspection(problem="empty", reason="the file has no bytes")
        return inspect_content(path, tick)
    except OSError as error:
        return Inspection(problem="unreadable", reason=f"the system does not let it be read ({error.strerror or error})")


def inspect_content(path: Path, tick: Callable[[], None]) -> Inspection:
    record, look, failure = Record(), Viewing(), None
    with complaints() as said:
        ear = Ear(said, record)
        try:
            for time, frame in video.decode(path, record=record, tick=ear.listen):
                look.add(time, frame)
                tick()
        except UNREADABLE as error:
            failure = error
        ear.listen()
    problem = (
        unreadable(path, record, failure)
        or damaged(path, record, ear.heard)
        or misleading(path, record, shines=look.shines, moves=look.moves)
    )
    kind, sentence = problem or (None, "")
    return Inspection(
        problem=kind,
        reason=sentence,
        digest=whole_digest(path, tick),
        size=sum(file.stat().st_size for file in files_of(path)),
        record=record,
        seconds=look.seconds if record.frames else 0.0,
        uneven=look.uneven,
        fingerprint=look.parts.means() if record.frames else None,
    )


def files_of(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_file()) if path.is_dir() else [path]


def whole_digest(path: Path, tick: Callable[[], None] = lambda: None) -> str:
    """SHA-256 of the whole content; of a folder of images, of all of them in order."""
    digest = hashlib.sha256()
    for entry in files_of(path):
        with entry.open("rb") as file:
            while chunk := file.read(HASHED_AT_ONCE):
                digest.update(chunk)
                tick()
        digest.update(b"end of file")
    return digest.hexdigest()


def inspect_all(paths: Sequence[Path], workers: int) -> Iterator[tuple[int, Inspection]]:
    """Inspect files in worker processes: (index, inspection) in the order in which they are done. A crash costs one file."""
    with InspectPool(max(1, min(workers, len(paths)))) as pool:
        for event in pool.run(FileJob(index=index, path=path) for index, path in enumerate(paths)):
            if not isinstance(event, Finished):
                yield event
            elif event.error:
                yield event.index, Inspection(problem="crashes-decoder", reason=event.error)


class InspectPool(workers.Pool):
    """Worker processes that inspect files."""

    def start(self) -> workers.Worker:
        return workers.Worker("gerund.diagnosis.inspection", {}, self.reports)

    def event(self, worker: workers.Worker, report: dict[str, Any]) -> tuple[int, Inspection]:
        return report["index"], inspection_from(report["inspection"])


def inspection_values(inspection: Inspection) -> dict[str, Any]:
    """Plain values for a JSON line."""
    picture = inspection.fingerprint
    text = None if picture is None else base64.b64encode(picture.tobytes()).decode()
    return asdict(replace(inspection, fingerprint=None)) | {"fingerprint": text}


def inspection_from(values: dict[str, Any]) -> Inspection:
    text = values["fingerprint"]
    picture = None if text is None else np.frombuffer(base64.b64decode(text), np.uint8).reshape(NUM_PARTS, GREY_SIDE, GREY_SIDE)
    return Inspection(**values | {"fingerprint": picture, "record": Record(**values["record"])})


class InspectWorker(workers.WorkerSide):
    """What runs in the worker process."""

    job = FileJob

    def work(self, job: FileJob) -> None:
        inspection = inspect(job.path, self.tick)
        self.report({"kind": "inspected", "index": job.index, "inspection": inspection_values(inspection)})


if __name__ == "__main__":
    InspectWorker(sys.stdin.buffer, sys.stdout.buffer).serve()
