"""One command of gerund in two checkouts, in turns: how many times as long does the new one take?

    python benchmarks/against.py --pairs 9 OLD NEW extract CLIPS --backbone mobilenetv2_100 --weights FILE

Every run is a process of its own with an empty feature cache (not with `--warm`); compiled networks are kept. Whoever goes first changes from
pair to pair, so that a machine that is busy now and then is unfair to neither. Ratios are of wall time and of processor time, the median with
its 95 % bootstrap interval.
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
from pathlib import Path

import numpy as np

DRAWS = 10_000


def seconds(checkout: Path, words: list[str], cache: Path) -> np.ndarray:
    """Wall and processor seconds (2,) of one run; what it prints is thrown away."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(checkout / "src"), "GERUND_CACHE": str(cache)}
    subprocess.run([sys.executable, "-m", "gerund", *words, "--quiet"], env=environment, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return np.array([wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="the command and its arguments")
    given = parser.parse_args()
    pairs = []
    with tempfile.TemporaryDirectory(prefix="gerund-") as folder:
        kept = {checkout: Path(folder) / name for name, checkout in (("old", given.old), ("new", given.new))}

        def run(checkout: Path) -> np.ndarray:
            if not given.warm:
                shutil.rmtree(kept[checkout] / "features", ignore_errors=True)
            return seconds(checkout, given.words, kept[checkout])

        run(given.old), run(given.new)  # files are read into memory, and a cache is filled
        for number in range(given.pairs):
            order = [given.old, given.new] if number % 2 else [given.new, given.old]
            took = {checkout: run(checkout) for checkout in order}
            pairs.append((took[given.old], took[given.new]))
            print(f"old {took[given.old][0]:.2f} s, new {took[given.new][0]:.2f} s", flush=True)
    old, new = map(np.array, zip(*pairs, strict=True))
    drawn = np.random.default_rng(0).integers(0, len(pairs), (DRAWS, len(pairs)))
    for name, ratios, before, after in zip(("wall", "processor"), (new / old).T, old.T, new.T, strict=True):
        low, high = np.quantile(np.median(ratios[drawn], axis=1), (0.025, 0.975))
        print(
            f"{name}: {np.median(before):.2f} s before, {np.median(after):.2f} s now; ratio {np.median(ratios):.3f} "
            f"[{low:.3f}, {high:.3f}] in {len(pairs)} pairs"
        )


if __name__ == "__main__":
    main()
