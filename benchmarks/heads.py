"""Accuracy on the real clips: official splits x seeds, every head on the same MobileNetV2 features. Needs GERUND_TEST_DATA."""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from clips import DATA

import gerund
from gerund.core import progress

WEIGHTS = DATA / "weights" / "mobilenetv2_100.safetensors"
SAME_FEATURES = {"backbone": "mobilenetv2_100", "weights": WEIGHTS, "image_size": 224, "fit": "squeeze"}
SHORT = {"num_frames": 16}
FORMS: dict[str, dict[str, Any]] = {
    "prototype (default)": {},
    "transformer": {"head": "transformer", **SHORT},
    "transformer (hybrid-transformer recipe)": {"recipe": "hybrid-transformer"},
    "bilstm": {"head": "bilstm", **SHORT},
    "bilstm (convlstm recipe, 20 epochs at 1e-4)": {
        "recipe": "convlstm",
        "epochs": 20,
        "lr": 1e-4,
        "fps": 8.0,
        "views": 1,
        "save_every": 0,
    },
    "mean, with motion": {"head": "mean", **SHORT},
    "mean, no motion": {"head": "mean", "motion": False, **SHORT},
    "frame, with motion": {"head": "frame", **SHORT},
    "frame, no motion": {"head": "frame", "motion": False, **SHORT},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="part of a form's name")
    parser.add_argument("--json", type=Path, help="write all figures here")
    given = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, splits 1-3, seeds 0-{given.seeds - 1}; top-1 of each split (mean over seeds), mean, spread of the runs"
    )
    everything = {}
    for name, options in FORMS.items():
        if given.only not in name:
            continue
        started = time.perf_counter()
        found = [[top1(split, seed, options) for seed in range(given.seeds)] for split in (1, 2, 3)]
        everything[name] = found
        runs = [value for split in found for value in split]
        seconds = (time.perf_counter() - started) / len(runs)
        splits = "  ".join(f"{statistics.mean(split):.3f}" for split in found)
        print(
            f"{name:46s} {splits}  mean {statistics.mean(runs):.3f}  sd {statistics.pstdev(runs):.3f}  {seconds:.0f} s/run",
            flush=True,
        )
    if given.json:
        given.json.write_text(json.dumps(everything))


def top1(split: int, seed: int, options: dict[str, Any]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        done = gerund.train(
            f"ucf101:{DATA / 'ucf101'}", split=split, seed=seed, out=Path(folder) / "run", **SAME_FEATURES | options
        )
        return done.metrics["test"]["top1"]


if __name__ == "__main__":
    progress.notes.setLevel("WARNING")
    main()
