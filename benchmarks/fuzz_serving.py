"""Thousands of spoiled videos through /v1/predict. Arguments: a model folder, and how many files (2000). Linux only."""

import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
from servers import Server

from gerund import video
from gerund.datasets import toy

CONCURRENCY = 4
CONTAINERS = {
    **dict.fromkeys((".mp4", ".mkv", ".ts", ".h264"), "libx264"),
    ".avi": "mpeg4",
    ".mpg": "mpeg2video",
    ".webm": "libvpx",
    ".flv": "flv",
    ".gif": "gif",
}
LIMIT_SECONDS = 60


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


def main() -> None:
    model, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    originals, rng = seeds(), np.random.default_rng(0)
    with Server(model) as server, httpx.Client(timeout=LIMIT_SECONDS) as client, ThreadPoolExecutor(CONCURRENCY) as threads:

        def ask(body: bytes) -> tuple[int, str]:
            answer = client.post(f"{server.url}/v1/predict", content=body)
            return answer.status_code, (answer.json()["error"] or "").rpartition("(")[2].rstrip(")")

        good = [ask(seed)[0] for seed in originals * 8]
        assert set(good) == {200}, good
        before, started = server.megabytes, time.perf_counter()
        answers = Counter(threads.map(ask, (spoiled(originals[index % len(originals)], rng) for index in range(count))))
        statuses = Counter()
        for (status, _), times in answers.items():
            statuses[status] += times
        crashes = sum(times for (_, reason), times in answers.items() if "signal" in reason or "exit code" in reason)
        print(f"{count} files in {time.perf_counter() - started:.0f} s: {dict(statuses)}; decoders crashed {crashes} times")
        print("reasons: " + "; ".join(f"{reason or 'answered'} {times}" for (_, reason), times in answers.most_common(8)))
        assert [ask(seed)[0] for seed in originals] == [200] * len(originals), "the server no longer answers"
        print(f"memory {before:.0f} MB before, {server.megabytes:.0f} MB after; files left {len(server.scratch)}")


if __name__ == "__main__":
    main()
