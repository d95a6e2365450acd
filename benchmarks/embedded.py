"""Which network is embedded: EfficientNet-Lite0 and Lite2 at several sizes, cross-validated inside a training list, and what each costs.

    python benchmarks/embedded.py ucf101:DIR

Every candidate's clips are extracted in turn into an empty cache, several times over, decoding included; the cost is processor time, which other
work on the machine hardly changes. Test clips of the split take no part. The best candidate whose cold extraction costs at most 1.5 times
that of Lite0 at 224 is the one to embed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path

from gerund.backbones import load_backbone
from gerund.core.recipes import RECIPES
from gerund.data.datasets import load_dataset
from gerund.data.manifest import of_split
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.recognition.token_set import token_set
from gerund.training.leaderboard import cross_validate
from gerund.training.prepare import untrained

CANDIDATES = (("lite", 224), ("lite", 192), ("lite", 256), ("lite2", 224), ("lite2", 260))
"""The first is what the others are measured against."""


def processor_seconds() -> float:
    """What this process and the decoders it has ended have used."""
    return sum(os.times()[:4])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--split", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    clips = load_dataset(given.data, split=given.split)
    train, settings = of_split(clips, "train"), RECIPES["default"]
    print(
        "| network | side | top-1, 5 folds by group | 95 % interval | processor seconds, all clips | times lite at 224 |",
        flush=True,
    )
    print("|---|---|---|---|---|---|", flush=True)
    base: list[float] = []
    for name, side in CANDIDATES:
        took = []
        for number in range(given.rounds):
            with tempfile.TemporaryDirectory() as folder:
                backbone = load_backbone(name, image_size=side)
                extractor = Extractor(backbone, fps=settings.fps, cache=FeatureCache(Path(folder)))
                extractor.engine  # noqa: B018 (compiled before the clock starts)
                started = processor_seconds()
                found = extractor.extract(clip.path for clip in clips)
                took.append(processor_seconds() - started)
                assert not found.failed, f"not read, and so counted as wrong: {found.failed}"
                if number:
                    continue
                recognizer = untrained(train, settings, extractor.cache, backbone)
                tokens = token_set(recognizer, [found], train)
                best = cross_validate([(settings, tokens)], train, folds=5, seed=0, processes=1, device="cpu").winner
        base = base or took
        row = f"{best.top1:.3f} | {best.low:.3f} .. {best.high:.3f} | {statistics.median(took):.1f}"
        print(f"| {name} | {side} | {row} | {statistics.median(took) / statistics.median(base):.2f} |", flush=True)


if __name__ == "__main__":
    main()
