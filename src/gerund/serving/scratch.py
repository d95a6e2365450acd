"""Where uploads and their features lie while a server runs: one folder, gone with it, or with the next start after a kill -9."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

SCRATCH_PREFIX = "gerund-serve-"
LOCK = ".lock"
TRIES = 100


class Scratch:
    """A new folder that only this user can read; those of servers that are no more are removed first. Use as a context manager.

    Cleaners of temporary files may take it while the server runs: `keep`, called now and then, shows them that it is in use, and makes
    it anew when it is gone.
    """

    def __init__(self) -> None:
        remove_leftovers()
        self.used: list[Path] = []
        self.take()

    def take(self) -> None:
        """Make the folder, and lock it for as long as this process lives. Raises OSError when there is no place for it."""
        tries = 0
        while True:
            self.folder = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX))
            self.used.append(self.folder)
            try:
                return self.hold()
            except OSError:
                tries += 1
                if tries == TRIES:
                    raise

    def hold(self) -> None:
        """Lock the folder. Raises OSError when another start took it for a leftover in the instant before.

        The lock makes a folder that is gone anew, without the rights it had.
        """
        self.lock = FileLock(self.folder / LOCK)
        self.lock.acquire()
        self.folder.chmod(0o700)
        if not (is_own(self.folder) and (self.folder / LOCK).exists()):
            raise FileNotFoundError(errno.ENOENT, "another process removed it", str(self.folder))

    def keep(self) -> None:
        """Make sure of the folder. Raises OSError when it is gone and there is no place for another."""
        try:
            os.utime(self.folder / LOCK)
            os.utime(self.folder)
        except FileNotFoundError:
            self.lock.release()
            if self.folder.is_dir():
                self.hold()
            else:
                self.take()

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        for folder in self.used:
            shutil.rmtree(folder, ignore_errors=True)
        self.lock.release()


def remove_leftovers() -> None:
    """Remove the folders of this user's servers that ended without doing so themselves."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH_PREFIX}*"):
        if not is_own(folder):
            continue
        lock = FileLock(folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except (Timeout, OSError):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()  # before, its owner could take it for its own, in a folder that is about to go
        if os.name == "nt":  # which keeps a file that is open
            shutil.rmtree(folder, ignore_errors=True)


def is_own(folder: Path) -> bool:
    """Whether this is a folder of this user, and no link to one."""
    try:
        status = folder.lstat()
    except FileNotFoundError:  # another start was quicker
        return False
    return stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())
