"""Files and folders written whole or not at all: under another name in the same folder, which is then replaced by the right one.

A folder cannot replace another in one step, so the old one is put aside first, where `find` finds it should the process die just then.
What dead processes leave behind is removed by the next one that begins something there (`tidy`).

Old disks hold names whose bytes are no UTF-8; Python keeps such a byte as a lone surrogate, which UTF-8 cannot hold.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import os
import platform
import re
import shutil
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from gerund.core.errors import DataError, GerundError, UsageError
from gerund.core.printing import escaped, json_text

LONGEST_SUFFIX = 16
"""Letters that count as a suffix; a longer one is part of a name."""
LENIENT = "backslashreplace"
"""How texts are written that may name a file."""
HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:4]
STARTED = time.time()
LEFTOVER = re.compile(r"\.[0-9a-f]{12}\.([0-9a-f]{4})-(\d+)-\d+(\..*)?")
"""Names as `beside` gives them to a process: of which host, and its number there."""
FORGOTTEN = 86_400.0
"""Seconds after which what a process of another host, or of Windows, has not finished belongs to nobody."""
ASIDE = "old"
MOMENT = 0.01
"""Seconds, many times what a process needs between its two renames."""

Made = TypeVar("Made")


def beside(path: Path, mark: str | None = None) -> Path:
    """A hidden name in the folder of `path`, with its suffix, for what shall become `path`: `.<digest of the name>.<mark><suffix>`.

    It is short whatever `path` is called, so it fits wherever `path` does. Without a `mark` it is this process's and thread's own.
    """
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]
    suffix = path.suffix if len(path.suffix) <= LONGEST_SUFFIX else ""
    return path.with_name(f".{digest}.{mark or f'{HOST}-{os.getpid()}-{threading.get_ident()}'}{suffix}")


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


def encoded(text: str) -> bytes:
    """A text as UTF-8; bytes of names that are none become \\udc80 to \\udcff, which JSON reads back."""
    return text.encode(errors=LENIENT)


def readable(name: str) -> str:
    """The name of a file as a text: bytes that are no UTF-8 as \\x80 to \\xff."""
    return re.sub("[\udc80-\udcff]", lambda byte: escaped(byte[0]), name)


def check_name(flag: str, folder: Path) -> None:
    """Raise UsageError for a folder that shall hold arrays and whose name is no UTF-8: the reader of safetensors takes no other."""
    if encoded(str(folder)).decode() != str(folder):
        raise UsageError(
            f"{flag} {folder}: the name of this folder is not UTF-8, and arrays in it could not be read; choose another"
        )


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, line ends as they are, whole or not at all. Raises DataError when that is not possible."""
    try:
        write_bytes(path, encoded(text))
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """An empty folder beside `path`, gone after the block. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tidy(path.parent)
    folder = beside(path)
    remove(folder)
    try:
        folder.mkdir()
        yield folder
    finally:
        remove(folder)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `path` once the block has ended well; else nothing is left of it.

    Whenever the process or the machine ends, `find` finds the old one or the new one, whole. One process at a time may write `path`.
    Raises OSError.
    """
    target = Path(os.path.realpath(path))
    with scratch(target) as new:
        yield new
        flush(new)
        exchange(new, target)


def exchange(new: Path, target: Path) -> None:
    """Give a folder another's name; that one is gone then."""
    old = beside(target, ASIDE)
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    with contextlib.suppress(OSError):  # an aside that is being removed is no longer found as one
        old.rename(new)


def find(path: Path) -> Path:
    """The folder `path`, or the one put aside by a process that died before the new one had its name."""
    old = beside(Path(os.path.realpath(path)), ASIDE)
    for _ in range(2):
        if path.exists() or not old.exists():
            return path
        time.sleep(MOMENT)  # another process may be between its two renames
    return old


def steadily(path: Path, read: Callable[[Path], Made], tries: int = 100) -> Made:
    """What `read` makes of a folder, which other processes may replace meanwhile: where it fails for that, it is done again.

    `read` must notice when it has read one file of the old folder and one of the new, as checksums do.
    """
    while True:
        place = find(path)
        before = folder_state(place)
        try:
            return read(place)
        except (GerundError, OSError):
            tries -= 1
            if tries == 0 or folder_state(find(path)) == before:
                raise


def folder_state(folder: Path) -> tuple[int, ...]:
    """Numbers that are others when a folder has been replaced; none when it is not there."""
    try:
        status = folder.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def flush(path: Path) -> None:
    """Have the system put a file, or all files of a folder, on the disk now: a name must not outlive a power cut without its content."""
    for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
        with contextlib.suppress(OSError), each.open("rb") as file:  # folders, and some file systems, cannot
            os.fsync(file.fileno())


def tidy(folder: Path) -> None:
    """Remove what processes that are no more have begun in a folder, and what they put aside of things that are there whole."""
    with contextlib.suppress(OSError):
        entries = list(folder.iterdir())
        asides = {beside(entry, ASIDE).name for entry in entries}
        for entry in entries:
            if entry.name in asides:
                remove(entry.rename(beside(entry)))  # half removed, it must not be found any more
            elif is_abandoned(entry):
                remove(entry)


def is_abandoned(path: Path) -> bool:
    """Whether a name was given by `beside` to a process that has ended."""
    match = LEFTOVER.fullmatch(path.name)
    if match is None:
        return False
    try:
        changed = path.lstat().st_mtime
    except OSError:
        return False
    number = int(match[2])
    if match[1] != HOST or sys.platform == "win32":
        return changed < time.time() - FORGOTTEN
    if number == os.getpid():
        return changed < STARTED - 1  # an earlier process had this number, as they do in containers
    try:
        os.kill(number, 0)  # asks only whether it is there
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def remove(path: Path) -> None:
    """Remove a file or a folder with all in it, if it is there and that is possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a row to a CSV; the first one brings the header."""
    new = not path.exists()
    with path.open("a", encoding="utf-8", errors=LENIENT, newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    with whole(path) as temporary, temporary.open("w", encoding="utf-8", errors=LENIENT, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def write_json(path: Path, value: Any) -> None:
    write_bytes(path, (json_text(value, indent=2) + "\n").encode())
