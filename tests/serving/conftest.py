"""A small model that has learned nothing, a server around it in this process, and one in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gerund import video, workers
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


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serving") / "run" / "best"
    untrained(folder.parent / "cache").save(folder)
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds in which a bright square walks."""
    path = tmp_path_factory.mktemp("clips") / "a walk.mp4"
    pictures = np.zeros((75, 48, 64, 3), np.uint8)
    for index, picture in enumerate(pictures):
        picture[10:30, index // 2 : index // 2 + 20] = 255 - index
    video.write(path, pictures, fps=25)
    return path


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


@pytest.fixture
def started(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Starts a server in this process: limits by name, and `token`, `queue`, `keep`, `workers`."""
    pytest.importorskip("fastapi")
    from contextlib import ExitStack

    from fastapi.testclient import TestClient

    from gerund.serving.app import build
    from gerund.serving.limits import Limits
    from gerund.serving.service import Service

    monkeypatch.setattr(workers, "ALIVE_EVERY", 0.2)
    with ExitStack() as stack:

        def start(*, token=None, queue=8, keep=60.0, workers=1, loopback=True, **limits) -> Server:
            scratch = tmp_path / f"scratch{len(list(tmp_path.iterdir()))}"
            scratch.mkdir()
            service = Service(
                Recognizer.load(model), scratch, limits=replace(Limits(), **limits), workers=workers, queue=queue, keep=keep
            )
            hosts = frozenset({"127.0.0.1", "localhost"}) if loopback else None
            app = build(service, model="run", token=token, hosts=hosts)
            client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
            return Server(stack.enter_context(client), service, app)

        yield start


@pytest.fixture
def server(started: Callable[..., Server]) -> Server:
    return started()


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


@pytest.fixture
def process(model: Path, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts `gerund serve` processes with a temporary folder of their own."""
    pytest.importorskip("uvicorn")
    running: list[Process] = []

    def start(*options: str, environment: dict[str, str] | None = None) -> Process:
        running.append(Process(model, tmp_path / "temporary", *options, environment=environment))
        running[-1].wait()
        return running[-1]

    yield start
    for each in running:
        if each.process.poll() is None:
            each.end(signal.SIGKILL)
