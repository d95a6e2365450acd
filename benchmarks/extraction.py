"""How close the pipeline comes to its limit: decoding and inference, each measured alone on all cores, in the same run.

limit = 1 / (decode seconds per clip + inference seconds per clip); the resize is not in the limit.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from clips import clips_folder, weights_of

from gerund.backbones import load_backbone
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor

DECODE = "import sys; from pathlib import Path; from gerund import video\nfor path in sys.argv[1:]:\n  for _ in video.decode(Path(path)): pass"


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def decode_alone(paths: list[Path], cores: int) -> float:
    """Seconds to decode every frame in one process per core, their start not counted."""
    idle = timed(lambda: run_processes([[] for _ in range(cores)]))
    return timed(lambda: run_processes([paths[core::cores] for core in range(cores)])) - idle


def run_processes(parts: list[list[Path]]) -> None:
    for process in [subprocess.Popen([sys.executable, "-c", DECODE, *map(str, part)]) for part in parts]:
        process.wait()


def inference_alone(extractor: Extractor, frames: int) -> float:
    """Seconds to run so many frames through the engine in full batches."""
    engine = extractor.engine
    resize = extractor.backbone.resize
    rng = np.random.default_rng(0)
    batch = rng.integers(0, 255, (engine.batch_size, 3, resize.height, resize.width), dtype=np.uint8).transpose(0, 2, 3, 1)

    def work() -> None:
        for _ in range(-(-frames // engine.batch_size)):
            engine.submit(batch, lambda _: None)
        engine.drain()

    return timed(work)


def measure(name: str, options: dict, paths: list[Path], fps: float, repeats: int, workers: int | None) -> dict[str, float]:
    backbone = load_backbone(name, **options)
    cores = os.cpu_count() or 1
    rows: dict[str, list[float]] = {"decode": [], "inference": [], "pipeline": []}
    frames = 0
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            extractor = Extractor(backbone, fps=fps, cache=FeatureCache(Path(folder)), workers=workers)
            inference_alone(extractor, 64)
            features = []
            rows["pipeline"].append(timed(lambda: features.append(extractor.extract(paths))))  # noqa: B023
            assert not features[0].failed
            frames = sum(len(each) for each in features[0].features.values())
            rows["decode"].append(decode_alone(paths, cores))
            rows["inference"].append(inference_alone(extractor, frames))
    medians = {key: statistics.median(values) for key, values in rows.items()}
    limit = len(paths) / (medians["decode"] + medians["inference"])
    rate = len(paths) / medians["pipeline"]
    return {
        "clips/s": rate,
        "limit": limit,
        "ratio": rate / limit,
        "frames/s": frames / medians["pipeline"],
        "decode ms/clip": 1e3 * medians["decode"] / len(paths),
        "inference ms/clip": 1e3 * medians["inference"] / len(paths),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--fps", type=float, default=4.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--backbones", default="mobilenetv2_100,densenet121,resnet50")
    given = parser.parse_args()
    paths = clips_folder()
    paths = paths[:: max(1, len(paths) // given.clips)][: given.clips]
    size = {"densenet121": 128, "resnet152": 112}
    print(
        f"{len(paths)} clips, {given.fps:g} fps, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, medians of {given.repeats}"
    )
    for name in given.backbones.split(","):
        options = {"image_size": size.get(name, 224), **weights_of(name)}
        values = measure(name, options, paths, given.fps, given.repeats, given.workers)
        print(f"{name:18s}" + "  ".join(f"{key} {value:.2f}" for key, value in values.items()), flush=True)


if __name__ == "__main__":
    from gerund.core import progress

    progress.notes.setLevel("WARNING")
    main()
