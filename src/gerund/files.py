"""Files written whole or not at all: under another name in the same folder, which is then replaced by the right one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gerund.errors import DataError

LONGEST_SUFFIX = 16
"""Letters that count as a suffix; a longer one is part of a name."""


def beside(path: Path, mark: str | None = None) -> Path:
    """A hidden name in the folder of `path`, with its suffix, for what shall become `path`: `.<digest of the name>.<mark><suffix>`.

    It is short whatever `path` is called, so it fits wherever `path` does. Without a `mark` it is this process's and thread's own.
    """
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]
    suffix = path.suffix if len(path.suffix) <= LONGEST_SUFFIX else ""
    return path.with_name(f".{digest}.{mark or f'{os.getpid()}-{threading.get_ident()}'}{suffix}")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """The place to write a file to that is called `path` once the block has ended well; else nothing is left of it.

    A link is followed. Raises OSError before anything is written when `path` cannot be a file: a folder, a name that is too long.
    """
    target = Path(os.path.realpath(path))
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(target.stat().st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = beside(target)
    try:
        yield temporary
        temporary.replace(target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises OSError."""
    with whole(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, line ends as they are, whole or not at all. Raises DataError when that is not possible."""
    try:
        write_bytes(path, text.encode())
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None
