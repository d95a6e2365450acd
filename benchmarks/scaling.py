"""What a large data set costs, worked out from measured rates: core and GPU hours, storage, memory, and what breaks first.

The defaults are the rates of docs/benchmarks.md (extraction of 250 clips at 8 fps on 2 cores, MobileNetV2). Give your own machine's.
"""

import argparse
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gerund.core.types import Features
from gerund.features.blocks import StackedRows

SAMPLE = 20_000
STATISTICS = 4
"""Statistics over time of the default head, float32 each."""


def bytes_each(make: Callable[[int], object]) -> float:
    """Memory of one of many objects, measured."""
    kept = [make(number) for number in range(SAMPLE)]  # once unseen: the first ones fill caches
    del kept
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = [make(number) for number in range(SAMPLE)]
    each = (tracemalloc.get_traced_memory()[0] - before) / len(kept)
    tracemalloc.stop()
    return each


def features_entry(rows: int, dim: int) -> Callable[[int], object]:
    """What the process that hands the work out keeps of one video: its path, its seconds, where its rows lie."""

    def make(number: int) -> object:
        block = Path(f"/shared/cache/features/0123456789abcdef/{number:032x}-00000.safetensors")
        return Path(f"/shared/videos/{number:010d}.mp4"), Features(StackedRows((block,), (0, rows), dim), np.zeros(rows))

    return make


def digest_entry(number: int) -> object:
    """What every worker remembers of one video: the state of its file, and its digest."""
    return f"64769:{number:010d}:1234567:{1763700000000000000 + number}", f"{number:032x}"


def work_out(clips: int, seconds: float, given: argparse.Namespace) -> dict[str, str]:
    rows = round(seconds * given.fps)
    token_dim = 2 * given.dim  # the features and how much they change
    video_hours = clips * seconds / 3600
    core_hours = video_hours * given.cores / given.realtime
    gpu = "not measured" if given.gpu_frames is None else f"{clips * rows / given.gpu_frames / 3600:,.1f} h"
    return {
        "video": f"{video_hours:,.0f} h",
        "core hours": f"{core_hours:,.0f} h",
        f"days on {given.machines} machines of {given.machine_cores} cores": f"{core_hours / given.machines / given.machine_cores / 24:,.2f}",
        "GPU hours for the backbone": gpu,
        "features": gigabytes(clips * rows * (2 * given.dim + 8)),
        "cache files": f"{clips:,}",
        "packed shards": f"{-(-clips * rows * 2 * given.dim // (256 * 2**20)):,.0f}",
        "index of the pack (mapped)": gigabytes(clips * 48),
        "memory of the process that hands out": gigabytes(clips * bytes_each(features_entry(rows, given.dim))),
        "memory of each worker for known digests": gigabytes(clips * bytes_each(digest_entry)),
        "tokens in training (mapped file)": gigabytes(clips * given.num_frames * token_dim * 2),
        "memory of the default head's statistics": gigabytes(clips * STATISTICS * token_dim * 4),
        "breaks first, in extraction": breaks_first(
            clips,
            given,
            {
                "list of results where the work is handed out": bytes_each(features_entry(rows, given.dim)),
                "digests that each worker remembers": bytes_each(digest_entry),
            },
        ),
        "breaks first, in training": breaks_first(
            clips,
            given,
            {
                "list of features": bytes_each(features_entry(rows, given.dim)),
                "statistics of the default head": STATISTICS * token_dim * 4,
            },
        ),
    }


def breaks_first(clips: int, given: argparse.Namespace, bytes_per_clip: dict[str, float]) -> str:
    """What needs most memory for a clip, and from how many clips on a machine has too little."""
    name, size = max(bytes_per_clip.items(), key=lambda item: item[1])
    most = given.memory * 1e9 / size
    return f"{name}{'' if clips > most else ', but not yet'} (from {most:,.0f} clips with {given.memory:g} GB)"


def gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--realtime", type=float, default=72.0, help="seconds of video per second, measured on --cores")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--gpu-frames", type=float, help="frames per second of one GPU; no default, none was measured")
    parser.add_argument("--fps", type=float, default=8.0)
    parser.add_argument("--dim", type=int, default=1280)
    parser.add_argument("--num-frames", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0, help="of one clip")
    parser.add_argument("--memory", type=float, default=64.0, help="GB of one machine")
    parser.add_argument("--machines", type=int, default=10)
    parser.add_argument("--machine-cores", type=int, default=32)
    given = parser.parse_args()
    columns = [work_out(clips, given.seconds, given) for clips in (650_000, 100_000_000)]
    print(f"| clips of {given.seconds:g} s | Kinetics-700 (650,000) | 100 million |\n|---|---|---|")
    for name in columns[0]:
        print(f"| {name} | {columns[0][name]} | {columns[1][name]} |")


if __name__ == "__main__":
    main()
