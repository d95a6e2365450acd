"""What every test of the server may ask for: a model, a clip, a server in this process, a server of its own."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gerund import video
from gerund.core import workers
from gerund.recognition.recognizer import Recognizer
from support.servers import Listening, Process, Server, untrained

if TYPE_CHECKING:
    from gerund.serving.security import Guard
    from gerund.serving.service import Service


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


@pytest.fixture
def assembled(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Service, Guard]]]:
    """Makes a service and the application around it: limits by name, and `token`, `queue`, `keep`, `workers`."""
    pytest.importorskip("fastapi")
    from gerund.serving.app import build
    from gerund.serving.limits import Limits
    from gerund.serving.scratch import Scratch
    from gerund.serving.service import Service

    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(workers, "ALIVE_EVERY", 0.2)
    monkeypatch.setattr("gerund.serving.security.PAUSE", 0.01)

    def assemble(*, token=None, queue=8, keep=60.0, workers=1, loopback=True, **limits) -> tuple[Service, Guard]:
        service = Service(
            Recognizer.load(model),
            stack.enter_context(Scratch()),
            limits=replace(Limits(), **limits),
            workers=workers,
            queue=queue,
            keep=keep,
        )
        hosts = frozenset({"127.0.0.1", "localhost"}) if loopback else None
        return service, build(service, model="run", token=token, hosts=hosts)

    with ExitStack() as stack:
        yield assemble


@pytest.fixture
def started(assembled: Callable[..., tuple[Service, Guard]]) -> Iterator[Callable[..., Server]]:
    """Starts a server in this process, without a socket."""
    from fastapi.testclient import TestClient

    with ExitStack() as stack:

        def start(**options) -> Server:
            service, app = assembled(**options)
            client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
            return Server(stack.enter_context(client), service, app)

        yield start


@pytest.fixture
def listening(assembled: Callable[..., tuple[Service, Guard]]) -> Iterator[Callable[..., Listening]]:
    """Starts a server in a thread of this process, on a socket, as `gerund serve` runs it."""
    running: list[Listening] = []

    def start(**options) -> Listening:
        running.append(Listening(*assembled(**options)))
        return running[-1]

    yield start
    for each in running:
        each.end()


@pytest.fixture
def server(started: Callable[..., Server]) -> Server:
    return started()


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
