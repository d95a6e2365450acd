"""Peak memory of extraction, the whole process tree, above the loaded model: many clips, one 2-hour file, eight 4K files. Linux only."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from clips import clips_folder, weights_of
from making import noise_4k, performance, repeated

CHILD = """
import sys
from pathlib import Path
from gerund.core import progress
from gerund.backbones import load_backbone
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
progress.notes.setLevel(30)
options = {"weights": Path(sys.argv[1])} if sys.argv[1] else {"pretrained": False}
extractor = Extractor(load_backbone("mobilenetv2_100", image_size=224, **options), fps=4, cache=FeatureCache(Path(sys.argv[2])))
extractor.engine
print("ready", flush=True)
sys.stdin.readline()
made = extractor.extract([Path(line.strip()) for line in open(sys.argv[3])])
assert not made.failed, made.failed
"""


def tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    below = [int(child) for child in children.read_text().split()] if children.exists() else []
    return [pid, *(each for child in below for each in tree(child))]


def proportional(pid: int) -> int:
    """Bytes of a process, shared pages counted by share."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def peak(paths: list[Path]) -> tuple[float, float, float]:
    """MB of the loaded model, MB at most above it while extracting, and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "paths.txt"
        listing.write_text("\n".join(map(str, paths)))
        words = [str(weights_of("mobilenetv2_100").get("weights", "")), folder, str(listing)]
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        process.stdout.readline()
        before = sum(map(proportional, tree(process.pid)))
        started, most = time.perf_counter(), before
        process.stdin.write("go\n")
        process.stdin.flush()
        while process.poll() is None:
            most = max(most, sum(map(proportional, tree(process.pid))))
            time.sleep(0.05)
        assert process.returncode == 0
        return before / 2**20, (most - before) / 2**20, time.perf_counter() - started


def main() -> None:
    folder = Path(tempfile.gettempdir())
    minute = performance(folder / "gerund-bench-360p.mp4", size=(360, 640), seconds=60)
    cases = {
        "250 clips": clips_folder()[:250],
        "one 2-hour file, 640x360": [repeated(minute, folder / "gerund-bench-2h.mp4", 120)],
        "one 2-minute file, 640x360": [repeated(minute, folder / "gerund-bench-2min.mp4", 2)],
        "eight 4K files": [noise_4k(folder / f"gerund-bench-4k-{number}.mp4", number) for number in range(8)],
    }
    for name, paths in cases.items():
        model, above, seconds = peak(paths)
        print(f"{name:28s} model {model:.0f} MB, at most {above:.0f} MB above it, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
