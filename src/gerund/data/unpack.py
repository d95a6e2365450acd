"""Unpack tar, zip and RAR archives: nothing lands outside, nothing links out, and all of it is there or none of it."""

from __future__ import annotations

import contextlib
import lzma
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath
from typing import IO

from gerund.core.errors import DataError

UNRAR: dict[str, tuple[list[str], list[str]]] = {
    "bsdtar": (["bsdtar", "-tf", "{archive}"], ["bsdtar", "-xf", "{archive}", "-C", "{folder}"]),
    "unar": (["lsar", "{archive}"], ["unar", "-quiet", "-no-directory", "-output-directory", "{folder}", "{archive}"]),
    "unrar": (["unrar", "lb", "-p-", "{archive}"], ["unrar", "x", "-p-", "-y", "-idq", "{archive}", "{folder}/"]),
    "7z": (["7z", "l", "-ba", "-slt", "{archive}"], ["7z", "x", "-y", "-o{folder}", "{archive}"]),
}
"""Programs that read RAR, in the order they are tried: how they list an archive and how they unpack it."""


GROWTH, ALLOWANCE = 100, 2**30
"""How many times as large as its archive what is in it may be, beyond so many bytes. Videos and frames hardly shrink in an archive."""
LOOK_AGAIN = 0.5
"""Seconds between two looks at what a program has unpacked."""


class NoProgramError(DataError):
    """A RAR archive where no program that reads RAR is installed."""


BROKEN_ARCHIVE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError)
"""What a damaged or encrypted archive trips in the standard library."""


def unpack(archive: Path, folder: Path, *, nested: bool = False) -> None:
    """Make `folder` from an archive; `nested` unpacks the archives in it too.

    Everything goes to a hidden folder beside it, which is renamed at the end. An archive that holds `folder` by name gives
    that one. Raises DataError when the archive is damaged, would write outside, holds links or devices, or far more than its own size
    (GROWTH).
    """
    temporary = folder.with_name(f".{folder.name}.unpacking")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        unpack_into(archive, temporary)
        for inner in sorted(temporary.iterdir()) if nested else ():
            if inner.is_file():
                unpack_into(inner, temporary)
                inner.unlink()
        named = temporary / folder.name
        (named if named.is_dir() else temporary).rename(folder)
    except OSError as error:
        raise DataError(f"{archive}: cannot be unpacked to {folder} ({error.strerror or error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def unpack_into(archive: Path, folder: Path) -> None:
    with archive.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"Rar!"):
        unpack_rar(archive, folder)
        refuse_links(archive, folder)
        return
    room = room_for(archive)
    members = zip_members if head.startswith(b"PK") else tar_members
    try:
        for name, opened in members(archive):
            room -= write_member(archive, folder, name, opened, room)
    except BROKEN_ARCHIVE as error:
        raise DataError(f"{archive}: not a complete tar, zip or RAR archive ({type(error).__name__}: {error})") from None


Opened = Callable[[], IO[bytes] | None]


def zip_members(archive: Path) -> Iterator[tuple[str, Opened]]:
    """Name of every member, and how to open it: None for a folder."""
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"{archive}: {info.filename!r} is a link or a device; nothing is unpacked")
            yield info.filename, lambda info=info: None if info.is_dir() else file.open(info)  # type: ignore[misc]


def tar_members(archive: Path) -> Iterator[tuple[str, Opened]]:
    with tarfile.open(archive) as file:
        for member in file:
            if not (member.isreg() or member.isdir()):
                raise DataError(f"{archive}: {member.name!r} is a link or a device; nothing is unpacked")
            yield member.name, lambda member=member: file.extractfile(member) if member.isreg() else None  # type: ignore[misc]
        while file.fileobj is not None and file.fileobj.read(1 << 20):
            pass  # a compressed tar proves its checksum only at its very end


def room_for(archive: Path) -> int:
    """Bytes that may come out of an archive."""
    return ALLOWANCE + GROWTH * archive.stat().st_size


def too_much(archive: Path) -> DataError:
    return DataError(
        f"{archive}: more than {room_for(archive):,} bytes are in it, {GROWTH} times its own size; nothing is unpacked"
    )


def write_member(archive: Path, folder: Path, name: str, opened: Opened, room: int) -> int:
    """One file or folder of an archive; its size. Modes, owners and times are not taken over. Raises DataError beyond `room` bytes."""
    target = folder.joinpath(*safe_parts(archive, name))
    source = opened()
    if source is None:
        target.mkdir(parents=True, exist_ok=True)
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with source, target.open("xb") as file:
        while chunk := source.read(1 << 20):
            size += len(chunk)
            if size > room:
                raise too_much(archive)
            file.write(chunk)
    return size


def safe_parts(archive: Path, name: str) -> tuple[str, ...]:
    """The parts of a member's name. Raises DataError for one that leads out of the folder, on this system or another."""
    path = PureWindowsPath(name)  # takes both kinds of slashes for separators, and knows drives
    if path.anchor or ".." in path.parts or "\0" in name:
        raise DataError(f"{archive}: {name!r} would be written outside its folder; nothing is unpacked")
    return path.parts


def unpack_rar(archive: Path, folder: Path) -> None:
    """Unpack with the first installed program that can. Raises DataError when there is none, or all fail."""
    failures = []
    for program, (listing, unpacking) in UNRAR.items():
        if not all(shutil.which(command[0]) for command in (listing, unpacking)):
            continue
        listed = called(listing, archive, folder)
        for name in names_in(program, listed.stdout):
            safe_parts(archive, name)
        done = called(unpacking, archive, folder) if listed.returncode == 0 else listed
        if done.returncode == 0:
            return
        complaint = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        failures.append(f"{program}: {complaint}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    if failures:
        raise DataError(f"{archive}: cannot be unpacked ({'; '.join(failures)})")
    raise NoProgramError(
        f"{archive}: a RAR archive, and none of {', '.join(UNRAR)} is installed; install one of them "
        "(on Debian and Ubuntu: apt install libarchive-tools) and run the same command again"
    )


def called(command: list[str], archive: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program on an archive. Raises DataError, and ends the program, when it makes too much of it."""
    words = [word.format(archive=archive.absolute(), folder=folder.absolute()) for word in command]
    pipe, before = subprocess.PIPE, folder_bytes(folder)
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, encoding="utf-8", errors="replace"
    ) as process:
        try:
            said = None
            while said is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    said = process.communicate(timeout=LOOK_AGAIN)
                if folder_bytes(folder) - before > room_for(archive):
                    raise too_much(archive)
        finally:
            process.kill()
    return subprocess.CompletedProcess(words, process.returncode, *said)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder, which a program may be filling."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                total += (Path(place) / name).lstat().st_size
    return total


def names_in(program: str, listing: str) -> list[str]:
    """Member names in what a program lists."""
    lines = listing.splitlines()
    if program == "7z":
        return [line.removeprefix("Path = ") for line in lines if line.startswith("Path = ")]
    return lines[1:] if program == "unar" else lines


def refuse_links(archive: Path, folder: Path) -> None:
    """Raise DataError when something else than files and folders of its own came out of an archive."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            status = (Path(place) / name).lstat()
            own_file = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
            if not (own_file or stat.S_ISDIR(status.st_mode)):
                raise DataError(f"{archive}: {name!r} is a link or a device; nothing is unpacked")
