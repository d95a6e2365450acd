"""What Ray costs against the local pipeline, on toy clips and with `pixels`, which does next to nothing: the most it can cost."""

import argparse
import os
import tempfile
import time
from pathlib import Path

from gerund.backbones import load_backbone
from gerund.core import progress
from gerund.data.datasets import toy
from gerund.features.cache import FeatureCache
from gerund.features.cluster import extract_on_cluster
from gerund.features.extractor import Extractor

OPTIONS = {"fps": 8.0, "device": "cpu", "precision": "f32", "workers": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--performers", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory() as folder:
        toy.make(Path(folder) / "clips", performers=given.performers)
        paths = sorted((Path(folder) / "clips").rglob("*.mp4"))
        backbone = load_backbone("pixels")
        started = time.perf_counter()
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR", object_store_memory=100 * 2**20)
        print(f"{len(paths)} clips, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        print(f"start of a cluster on this machine: {time.perf_counter() - started:.1f} s")
        for repeat in range(given.repeats):
            times = []
            for name in ("local", "1 worker", "2 workers"):
                cache = Path(folder) / f"{name} {repeat}"
                started = time.perf_counter()
                if name == "local":
                    Extractor(backbone, cache=FeatureCache(cache), **OPTIONS).extract(paths)
                else:
                    extract_on_cluster(paths, backbone, actors=int(name[0]), cache=cache, **OPTIONS)
                times.append(time.perf_counter() - started)
            print(
                f"local {times[0]:.1f} s, 1 worker {times[1]:.1f} s, 2 workers {times[2]:.1f} s (start of the workers included)",
                flush=True,
            )
        ray.shutdown()


if __name__ == "__main__":
    progress.notes.setLevel("WARNING")
    main()
