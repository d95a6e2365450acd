"""Does gerund read what is in a file? Small files of every kind, compared picture by picture and time by time with ffmpeg.

python benchmarks/fidelity.py [--only WORD] [--keep FOLDER]

The judge of pictures and times is the ffmpeg program (of an animated WebP Pillow). What is wanted at 8 pictures per second is worked
out from the judge's list by the rule of docs/design.md. Each file is read with 1, 2 and 8 threads, at a rate, among all others by
the decoding pool, and inspected by the doctor. Exit code 1 when anything differs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from video_kinds import KINDS, SIZE, made

from gerund import video
from gerund.core.types import Resize
from gerund.core.workers import UNREADABLE, Finished
from gerund.diagnosis.inspection import inspect
from gerund.video.pool import Decoded, DecodeJob, DecodePool, Reading, frames_of

RATE = 8.0
THREADS = (1, 2, 8)
TIME_BOUND = 0.0011
"""Seconds: the judge counts in microseconds, some containers in milliseconds."""
PICTURE_BOUND = 3
"""Grey levels of 255: YUV to RGB in whole numbers, by two versions of one library. A wrong number, or a turn, is off by 100 and more."""
OTHER_BOUNDS = {"dv.dv": 32}
"""DV has its chroma where the two versions look for it differently; seen at edges between colours only."""
SLACK = 0.001
"""Seconds by which gerund takes a time for rounded, when it asks what is on screen at an instant."""
EXPECTED = {"h264 one picture.mp4": "frozen"}
"""What the doctor rightly says of a file; of all others that it is healthy."""
TIMELESS = (".avi", ".wmv", ".h264", ".264", ".hevc", ".h265", ".m2v", ".m4v")
"""Files without time stamps: their pictures follow at one rate. Where pictures are held back for sorting (B-frames), ffmpeg lets the
first one come late by that; it is left open here whether it stands at 0."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a reader sees in a file: pictures (N, H, W, 3) uint8, times (N,) in seconds of the player's clock, and the last one's end."""

    pictures: np.ndarray
    times: np.ndarray
    end: float
    slack: float = 0.0
    """Seconds by which the judge's clock may run late as a whole."""


def judged(path: Path) -> Seen:
    return judged_by_pillow(path) if path.suffix == ".webp" else judged_by_ffmpeg(path)


def judged_by_pillow(path: Path) -> Seen:
    from PIL import Image, ImageSequence

    with Image.open(path) as image:
        shown = [(np.array(each.convert("RGB")), each.info["duration"] / 1000) for each in ImageSequence.Iterator(image)]
    ends = np.cumsum([seconds for _, seconds in shown])
    return Seen(
        pictures=np.stack([picture for picture, _ in shown]), times=np.concatenate([[0.0], ends[:-1]]), end=float(ends[-1])
    )


def judged_by_ffmpeg(path: Path) -> Seen:
    """Pictures as ffmpeg gives them, upright, and its time stamps, less that of the start of the file: the first sound or picture."""
    every = ["-map", "0:V:0", "-fps_mode", "passthrough", "-c:v", "rawvideo"]
    counting = ["-enc_time_base", "1:1000000", "-f", "framecrc", "-"]
    lines = output("ffmpeg", "-copyts", "-i", path, *every, *counting).decode().splitlines()
    times = np.array([int(line.split(",")[2]) for line in lines if not line.startswith("#")]) / 1e6
    showing = ["-show_format", "-show_streams", "-show_frames", "-of", "json"]
    about = json.loads(output("ffprobe", "-select_streams", "V:0", *showing, path))
    times -= min(times[0], max(float(about["format"].get("start_time", 0)), 0.0))  # what is before 0 is priming of the sound
    stream, last = about["streams"][0], about["frames"][-1]
    turned = f"#dimensions 0: {stream['width']}x{stream['height']}" not in lines
    width, height = squared(stream)
    before: list[str] = []
    filters = scaling(stream, *((height, width) if turned else (width, height)))
    if turned and width != stream["width"]:  # made square as it is stored, then turned
        before = ["-noautorotate"]
        filters = scaling(stream, width, height) + (",transpose=clock" if rotation(stream) == -90 else ",transpose=cclock")
    raw = output("ffmpeg", *before, "-i", path, *every, "-vf", filters, "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
    if turned:
        width, height = height, width
    return Seen(
        pictures=np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3),
        times=times,
        end=float(times[-1]) + float(last.get("duration_time") or last.get("pkt_duration_time") or usual(times)),
        slack=stream["has_b_frames"] * usual(times) if path.suffix in TIMELESS else 0.0,
    )


def rotation(stream: dict[str, Any]) -> int:
    return next(int(each["rotation"]) for each in stream["side_data_list"] if "rotation" in each)


def squared(stream: dict[str, Any]) -> tuple[int, int]:
    """Width and height of a stream's pictures with square pixels."""
    above, below = map(int, stream.get("sample_aspect_ratio", "1:1").split(":"))
    return round(stream["width"] * above / below) if above and below else stream["width"], stream["height"]


def scaling(stream: dict[str, Any], width: int, height: int) -> str:
    """The filter that makes RGB of a size: each field by itself, and chroma where the stream says that it is."""
    place = ":in_h_chr_pos=0" if stream.get("chroma_location") in ("left", "topleft") else ""
    return f"scale={width}:{height}:flags=bicubic:interl=-1{place}"


def usual(times: np.ndarray) -> float:
    return statistics.median(np.diff(times)) if len(times) > 1 else 0.0


def output(program: str, *words: str | Path) -> bytes:
    command = [program, "-loglevel", "quiet", *map(str, words)]
    return subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True).stdout


def at_rate(seen: Seen, fps: float) -> list[int]:
    """The pictures on screen at 0, 1 / fps, 2 / fps ... seconds, each once, or else the last: the rule of docs/design.md."""
    wanted: list[int] = []
    step = 0
    while (instant := step / fps + SLACK) < seen.end:
        shown = int(np.searchsorted(seen.times, instant, side="right")) - 1
        if shown >= 0 and shown not in wanted[-1:]:
            wanted.append(shown)
        step += 1
    return wanted or [len(seen.times) - 1]


Found = Sequence[tuple[float, np.ndarray]]
"""What was read: times and pictures."""


@dataclass
class Row:
    """A line of the table: what is wrong with a file, and how far off pictures (grey levels) and times (seconds) are at most."""

    path: Path
    truth: Seen
    wrong: list[str] = field(default_factory=list)
    picture_off: int = 0
    time_off: float = 0.0

    def compare(self, how: str, found: Found, wanted: Sequence[int]) -> None:
        """Compare what was read with the pictures of these numbers in the judge's list; at most one complaint for each reading."""
        complaints = [f"{len(found)} pictures, {len(wanted)} wanted"] if len(found) != len(wanted) else []
        shift = self.shift(found, wanted)
        for place, (number, (time, picture)) in enumerate(zip(wanted, found, strict=False)):
            late = time - self.truth.times[number] - shift
            off = distance(picture, self.truth.pictures[number])
            self.time_off, self.picture_off = max(self.time_off, abs(late)), max(self.picture_off, off)
            if abs(late) > TIME_BOUND:
                complaints.append(f"picture {place} at {time:.3f} s, right is {time - late:.3f}")
            if off > OTHER_BOUNDS.get(self.path.name, PICTURE_BOUND):
                complaints.append(f"picture {place} off by {off}, it is like {self.likest(picture)}, right is {number}")
        self.complain(how, complaints)

    def complain(self, how: str, complaints: Sequence[str]) -> None:
        if complaints:
            self.wrong.append(f"{how}: {complaints[0]}" + (f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""))

    def shift(self, found: Found, wanted: Sequence[int]) -> float:
        """How much earlier than the judge's all times are, as far as that is left open."""
        if not self.truth.slack or not found or not wanted:
            return 0.0
        return float(np.clip(found[0][0] - self.truth.times[wanted[0]], -self.truth.slack - TIME_BOUND, 0))

    def likest(self, picture: np.ndarray) -> int:
        return int(np.argmin([np.abs(picture.astype(int) - each).mean() for each in self.truth.pictures]))


def distance(one: np.ndarray, other: np.ndarray) -> int:
    """Grey levels between two pictures at most; 255 when they differ in shape."""
    return int(np.abs(one.astype(np.int16) - other).max()) if one.shape == other.shape else 255


def read_alone(row: Row) -> None:
    """Read a file with every picture and at a rate, with few and many threads, and look at single instants."""
    convert = video.FrameConverter(None)
    for fps, wanted in ((None, range(len(row.truth.times))), (RATE, at_rate(shifted(row), RATE))):
        for threads in THREADS:
            how = f"{'all' if fps is None else f'{fps:g} per second'}, {threads} threads"
            try:
                found = [(time, convert(frame)) for time, frame in video.wanted_frames(row.path, fps=fps, threads=threads)]
                row.compare(how, found, wanted)
            except UNREADABLE as error:
                row.complain(how, [str(error).replace(f"{row.path}: ", "")])
    look_at_instants(row)


def shifted(row: Row) -> Seen:
    """The judge's list with the first picture where gerund has it, as far as that is left open."""
    if not row.truth.slack:
        return row.truth
    first = next(((time, np.zeros(0)) for time, _ in video.wanted_frames(row.path)), None)
    shift = row.shift([first], [0]) if first else 0.0
    return replace(row.truth, times=row.truth.times + shift, end=row.truth.end + shift, slack=0.0)


def look_at_instants(row: Row) -> None:
    """The picture on screen a third and two thirds through the video, as pages and reports show it."""
    seen = shifted(row)
    for share in (1 / 3, 2 / 3):
        number = int(share * len(seen.times))
        instant = (seen.times[number] + (*seen.times, seen.end)[number + 1]) / 2
        try:
            off = distance(video.frame_at(row.path, instant), seen.pictures[number])
        except UNREADABLE as error:
            row.complain(f"picture at {instant:.3f} s", [str(error).replace(f"{row.path}: ", "")])
            return
        if off > OTHER_BOUNDS.get(row.path.name, PICTURE_BOUND):
            row.complain(f"picture at {instant:.3f} s", [f"off by {off}, right is {number}"])


def read_among_others(rows: Sequence[Row], fps: float | None) -> None:
    """Read all files at once with the decoding pool: it must hand over, bit by bit, what reading one file alone gives."""
    resize = Resize(height=SIZE[0], width=SIZE[1], fit="squeeze")
    reading = Reading(fps=fps, resize=resize)
    found: dict[int, list[tuple[float, np.ndarray]]] = {index: [] for index in range(len(rows))}
    with DecodePool(reading, 2) as pool:
        for event in pool.run(DecodeJob(index=index, path=row.path) for index, row in enumerate(rows)):
            if isinstance(event, Decoded):
                found[event.index] += zip(event.pts.tolist(), event.frames.copy(), strict=True)
                event.release()
            elif isinstance(event, Finished) and event.error:
                rows[event.index].complain("among others", [event.error.replace(f"{rows[event.index].path}: ", "")])
    for index, row in enumerate(rows):
        with contextlib.suppress(*UNREADABLE):  # it was told above
            alone = list(frames_of(row.path, reading))
            same = len(alone) == len(found[index]) and all(
                one[0] == other[0] and np.array_equal(one[1], other[1]) for one, other in zip(alone, found[index], strict=True)
            )
            row.complain("among others", [] if same else ["not the pictures and times of the file read alone"])


def ask_the_doctor(row: Row) -> None:
    inspection = inspect(row.path)
    if inspection.problem != EXPECTED.get(row.path.name):
        row.complain("doctor", [f"{inspection.problem}, {inspection.reason}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="part of the names of the files to look at")
    parser.add_argument("--keep", type=Path, help="folder in which the files stay, and are found again")
    arguments = parser.parse_args()
    missing = [program for program in ("ffmpeg", "ffprobe") if shutil.which(program) is None]
    if missing:
        sys.exit(
            f"{' and '.join(missing)}: not installed; this benchmark needs the ffmpeg program to make its files and to judge"
        )
    with tempfile.TemporaryDirectory() as folder:
        place = arguments.keep or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        sys.exit(bool(examine([made(name, place) for name in KINDS if arguments.only in name])))


def examine(paths: Sequence[Path]) -> int:
    """Print the table, and return the number of differences."""
    rows = []
    for path in paths:
        rows.append(row := Row(path, judged(path)))
        read_alone(row)
        ask_the_doctor(row)
    for fps in (None, RATE):
        read_among_others(rows, fps)
    print("| file | pictures | picture off by | time off by | ends at | verdict |\n|---|---|---|---|---|---|")
    for row in rows:
        verdict = "; ".join(row.wrong) or "same"
        print(
            f"| {row.path.name} | {len(row.truth.times)} | {row.picture_off} | {1000 * row.time_off:.1f} ms | {row.truth.end:.3f} s | {verdict} |"
        )
    differences = sum(len(row.wrong) for row in rows)
    readings = len(rows) * (2 * len(THREADS) + 3)
    print(
        f"{differences} differences beyond rounding ({len(rows)} files, {readings} readings, {len(rows)} looked into by the doctor)"
    )
    return differences


if __name__ == "__main__":
    main()
