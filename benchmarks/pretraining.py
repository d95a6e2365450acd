"""Whether pretraining on unlabelled clips helps when few have labels: official splits, 1, 2 and 5 labelled clips of each class.

The unlabelled clips are the split's training list; the labelled ones are drawn from it, each of another group; the same draws are
trained with and without `init`. Needs GERUND_TEST_DATA.
"""

import argparse
import os
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from clips import DATA

import gerund
from gerund.core import progress
from gerund.core.types import Clip
from gerund.data.manifest import group_of, labels_of, of_split

SOURCE = f"ucf101:{DATA / 'ucf101'}"
STEPS = 16
BACKBONE: dict[str, Any] = {"backbone": "mobilenetv2_100", "weights": DATA / "weights" / "mobilenetv2_100.safetensors"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--labelled", type=int, nargs="+", default=[1, 2, 5])
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, splits 1-3, {given.draws} draws of each; top-1 of the official test lists")
    found: dict[int, list[tuple[float, float, float]]] = {count: [] for count in given.labelled}
    with tempfile.TemporaryDirectory() as folder:
        for split in (1, 2, 3):
            encoder = gerund.pretrain(
                [SOURCE], split=split, num_frames=STEPS, out=Path(folder) / f"encoder-{split}", **BACKBONE
            ).folder
            clips = gerund.load_dataset(SOURCE, split=split)
            for count in given.labelled:
                for draw in range(given.draws):
                    chosen = drawn(of_split(clips, "train"), count, np.random.default_rng([split, draw])) + of_split(
                        clips, "test"
                    )
                    results = (
                        top1(chosen, draw, head="transformer", num_frames=STEPS),
                        top1(chosen, draw, init=encoder, num_frames=STEPS),
                        top1(chosen, draw),
                    )
                    found[count].append(results)
                    print(
                        f"split {split}, {count} a class, draw {draw}: "
                        "{:.3f} without, {:.3f} with, {:.3f} prototype".format(*results),
                        flush=True,
                    )
    for count, runs in found.items():
        without, having, prototype = zip(*runs, strict=True)
        gains = [after - before for before, after, _ in runs]
        print(
            f"{count} a class: without {statistics.mean(without):.3f}  with {statistics.mean(having):.3f}  "
            f"gain {statistics.mean(gains):+.3f} (sd {statistics.stdev(gains):.3f}, better in {sum(gain > 0 for gain in gains)}, "
            f"worse in {sum(gain < 0 for gain in gains)} of {len(gains)}); prototype {statistics.mean(prototype):.3f}"
        )


def drawn(clips: list[Clip], count: int, rng: np.random.Generator) -> list[Clip]:
    """`count` clips of each class, no two of one group."""
    chosen = []
    for label in labels_of(clips):
        own = [clip for clip in clips if clip.label == label]
        for group in rng.choice(sorted({group_of(clip) for clip in own}), count, replace=False):
            chosen.append(rng.choice([number for number, clip in enumerate(clips) if group_of(clip) == group]))
    return [replace(clips[number], split="train") for number in chosen]


def top1(clips: list[Clip], seed: int, **options: Any) -> float:
    """`train` on few clips: no validation clips are kept back, so the last epoch counts."""
    with tempfile.TemporaryDirectory() as folder:
        done = gerund.train(clips, val=0, seed=seed, out=Path(folder) / "run", **BACKBONE, **options)
        return done.metrics["test"]["top1"]


if __name__ == "__main__":
    progress.notes.setLevel("WARNING")
    main()
