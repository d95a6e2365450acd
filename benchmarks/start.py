"""How long a person waits: `gerund --help`, and one clip from a cold process to its printed label (weights and compiled model on disk)."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from clips import clips_folder, weights_of

import gerund
from gerund.core import progress
from gerund.core.types import Clip

MAIN = [sys.executable, "-c", "from gerund.cli.app import main; main()"]


def seconds(*words: str, env: dict[str, str] | None = None) -> float:
    started = time.perf_counter()
    subprocess.run([*MAIN, *words], check=True, capture_output=True, env=env)
    return time.perf_counter() - started


def main() -> None:
    print(f"gerund --help: {statistics.median(seconds('--help') for _ in range(7)):.2f} s")
    progress.notes.setLevel("WARNING")
    paths = clips_folder()
    chosen = [Clip(path=path, label=path.parent.name) for path in paths[::10]]
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"GERUND_CACHE": f"{folder}/cache"}
        cache = Path(folder) / "cache"
        options = {"backbone": "mobilenetv2_100", "image_size": 224, "epochs": 1, "cache": cache, "out": Path(folder) / "run"}
        gerund.train(chosen, **options, **weights_of("mobilenetv2_100"))
        run = str(Path(folder) / "run")
        seconds("predict", run, str(paths[1]), env=env)  # converts and compiles for this machine
        times = [seconds("predict", run, str(path), env=env) for path in paths[2:9]]
        print(f"one new clip, cold process to printed label: {statistics.median(times):.2f} s (median of {len(times)})")
        code = "import time; t = time.perf_counter(); import torch; print(time.perf_counter() - t)"
        torch_seconds = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        print(f"  of which importing torch {torch_seconds:.2f} s")


if __name__ == "__main__":
    main()
