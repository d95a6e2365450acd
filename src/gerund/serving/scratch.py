"""Where uploads and their features lie while a server runs: one folder, gone with it, or with the next start after a kill -9."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "gerund-serve-"
LOCK = ".lock"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder that only this user can read; those of servers that are no more are removed first."""
    remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = FileLock(folder / LOCK)  # held by the system for as long as this process lives
    lock.acquire()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def remove_leftovers() -> None:
    """Remove the folders of this user's servers that ended without doing so themselves."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if folder.is_symlink() or not folder.is_dir() or (hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()):
            continue
        lock = FileLock(folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except (Timeout, OSError):
            continue
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)
