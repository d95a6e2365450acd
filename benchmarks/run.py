"""All speed figures of docs/benchmarks.md, one after the other; accuracy has its own command (benchmarks/heads.py)."""

import os
import platform
import subprocess
import sys
from pathlib import Path

SCRIPTS = ("extraction", "loop", "long_video", "memory", "epoch", "start", "watch", "export")

if __name__ == "__main__":
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}",
        flush=True,
    )
    for name in SCRIPTS:
        print(f"\n== {name}", flush=True)
        subprocess.run([sys.executable, str(Path(__file__).with_name(f"{name}.py"))], check=True)
