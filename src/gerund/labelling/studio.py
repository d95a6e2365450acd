"""`gerund studio`: finds the videos, opens the project, and runs the page in which one labels while the model learns."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gerund.core import options, progress
from gerund.core.errors import DataError
from gerund.core.files import readable
from gerund.core.places import as_path
from gerund.core.progress import note
from gerund.core.recipes import Recipe
from gerund.data.annotations import read_annotations
from gerund.labelling.clips import say_of_clips
from gerund.labelling.imports import import_annotations
from gerund.labelling.project import PROJECT_FILE, Project

if TYPE_CHECKING:
    from gerund.labelling.desk import Studio

BROWSER_SECONDS = 0.5
"""After which the server answers, at the latest."""


def studio(
    folder: options.VideoFolder,
    *,
    project: options.ProjectFolder | None = None,
    clips: options.OfClips | None = None,
    backbone: options.BackboneName = options.USUAL.backbone,
    host: options.Host = "127.0.0.1",
    port: options.Port = 0,
    token: options.Token | None = None,
    browser: options.OpenBrowser = True,
    device: options.Device = options.USUAL.device,
    cache: options.CacheFolder | None = None,
) -> None:
    """Label videos in a browser while a model learns from the labels, until interrupted.

    Each argument is explained in `gerund.core.options`, and by `gerund studio --help`.
    """
    import uvicorn

    from gerund.backbones import load_backbone
    from gerund.features.cache import FeatureCache
    from gerund.features.extractor import Extractor
    from gerund.labelling.app import build_studio
    from gerund.labelling.desk import Studio
    from gerund.serving.security import is_loopback
    from gerund.serving.server import TOKEN_VARIABLE, checked_token, configured, listening, url_host

    folder = as_path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder; give the one that your videos are in")
    secret = checked_token(token or os.environ.pop(TOKEN_VARIABLE, None), host, needed=not is_loopback(host))
    store = FeatureCache(cache)
    extractor = Extractor(load_backbone(backbone), fps=Recipe().fps, cache=store, device=device, apart=True)
    with listening(host, port) as listener:
        address = f"http://{url_host(host)}:{listener.getsockname()[1]}/"
        opened = open_project(folder, as_path(project), address)
        if clips is not None:
            say_of_clips(opened, clips)
        desk = Studio(opened, folder, extractor, store.folder / "studio")
        if opened.foreign_labels is not None:
            import_annotations(desk.library, read_annotations(opened.foreign_labels), opened.foreign_labels)
        hosts = frozenset({"localhost", "127.0.0.1", "::1", host}) if is_loopback(host) else None
        app = build_studio(desk, token=secret, hosts=hosts)
        note(f"Project in {opened.folder}")
        note(f"Studio at {address}  (Ctrl-C ends it; every label is on the disk as soon as it is shown)")
        run_studio(uvicorn.Server(configured(app)), listener, desk, address if browser else "")


def run_studio(server: Any, listener: Any, desk: Studio, address: str) -> None:
    """Serve until interrupted; what the background says of its progress stands in the page, not on the terminal."""
    level = progress.notes.level
    progress.notes.setLevel(max(level, logging.WARNING))
    handle_exit = server.handle_exit

    def end(*arguments: Any) -> None:
        desk.bell.is_over = True
        handle_exit(*arguments)

    server.handle_exit = end
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.SIG_IGN)  # the server handles them, and raises them again when it is done
    if address:
        opening = threading.Timer(BROWSER_SECONDS, webbrowser.open, [address])
        opening.daemon = True
        opening.start()
    try:
        server.run(sockets=[listener])
    finally:
        progress.notes.setLevel(level)


def open_project(folder: Path, chosen: Path | None, address: str) -> Project:
    """The project in the folder that was chosen, in that of the videos, or, where nothing can be written there, in the home folder."""
    place = chosen or folder
    if chosen is None and not (folder / PROJECT_FILE).exists() and not os.access(folder, os.W_OK):
        digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:8]
        place = Path.home() / "gerund" / f"{readable(folder.resolve().name) or 'videos'}-{digest}"
        note(f"{folder}: cannot be written, so the project is in {place}")
    try:
        return Project(place, address=address)
    except OSError as error:
        raise DataError(f"{place}: cannot be written ({error.strerror}); choose another folder with --project") from None
