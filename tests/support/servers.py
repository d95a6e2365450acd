"""A model that has learned nothing, a server around it in this process, and one in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gerund.backbones import load_backbone
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.features.tokens import Sampling
from gerund.recognition.recognizer import Recognizer
from support.heads import drawn_head

LABELS = ["dancing", "juggling", "naïve waving"]


def untrained(cache: Path) -> Recognizer:
    backbone = load_backbone("pixels:8")
    sampling = Sampling(num_frames=4)
    head = drawn_head(sampling.token_dim(backbone.feature_dim), len(LABELS), 4)
    return Recognizer(
        labels=LABELS,
        extractor=Extractor(backbone, fps=8.0, cache=FeatureCache(cache)),
        sampling=sampling,
        head=head,
        head_name="prototype",
        head_options={},
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
        """What lies in the folder of uploads, or in one that it was before."""
        return sorted(path.name for folder in self.service.scratch.used for path in folder.glob("[!.]*"))


class Listening:
    """The application on a socket, in a thread of this process."""

    def __init__(self, service, app) -> None:
        import uvicorn

        from gerund.serving.server import configured, listening

        self.service, self.app = service, app
        self.listener = listening("127.0.0.1", 0)
        self.address = self.listener.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"
        self.server = uvicorn.Server(configured(app))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]}, daemon=True)
        self.thread.start()
        until(lambda: self.server.started)

    def connect(self, data: bytes = b"") -> socket.socket:
        made = socket.create_connection(self.address)
        made.sendall(data)
        return made

    def end(self) -> None:
        self.server.should_exit = True
        self.thread.join(60)


def until(look: Callable[[], object], seconds: float = 60.0):
    """What `look` gives as soon as it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"nothing came within {seconds:g} s")


def upload_scope() -> dict:
    """What a server hands to the application for a POST whose body is still to come."""
    return {
        "type": "http",
        "method": "POST",
        "path": "/v1/predict",
        "raw_path": b"/v1/predict",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1")],
        "http_version": "1.1",
        "scheme": "http",
        "client": None,
        "server": ("127.0.0.1", 80),
        "asgi": {"version": "3.0"},
    }


def body_then_silence(body: bytes, gone: threading.Event):
    """What an application receives from a client that sends a body at once and goes away when `gone` is set."""
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict:
        if parts:
            return parts.pop()
        while not gone.is_set():
            await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    return receive


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
        code = "from gerund.cli.app import main; main()"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, "serve", str(model), "--port", str(self.port), *options],
                env=os.environ | {"TMPDIR": str(temporary)} | (environment or {}),
                stdout=log,
                stderr=log,
            )

    def wait(self) -> None:
        import httpx

        def listens() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            with socket.socket() as asking:
                return asking.connect_ex(("127.0.0.1", self.port)) == 0

        until(listens, 240)
        until(lambda: httpx.get(f"{self.url}/readyz").status_code == 200)

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)
