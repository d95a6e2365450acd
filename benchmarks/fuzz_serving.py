"""Thousands of spoiled videos through /v1/predict, and an innocent one as every 20th request, whose answer must be right. Linux only.

Half of them come while a decoder is free for the innocent, half while all are taken. Ends with 1 when an innocent clip was answered
wrongly or too late, or anything with another status than 200 or 422.
"""

import sys
import tempfile
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from statistics import median

import httpx
import numpy as np
from servers import Server

from gerund import video
from gerund.data.datasets import toy

WORKERS = 3
EVERY = 20
CONTAINERS = {
    **dict.fromkeys((".mp4", ".mkv", ".ts", ".h264"), "libx264"),
    ".avi": "mpeg4",
    ".mpg": "mpeg2video",
    ".webm": "libvpx",
    ".flv": "flv",
    ".gif": "gif",
}
LIMIT_SECONDS = 120
"""What docs/security.md says an answer takes at most, once a decoder has the file."""


def seeds() -> list[bytes]:
    """One short clip in each container."""
    frames = toy.perform("kicking", performer=0, seconds=1.2, size=(72, 96))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix, codec in CONTAINERS.items():
            path = Path(folder) / f"seed{suffix}"
            if suffix == ".gif":
                with video.Writer(path, palette=np.zeros((256, 3), np.uint8)) as writer:
                    for index, frame in enumerate(frames):
                        writer.add(frame[:, :, 0], index / 25)
            else:
                video.write(path, frames, fps=25, codec=codec)
            found.append(path.read_bytes())
    return found


def spoiled(seed: bytes, rng: np.random.Generator) -> bytes:
    """A seed with one to four injuries: flipped bytes, noise, holes, cuts, swapped, doubled or grown parts, huge numbers."""
    data = bytearray(seed)
    for _ in range(rng.integers(1, 5)):
        if len(data) < 16:
            break
        start = int(rng.integers(min(len(data), 2048) if rng.random() < 0.6 else len(data)))  # headers break in more ways
        end = min(len(data), start + int(rng.choice([1, 4, 16, 256, 4096])))
        match rng.integers(8):
            case 0:
                for place in rng.integers(len(data), size=int(rng.integers(1, 64))):
                    data[place] ^= 1 << int(rng.integers(8))
            case 1:
                data[start:end] = rng.bytes(end - start)
            case 2:
                data[start:end] = bytes(end - start)
            case 3:
                del data[start:end]
            case 4:
                del data[start:]
            case 5:
                data[start:start] = data[start:end] * int(rng.integers(1, 4))
            case 6:
                data[start : start + 4] = rng.choice(
                    [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x01", b"\x80\x00\x00\x00"]
                )
            case 7:
                other = int(rng.integers(len(data)))
                data[start:end], data[other : other + end - start] = data[other : other + end - start], data[start:end]
    return bytes(data)


class Visitors:
    """Those who ask: with spoiled files, of which nobody knows the answer, and with whole ones, whose answers are known."""

    def __init__(self, url: str, client: httpx.Client, whole: list[bytes]) -> None:
        self.url, self.client, self.whole = url, client, whole
        self.answers: Counter[tuple[int, str]] = Counter()
        self.right = [self.answer(body) for body in whole]
        assert {status for status, _ in self.right} == {200}, self.right
        self.asked = self.wrong = 0

    def answer(self, body: bytes) -> tuple[int, dict]:
        answer = self.client.post(f"{self.url}/v1/predict", content=body)
        return answer.status_code, answer.json()

    def spoiled(self, body: bytes) -> tuple[int, str]:
        status, values = self.answer(body)
        return status, (values["error"] or "").rpartition("(")[2].rstrip(")")

    def innocent(self) -> float:
        """Seconds that the answer to a whole file took; a wrong answer is counted and shown."""
        number, started = self.asked % len(self.whole), time.perf_counter()
        self.asked += 1
        try:
            answer = self.answer(self.whole[number])
        except httpx.HTTPError as error:
            answer = (0, {"error": repr(error)})
        if answer != self.right[number]:
            self.wrong += 1
            print(f"an innocent clip ({list(CONTAINERS)[number]}) was answered {answer}, right is {self.right[number]}")
        return time.perf_counter() - started

    def among(self, files: Iterator[bytes], number: int, at_once: int) -> list[float]:
        """Send so many spoiled files, so many at once, and beside every 19 of them an innocent one; its seconds each time."""
        seconds = []
        with ThreadPoolExecutor(at_once) as threads:
            for start in range(0, number, EVERY - 1):
                sent = [threads.submit(self.spoiled, next(files)) for _ in range(min(EVERY - 1, number - start))]
                seconds.append(self.innocent())
                self.answers.update(each.result() for each in sent)
        return seconds


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="a model folder")
    parser.add_argument("--files", type=int, default=3000, help="how many spoiled files")
    parser.add_argument("--seed", type=int, default=0, help="of the injuries")
    options = parser.parse_args()
    originals, rng = seeds(), np.random.default_rng(options.seed)
    files = (spoiled(originals[index % len(originals)], rng) for index in count())
    with Server(options.model, "--workers", str(WORKERS)) as server, httpx.Client(timeout=LIMIT_SECONDS + 30) as client:
        visitors = Visitors(server.url, client, originals)
        usual = [visitors.innocent() for _ in range(8 * len(originals))]
        before, started = server.megabytes, time.perf_counter()
        free = visitors.among(files, options.files // 2, at_once=WORKERS - 1)
        crowded = visitors.among(files, options.files - options.files // 2, at_once=4 * WORKERS)
        seconds = time.perf_counter() - started
        again = [visitors.innocent() for _ in originals]
        report(visitors, seconds)
        print(f"memory {before:.0f} MB before, {server.megabytes:.0f} MB after; files left {len(server.scratch)}")
    print(f"usual time of an innocent clip, nothing else asked: median {median(usual):.3f} s, after it all {median(again):.3f} s")
    print(f"while a decoder is free: median {median(free):.3f} s ({median(free) / median(usual):.1f} times the usual)")
    print(
        f"while {4 * WORKERS} spoiled files wait for {WORKERS} decoders: median {median(crowded):.3f} s, "
        f"longest {max(crowded):.1f} s (limit {LIMIT_SECONDS} s)"
    )
    late = sum(each > LIMIT_SECONDS for each in (*usual, *free, *crowded, *again))
    odd = {status for status, reason in visitors.answers if status not in (200, 422) and "the body is empty" not in reason}
    print(
        f"innocent clips: {visitors.asked}, answered wrongly {visitors.wrong}, later than the limit {late}; other statuses {sorted(odd)}"
    )
    if visitors.wrong or late or odd:
        sys.exit(1)


def report(visitors: Visitors, seconds: float) -> None:
    """What became of the spoiled files."""
    statuses: Counter[int] = Counter()
    for (status, _), times in visitors.answers.items():
        statuses[status] += times
    crashes = sum(times for (_, reason), times in visitors.answers.items() if "signal" in reason or "exit code" in reason)
    print(f"{statuses.total()} spoiled files in {seconds:.0f} s: {dict(statuses)}; decoders crashed {crashes} times")
    print("reasons: " + "; ".join(f"{reason or 'answered'} {times}" for (_, reason), times in visitors.answers.most_common(8)))


if __name__ == "__main__":
    main()
