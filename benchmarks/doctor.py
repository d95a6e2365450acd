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
from gerund.core import progress

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


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of all processors: the latter says more on a busy machine."""
    started, before = time.monotonic(), sum(os.times()[:4])
    work()
    return time.monotonic() - started, sum(os.times()[:4]) - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="healthy clips, for example ucf101:DIR")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeat", type=int, default=3, help="the fastest of so many runs counts, taken in turn")
    arguments = parser.parse_args()
    progress.notes.setLevel("WARNING")
    clips = gerund.load_dataset(arguments.data)
    paths = list(dict.fromkeys(clip.path for clip in clips))
    turns = [
        (
            seconds(lambda: decode_all(paths, arguments.workers)),
            seconds(lambda: gerund.doctor(clips, workers=arguments.workers)),
        )
        for _ in range(arguments.repeat)
    ]
    print(f"{len(paths)} files, {arguments.workers} processes, load {os.getloadavg()[0]:.1f} (at most twice is wanted)")
    for which, name in enumerate(("by the clock", "of the processors")):
        decoding, doctor = (min(times[which] for times in kind) for kind in zip(*turns, strict=True))
        print(f"{name}: decoding {decoding:.2f} s, doctor {doctor:.2f} s, ratio {doctor / decoding:.2f}")


if __name__ == "__main__":
    main()
