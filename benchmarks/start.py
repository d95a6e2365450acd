"""How long a person waits, and in how much memory: the list of commands, one new clip from a cold process to its printed label, a server.

    python benchmarks/start.py [RUN]

RUN is a trained run; without it, one is trained on some of the real clips with the network inside the installation.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from clips import clips_folder

import gerund
from gerund.core import progress
from gerund.core.types import Clip

TIMES = 7


def ended(*words: str) -> tuple[float, float]:
    """Seconds of a run of gerund, and the most memory that it had, in MB."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "gerund", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"gerund {' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def ready(run: str) -> tuple[float, float]:
    """Seconds until a server takes requests, and the most memory that it had by then, in MB."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.perf_counter()
    words = ["serve", run, "--port", str(port)]
    with subprocess.Popen(
        [sys.executable, "-m", "gerund", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1).close()
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
                continue
            seconds = time.perf_counter() - started
            status = Path(f"/proc/{process.pid}/status").read_text()
            process.terminate()
            return seconds, int(status.partition("VmHWM:")[2].split()[0]) / 1024
    raise SystemExit("gerund serve ended")


def told(what: str, runs: list[tuple[float, float]]) -> None:
    seconds, megabytes = (statistics.median(each) for each in zip(*runs, strict=True))
    print(f"{what}: {seconds:.2f} s (best {min(runs)[0]:.2f}), {megabytes:.0f} MB, median of {len(runs)}", flush=True)


def new_clips(paths: list[Path], folder: Path) -> list[str]:
    """Copies that no cache knows, since their last bytes are others."""
    made = []
    for number, path in enumerate(paths):
        copy = folder / f"{number}{path.suffix}"
        copy.write_bytes(path.read_bytes() + os.urandom(8))
        made.append(str(copy))
    return made


def main() -> None:
    progress.notes.setLevel("WARNING")
    told("gerund --help", [ended("--help") for _ in range(TIMES)])
    paths = clips_folder()
    with tempfile.TemporaryDirectory() as folder:
        chosen = [Clip(path=path, label=path.parent.name) for path in paths[::10]]
        run = sys.argv[1] if len(sys.argv) > 1 else str(gerund.train(chosen, out=Path(folder) / "run").run)
        first, *rest = new_clips(paths[1 : TIMES + 2], Path(folder))
        ended("predict", run, first)  # compiles for this machine
        told("one new clip, cold process to printed label", [ended("predict", run, clip) for clip in rest])
        told("gerund serve, until it is ready", [ready(run) for _ in range(TIMES)])


if __name__ == "__main__":
    main()
