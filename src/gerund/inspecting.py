"""Looking into video files: each is decoded once, in worker processes, and what is wrong with it gets a name.

`inspect` looks into one file; `inspect_all` into many, at once, with a fingerprint of each by which copies are found.
"""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gerund import video, workers
from gerund.errors import StreamError
from gerund.types import Resize
from gerund.workers import UNREADABLE, Finished, Job, reason

PARTS, SIDE = 16, 24
"""A fingerprint is the mean grey picture, SIDE x SIDE pixels, of each of PARTS equal parts of a video's frames."""

DARK = 24
"""Grey level (0..255) that no pixel of a black video exceeds, in pictures of SIDE x SIDE."""
STILL = 14
"""Grey levels by which no pixel of a frozen video leaves the first frame: encoders refine a still picture by up to 13, and the
stillest of 250 real clips moves by 50."""
LOST_SHARE = 0.2
"""Packets without a frame that a healthy file may have: XviD has 3 % of them (dropped frames), VP8 some 6 % (invisible ones)."""
TIME_MISSING = 0.02
"""Share of the promised seconds (and at least 0.1 s) that must be missing for a file to be called truncated."""
SAID_KEPT = 50

CORRUPTION = re.compile(r"error|invalid|corrupt|damag|crc|mismatch|overread|conceal|ended prematurely", re.IGNORECASE)
"""Words of the decoder library that mean damage; it says other things at the same level about healthy files."""

FORMATS: dict[str, str] = {
    ".avi .divx": "avi",
    ".mp4 .m4v .mov .qt .3gp .3g2 .f4v": "mov",
    ".mkv .webm": "matroska",
    ".flv": "flv",
    ".mpg .mpeg .mpe .m2v .vob": "mpeg mpegvideo mpegts",
    ".ts .mts .m2ts": "mpegts",
    ".wmv .asf": "asf",
    ".ogv .ogm": "ogg",
    ".gif": "gif",
    ".rm .rmvb": "rm",
    ".mxf": "mxf",
    ".nut": "nut",
    ".dv": "dv",
    ".y4m": "yuv4mpegpipe",
    ".h264": "h264",
    ".h265 .hevc": "hevc",
    ".mjpeg .mjpg": "mjpeg mjpeg_2000",
}
"""Suffixes and the FFmpeg formats that they may hold."""
FORMATS_OF = {suffix: set(formats.split()) for suffixes, formats in FORMATS.items() for suffix in suffixes.split()}

SIGNATURES = (
    (4, b"ftyp", "an MP4"),
    (4, b"moov", "a QuickTime movie"),
    (4, b"mdat", "a QuickTime movie"),
    (8, b"AVI ", "an AVI"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM"),
    (0, b"FLV", "an FLV"),
    (0, b"\x00\x00\x01\xba", "an MPEG"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "a WMV"),
    (0, b"OggS", "an Ogg"),
    (0, b"GIF8", "a GIF"),
)
"""How the files of known formats start: offset, bytes, name."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a file turned out to be. `problem` is the kind of what is wrong with it, None for a healthy one, and `reason` says it.

    `frames` and `seconds` are what was decoded. `uneven` is the share of frames that do not follow at the usual distance.
    `fingerprint` is (PARTS, SIDE, SIDE) uint8, None when no frame was decoded.
    """

    problem: str | None = None
    reason: str = ""
    digest: str = ""
    size: int = 0
    container: str = ""
    codec: str = ""
    pixel_format: str | None = None
    width: int = 0
    height: int = 0
    rotation: int = 0
    frames: int = 0
    seconds: float = 0.0
    uneven: float = 0.0
    fingerprint: np.ndarray | None = None

    @property
    def fps(self) -> float:
        return self.frames / self.seconds if self.seconds else 0.0


class Parts:
    """Mean pictures of equal parts of a video of any length, in constant memory: bins of frames that merge in pairs when all are full."""

    BINS = 8 * PARTS

    def __init__(self) -> None:
        self.sums = np.zeros((self.BINS, SIDE, SIDE), np.int64)
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
        """(PARTS, SIDE, SIDE) uint8; frames on the border of two parts count for both in proportion."""
        used = -(-self.frames // self.frames_per_bin)
        ends = np.minimum(np.arange(used + 1) * self.frames_per_bin, self.frames)
        total = np.concatenate([np.zeros((1, SIDE, SIDE)), np.cumsum(self.sums[:used], axis=0)])
        borders = np.linspace(0, self.frames, PARTS + 1)
        left = np.clip(np.searchsorted(ends, borders, side="right") - 1, 0, used - 1)
        share = (borders - ends[left]) / (ends[left + 1] - ends[left])
        sums = np.diff(total[left] + (total[left + 1] - total[left]) * share[:, None, None], axis=0)
        return np.rint(sums * PARTS / self.frames).astype(np.uint8)


class Look:
    """What the pictures and times of a video show, frame by frame."""

    STEPS = 1000

    def __init__(self) -> None:
        self.convert = video.FrameConverter(Resize(height=SIDE, width=SIDE, fit="squeeze", interpolation="area"), grey=True)
        self.parts = Parts()
        self.first: np.ndarray | None = None
        self.moves = self.shines = False
        self.steps: Counter[int] = Counter()
        self.last = 0.0

    def add(self, time: float, frame: Any) -> None:
        picture = self.convert(frame)
        self.parts.add(picture)
        if self.first is None:
            self.first = picture.astype(np.int16)
        else:
            step = round(1000 * (time - self.last))
            if step in self.steps or len(self.steps) < self.STEPS:
                self.steps[step] += 1
        self.last = time
        self.shines = self.shines or int(picture.max()) > DARK
        self.moves = self.moves or int(np.abs(picture - self.first).max()) > STILL

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
        return self.last + self.usual_step / 1000


def inspect(path: Path, tick: Callable[[], None] = lambda: None) -> Inspection:
    """Decode a whole file and tell what it is and what is wrong with it; never raises for a bad one."""
    if not path.exists():
        return Inspection(problem="missing", reason="there is no such file")
    if path.is_file() and path.stat().st_size == 0:
        return Inspection(problem="empty", reason="the file has no bytes")
    record, look, failure = video.Record(), Look(), None
    with video.complaints() as said:
        try:
            for time, frame in video.decode(path, record=record):
                look.add(time, frame)
                del said[SAID_KEPT:]
                tick()
        except UNREADABLE as error:
            failure = error
        heard = [message.strip() for _, _, message in said if CORRUPTION.search(message)]
    problem = unreadable(path, record, failure) or damaged(path, record, heard) or misleading(path, record, look)
    kind, sentence = problem or (None, "")
    return Inspection(
        problem=kind,
        reason=sentence,
        digest=content_digest(path),
        size=sum(file.stat().st_size for file in files_of(path)),
        container=record.container,
        codec=record.codec,
        pixel_format=record.pixel_format,
        width=record.width,
        height=record.height,
        rotation=record.rotation,
        frames=record.frames,
        seconds=look.seconds if record.frames else 0.0,
        uneven=look.uneven,
        fingerprint=look.parts.means() if record.frames else None,
    )


def files_of(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_file()) if path.is_dir() else [path]


def content_digest(path: Path) -> str:
    """SHA-256 of the whole content; of a folder of images, of all of them in order."""
    digest = hashlib.sha256()
    for entry in files_of(path):
        with entry.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def unreadable(path: Path, record: video.Record, failure: Exception | None) -> tuple[str, str] | None:
    """Kind and sentence for a file that could not be read to its end."""
    if failure is None:
        return None
    why = reason(path, failure).removeprefix(f"{path}: ")
    if isinstance(failure, StreamError):
        return "no-video-stream", why
    if not record.container:
        name = known_signature(path)
        return (
            ("truncated", f"starts like {name} file, but cannot be opened: cut off, or its index is lost")
            if name
            else ("not-video", why)
        )
    promised = record.promised_frames or 0
    if record.frames:
        return "truncated", f"reading breaks off after {record.frames} frames{f' of {promised}' if promised else ''}"
    if record.packets < max(promised, 1):
        return "truncated", f"a header{f' that promises {promised} frames' if promised else ''}, but not one frame behind it"
    return "damaged", f"none of its {record.packets} packets can be decoded"


def known_signature(path: Path) -> str | None:
    if path.is_dir():
        return None
    with path.open("rb") as file:
        start = file.read(16)
    return next((name for offset, sign, name in SIGNATURES if start[offset:].startswith(sign)), None)


def damaged(path: Path, record: video.Record, heard: Sequence[str]) -> tuple[str, str] | None:
    """Kind and sentence for a file that was read to its end, but is not what was once written."""
    missing = (record.promised_frames or 0) - record.packets
    if record.container == "avi" and missing > 0:
        kind = "truncated" if shorter_than_promised(path) else "damaged"
        return kind, f"the header promises {record.promised_frames} frames, {record.packets} are there"
    promised = record.promised_seconds or 0.0
    if promised - record.seconds > max(0.1, TIME_MISSING * promised):
        return "truncated", f"the header promises {promised:.2f} s, {record.seconds:.2f} s are there"
    counts = {
        "damaged packets": record.damaged_packets,
        "damaged frames": record.damaged_frames,
        "packets with a hole of zeros": record.zeroed_packets,
    }
    if any(counts.values()):
        sentence = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        return "damaged", f"{sentence} ({record.frames} frames decoded)"
    if heard:
        return "damaged", f"the decoder complains: {heard[0]}" + (f" (and {len(heard) - 1} more)" if len(heard) > 1 else "")
    lost = record.packets - record.frames
    if lost > max(2, LOST_SHARE * record.packets):
        return "damaged", f"{lost} of {record.packets} packets give no frame"
    return None


def shorter_than_promised(path: Path) -> bool:
    """Whether a RIFF file (AVI) ends before the size in its own header."""
    with path.open("rb") as file:
        start = file.read(8)
    return start[:4] == b"RIFF" and int.from_bytes(start[4:], "little") + 8 > path.stat().st_size


def misleading(path: Path, record: video.Record, look: Look) -> tuple[str, str] | None:
    """Kind and sentence for a whole file that is not what it seems: another format, or no moving picture."""
    expected = FORMATS_OF.get(path.suffix.lower())
    found = set(record.container.split(","))
    if expected and path.is_file() and not expected & found:
        return "wrong-extension", f"named {path.suffix}, but its format is {record.container}"
    if not look.shines:
        return "black", f"black from the first frame to the last ({record.frames} frames)"
    if not look.moves:
        frames = f"{record.frames} frames without any movement" if record.frames > 1 else "a single frame"
        return "frozen", f"a still picture: {frames}"
    return None


def inspect_all(paths: Sequence[Path], workers: int) -> Iterator[tuple[int, Inspection]]:
    """Inspect files in worker processes: (index, inspection) in the order in which they are done. A crash costs one file."""
    with InspectPool(max(1, min(workers, len(paths)))) as pool:
        for event in pool.run(Job(index=index, path=path) for index, path in enumerate(paths)):
            if not isinstance(event, Finished):
                yield event
            elif event.error:
                yield event.index, Inspection(problem="crashes-decoder", reason=event.error)


class InspectPool(workers.Pool):
    """Worker processes that inspect files."""

    def start(self) -> workers.Worker:
        return workers.Worker("gerund.inspecting", {}, self.reports)

    def event(self, worker: workers.Worker, report: dict[str, Any]) -> tuple[int, Inspection]:
        return report["index"], from_values(report["inspection"])


def as_values(inspection: Inspection) -> dict[str, Any]:
    """Plain values for a JSON line."""
    picture = inspection.fingerprint
    text = None if picture is None else base64.b64encode(picture.tobytes()).decode()
    return asdict(replace(inspection, fingerprint=None)) | {"fingerprint": text}


def from_values(values: dict[str, Any]) -> Inspection:
    text = values["fingerprint"]
    picture = None if text is None else np.frombuffer(base64.b64decode(text), np.uint8).reshape(PARTS, SIDE, SIDE)
    return Inspection(**values | {"fingerprint": picture})


class WorkerSide(workers.WorkerSide):
    """What runs in the worker process."""

    def work(self, job: Job) -> None:
        inspection = inspect(job.path, self.tick)
        self.report({"kind": "inspected", "index": job.index, "inspection": as_values(inspection)})


if __name__ == "__main__":
    WorkerSide(sys.stdin.buffer, sys.stdout.buffer).serve()
