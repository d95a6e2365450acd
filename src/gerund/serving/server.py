"""`gerund serve`: checks what was asked for, loads the model, and runs the server until it is told to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path
from typing import Any

from gerund.core import options
from gerund.core.errors import UsageError
from gerund.core.progress import note
from gerund.core.units import bytes_bound, seconds_bound

TOKEN_VARIABLE = "GERUND_TOKEN"


def serve(
    model: options.ModelPath,
    *,
    host: options.Host = "127.0.0.1",
    port: options.Port = 8000,
    token: options.Token | None = None,
    max_upload: options.MaxUpload = "512MB",
    max_duration: options.MaxDuration = "2h",
    queue: options.QueueLength = 32,
    keep: options.Keep = "15min",
    workers: options.Workers | None = None,
    device: options.Device = options.USUAL.device,
) -> None:
    """Serve a model as a web page and an HTTP API, until interrupted.

    Each argument is explained in `gerund.core.options`, and by `gerund serve --help`.
    """
    import uvicorn

    from gerund.recognition.folder import find_model
    from gerund.recognition.recognizer import Recognizer
    from gerund.serving.app import build
    from gerund.serving.limits import Limits
    from gerund.serving.scratch import Scratch
    from gerund.serving.security import is_loopback
    from gerund.serving.service import Service

    kept_secret = os.environ.pop(TOKEN_VARIABLE, None)  # decoders inherit the environment and have no use for it
    secret = checked_token(token or kept_secret, host, needed=not is_loopback(host))
    limits = Limits(upload=bytes_bound(max_upload, "--max-upload"), duration=seconds_bound(max_duration, "--max-duration"))
    kept = seconds_bound(keep, "--keep")
    count = max(2, (os.cpu_count() or 1) // 2) if workers is None else workers
    if count < 1 or queue < 0:
        raise UsageError(f"--workers {count} --queue {queue}: at least one worker is needed, and a queue cannot be below 0")
    recognizer = Recognizer.load(model, device=device)
    with listening(host, port) as listener, Scratch() as scratch:
        service = Service(recognizer, scratch, limits=limits, workers=count, queue=queue, keep=kept)
        hosts = frozenset({"localhost", "127.0.0.1", "::1", host}) if is_loopback(host) else None
        app = build(service, model=display_name(find_model(Path(model))), token=secret, hosts=hosts)
        note(f"Serving {model} at http://{url_host(host)}:{listener.getsockname()[1]}/  (Ctrl-C ends it)")
        for ending in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ending, signal.SIG_IGN)  # the server handles them, and raises them again when it is done
        uvicorn.Server(configured(app)).run(sockets=[listener])


def configured(app: Any) -> Any:
    """How uvicorn runs the application: no line in the log, no upgrade of a connection, and no trust in a header, for a stranger."""
    import uvicorn

    from gerund.serving.app import SHUTDOWN
    from gerund.serving.connections import Connection

    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        proxy_headers=False,
        access_log=False,
        log_level="error",
        server_header=False,
        timeout_graceful_shutdown=int(SHUTDOWN),
        backlog=100,
    )


def checked_token(token: str | None, host: str, *, needed: bool) -> str | None:
    """The token to ask for. Raises UsageError for none where one is needed, and for one that could be guessed."""
    from gerund.serving.limits import LEAST_TOKEN
    from gerund.serving.security import guessable

    if not token:
        if needed:
            raise UsageError(
                f"--host {host} can be reached by others: set a token of {LEAST_TOKEN} characters or more in ${TOKEN_VARIABLE}, or with --token"
            )
        return None
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(f"the token needs {LEAST_TOKEN} or more letters, digits and signs, without spaces")
    if guessable(token):
        raise UsageError(
            'the token is easily guessed; make one with python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return token


def listening(host: str, port: int) -> socket.socket:
    """A bound socket. Raises UsageError when the address cannot be had."""
    if not 0 <= port <= 65535:  # the system would take its lowest 16 bits
        raise UsageError(f"--port {port}: a number from 0 to 65535 is needed")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with contextlib.ExitStack() as undo:
            listener = undo.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            undo.pop_all()
            return listener
    except OSError as error:
        raise UsageError(f"--host {host} --port {port}: cannot listen there ({error.strerror}); choose another port") from None


def display_name(folder: Path) -> str:
    """A model by its run's name: `best` alone says nothing."""
    folder = folder.resolve()
    return folder.parent.name if folder.name == "best" else folder.name


def url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
