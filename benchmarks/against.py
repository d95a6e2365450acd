"""One command of gerund in two checkouts, in turns: how many times as long does the new one take?

    python benchmarks/against.py --pairs 9 OLD NEW extract CLIPS --backbone mobilenetv2_100 --weights FILE

Every run is a process of its own with an empty feature cache (not with `--warm`); compiled networks are kept. With `--resident` each checkout
has one process that runs the command again and again, so that many short pairs can be had, which a machine that is busy for seconds disturbs
least. Whoever goes first changes from pair to pair, so that such a machine is unfair to neither. Ratios are of wall time and of processor
time, the median with its 95 % bootstrap interval.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DRAWS = 10_000


RESIDENT = """
import os, resource, runpy, sys, time
answers, words = os.fdopen(os.dup(1), "w"), sys.argv[1:]
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
def spent():
    each = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in each)
for _ in sys.stdin:
    before, started, sys.argv, code = spent(), time.perf_counter(), ["gerund", *words], 0
    try:
        runpy.run_module("gerund", run_name="__main__")
    except SystemExit as end:
        code = end.code
    print(time.perf_counter() - started, spent() - before, code, file=answers, flush=True)
"""
"""A process that runs one command of gerund for every line it is sent, and says what it took."""


@dataclass
class Checkout:
    """Runs of one command in a checkout, with a cache of their own."""

    root: Path
    cache: Path
    words: list[str]
    resident: subprocess.Popen[str] | None = None

    def seconds(self, *, warm: bool) -> np.ndarray:
        """Wall and processor seconds (2,) of one run; what it prints is thrown away."""
        if not warm:
            shutil.rmtree(self.cache / "features", ignore_errors=True)
        return self.anew() if self.resident is None else self.again(self.resident)

    def start(self, *words: str, **streams: Any) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": str(self.root / "src"), "GERUND_CACHE": str(self.cache)}
        return subprocess.Popen([sys.executable, *words, *self.words, "--quiet"], env=environment, text=True, **streams)

    def anew(self) -> np.ndarray:
        """In a new process."""
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        code = self.start("-m", "gerund", stdout=subprocess.DEVNULL).wait()
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if code:
            raise SystemExit(f"{self.root}: the command ended with {code}")
        return np.array([wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime])

    def again(self, process: subprocess.Popen[str]) -> np.ndarray:
        """In the process that is kept."""
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        wall, processor, code = process.stdout.readline().split()
        if code != "0":
            raise SystemExit(f"{self.root}: the command ended with {code}")
        return np.array([float(wall), float(processor)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--resident", action="store_true")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="the command and its arguments")
    given = parser.parse_args()
    pairs = []
    with tempfile.TemporaryDirectory(prefix="gerund-") as folder, ExitStack() as stack:
        old, new = (Checkout(root, Path(folder) / name, given.words) for name, root in (("old", given.old), ("new", given.new)))
        for each in (old, new):
            if given.resident:
                pipe = subprocess.PIPE
                each.resident = stack.enter_context(each.start("-c", RESIDENT, stdin=pipe, stdout=pipe))
            each.seconds(warm=given.warm)  # files are read into memory, and a cache is filled
        for number in range(given.pairs):
            took = {each.root: each.seconds(warm=given.warm) for each in ([old, new] if number % 2 else [new, old])}
            pairs.append((took[old.root], took[new.root]))
            print(f"old {took[old.root][0]:.2f} s, new {took[new.root][0]:.2f} s", flush=True)
        for each in (old, new):
            if each.resident is not None and each.resident.stdin is not None:
                each.resident.stdin.close()
    before, now = map(np.array, zip(*pairs, strict=True))
    drawn = np.random.default_rng(0).integers(0, len(pairs), (DRAWS, len(pairs)))
    for index, name in enumerate(("wall", "processor")):
        ratios = now[:, index] / before[:, index]
        low, high = np.quantile(np.median(ratios[drawn], axis=1), (0.025, 0.975))
        print(
            f"{name}: {np.median(before[:, index]):.2f} s before, {np.median(now[:, index]):.2f} s now; ratio {np.median(ratios):.3f} "
            f"[{low:.3f}, {high:.3f}] in {len(pairs)} pairs"
        )


if __name__ == "__main__":
    main()
