"""`gerund serve` in a process of its own, for benchmarks: started, asked and measured from outside. Linux only."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from memory import proportional, tree

PORT = 8765


class Server:
    """Use as a context manager; `ready` is the seconds from start to the first answer of /readyz."""

    def __init__(self, model: Path, *options: str) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="gerund-bench-serve-")
        self.url = f"http://127.0.0.1:{PORT}"
        started = time.perf_counter()
        code = "from gerund.cli.app import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "serve", str(model), "--port", str(PORT), "--quiet", *options],
            env={**os.environ, "TMPDIR": self.folder.name},
        )
        while True:
            try:
                httpx.get(f"{self.url}/readyz").raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.02)
        self.ready = time.perf_counter() - started

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()
        assert not self.scratch, f"left behind: {self.scratch}"
        self.folder.cleanup()

    @property
    def scratch(self) -> list[Path]:
        """What lies in the server's folders: uploads, features, leftovers."""
        return [path for path in Path(self.folder.name).rglob("*") if path.is_file() and path.name != ".lock"]

    @property
    def megabytes(self) -> float:
        """Memory of the server and its decoders, shared pages counted by share."""
        return sum(map(proportional, tree(self.process.pid))) / 2**20
