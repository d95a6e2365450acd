"""A model that has learned nothing, a server around it in this process, and one in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from gerund.backbones import load_backbone
from gerund.heads import build_head
from gerund.recognizer import Recognizer
from gerund.sampling import Sampling

LABELS = ["dancing", "juggling", "naïve waving"]


def untrained(cache: Path) -> Recognizer:
    torch.manual_seed(0)
    backbone = load_backbone("pixels:8")
    sampling = Sampling(num_frames=4)
    head = build_head(
        "mean", token_dim=sampling.token_dim(backbone.feature_dim), num_classes=len(LABELS), num_frames=4, options={}
    )
    return Recognizer(
        labels=LABELS, backbone=backbone, fps=8.0, sampling=sampling, head=head, head_name="mean", head_options={}, cache=cache
    )


class Server:
    """The application in this process, its service, and a client."""

    def __init__(self, client, service, app) -> None:
        self.client, self.service, self.app = client, service, app

    def stop_workers(self) -> list[int]:
        """Freeze the decoders, so that whatever is sent next stays in their hands; returns their process ids."""
        found = [worker.process.pid for worker in self.service.analyst.pool.workers]
        for pid in found:
            os.kill(pid, signal.SIGSTOP)
        return found

    def job(self, job_id: str) -> dict:
        return self.client.get(f"/v1/jobs/{job_id}").json()

    def wait_for(self, job_id: str, *states: str) -> dict:
        return until(lambda: job if (job := self.job(job_id))["state"] in states else None)

    @property
    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.service.scratch.iterdir())


def until(look: Callable[[], object], seconds: float = 60.0):
    """What `look` gives as soon as it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"nothing came within {seconds:g} s")


class Process:
    """`gerund serve` as a user starts it."""

    def __init__(self, model: Path, temporary: Path, *options: str, environment: dict[str, str] | None = None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.temporary = temporary
        temporary.mkdir(exist_ok=True)
        self.log = temporary.parent / f"log-{self.port}.txt"
        code = "from gerund.cli import main; main()"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, "serve", str(model), "--port", str(self.port), *options],
                env=os.environ | {"TMPDIR": str(temporary)} | (environment or {}),
                stdout=log,
                stderr=log,
            )

    def wait(self) -> None:
        import httpx

        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return httpx.get(f"{self.url}/readyz").status_code == 200
            except httpx.TransportError:
                return False

        until(ready)

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)
