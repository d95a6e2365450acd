"""What each choice in extraction costs in accuracy and gains in speed: official splits 1-3 of the real clips x seeds, default head."""

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from clips import DATA, clips_folder, weights_of

import gerund
from gerund.backbones import load_backbone
from gerund.core import progress
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.training import prepare

VARIANTS: dict[str, dict[str, Any]] = {
    "default: bf16, bicubic, squeeze": {},
    "f32": {"precision": "f32"},
    "int8": {"precision": "int8"},
    "bilinear": {"interpolation": "bilinear"},
    "area": {"interpolation": "area"},
    "centre crop": {"fit": "crop"},
    "letterbox": {"fit": "letterbox"},
    "4 fps": {"fps": 4.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    for name, options in VARIANTS.items():
        if given.only in name:
            measure(name, dict(options), given.seeds)


def measure(name: str, options: dict[str, Any], seeds: int) -> None:
    interpolation = options.pop("interpolation", None)
    original = load_backbone

    def load(*words: Any, **more: Any) -> Any:
        made = original(*words, **more)
        return replace(made, resize=replace(made.resize, interpolation=interpolation)) if interpolation else made

    prepare.load_backbone = load
    with tempfile.TemporaryDirectory() as folder:
        backbone = load("mobilenetv2_100", fit=options.get("fit"), **weights_of("mobilenetv2_100"))
        cache = Path(folder) / "cache"
        rate = 0.0
        if options.get("precision") != "int8":
            more = {"precision": options.get("precision", "auto"), "fps": options.get("fps", 8.0)}
            extractor = Extractor(backbone, cache=FeatureCache(cache), **more)
            _ = extractor.engine
            started = time.perf_counter()
            extractor.extract(clips_folder())
            rate = len(clips_folder()) / (time.perf_counter() - started)
        found = []
        for split in (1, 2, 3):
            for seed in range(seeds):
                done = gerund.train(
                    f"ucf101:{DATA / 'ucf101'}",
                    split=split,
                    seed=seed,
                    backbone="mobilenetv2_100",
                    cache=cache,
                    out=Path(folder) / f"run-{split}-{seed}",
                    **weights_of("mobilenetv2_100"),
                    **options,
                )
                found.append(done.metrics["test"]["top1"])
    splits = "  ".join(f"{statistics.mean(found[each * seeds : each * seeds + seeds]):.3f}" for each in range(3))
    print(
        f"{name:34s} {rate:5.1f} clips/s  splits {splits}  mean {statistics.mean(found):.3f}  load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    prepare.load_backbone = original


if __name__ == "__main__":
    progress.notes.setLevel("WARNING")
    main()
