"""How long the doctor takes beside plain full decoding of the same files by as many worker processes; at most twice is wanted.

python benchmarks/doctor.py ucf101:DIR [--workers 2] [--repeat 3]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import gerund
from gerund import progress

DECODE = """
import json, sys
from pathlib import Path
from gerund import video
for line in sys.stdin:
    for _ in video.decode(Path(json.loads(line))):
        pass
"""


def decode_all(paths: Sequence[Path], workers: int) -> None:
    """Decode every frame of every file and drop it; each process takes every n-th file."""
    processes = [subprocess.Popen([sys.executable, "-c", DECODE], stdin=subprocess.PIPE, text=True) for _ in range(workers)]
    for number, process in enumerate(processes):
        assert process.stdin is not None
        process.stdin.writelines(json.dumps(str(path)) + "\n" for path in paths[number::workers])
        process.stdin.close()
    if any(process.wait() for process in processes):
        sys.exit("a decoding process failed")


def seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="healthy clips, for example ucf101:DIR")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeat", type=int, default=3, help="the fastest of so many runs counts, taken in turn")
    arguments = parser.parse_args()
    progress.quiet = True
    clips = gerund.load_dataset(arguments.data)
    paths = list(dict.fromkeys(clip.path for clip in clips))
    turns = [
        (
            seconds(lambda: decode_all(paths, arguments.workers)),
            seconds(lambda: gerund.doctor(clips, workers=arguments.workers)),
        )
        for _ in range(arguments.repeat)
    ]
    decoding, doctor = (min(times) for times in zip(*turns, strict=True))
    print(f"{len(paths)} files, {arguments.workers} processes: decoding {decoding:.2f} s, doctor {doctor:.2f} s")
    print(f"ratio {doctor / decoding:.2f} (at most 2 is wanted)")


if __name__ == "__main__":
    main()
