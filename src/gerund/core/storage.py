"""Videos, manifests and features at URLs (s3://, gs://, memory:// ...), reached through fsspec."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gerund.core.errors import DataError, UsageError, needs


def url_of(path: Path) -> str | None:
    """The URL that a path stands for, or None for one on this machine: pathlib makes s3://bucket/a.mp4 s3:/bucket/a.mp4."""
    match = re.fullmatch(r"([a-z][a-z0-9+.-]+):/+(.*)", path.as_posix())
    if match is None:
        return None
    return f"{match[1]}://{'/' if match[1] == 'file' else ''}{match[2]}"


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it. Raises UsageError when its protocol needs a package, or is unknown."""
    with needs("fsspec", "urls", f"{url} is not on this machine"):
        from fsspec.core import url_to_fs

    try:
        return url_to_fs(url)
    except ImportError as error:  # fsspec says which package
        raise UsageError(
            f"{url}: a package for this kind of storage is missing ({error}); pip install it on every machine"
        ) from None
    except ValueError as error:
        raise UsageError(f"{url}: no such kind of storage ({error})") from None


def key_of(url: str) -> str:
    """A word that stands for a URL itself, whatever lies there."""
    return f"url:{hashlib.sha256(url.encode(errors='surrogateescape')).hexdigest()[:32]}"


CLIENT_ERRORS = {"ftplib": "Error", "aiohttp": "ClientError", "botocore.exceptions": "BotoCoreError", "paramiko": "SSHException"}
"""Errors of the packages that reach storage for fsspec, which are no OSErrors."""


def failures() -> tuple[type[Exception], ...]:
    """What reaching storage may raise beside OSError, with those of CLIENT_ERRORS whose package is in use."""
    used = (getattr(sys.modules[package], name) for package, name in CLIENT_ERRORS.items() if package in sys.modules)
    return (EOFError, LookupError, RuntimeError, TypeError, ValueError, *used)


@contextmanager
def reaching() -> Iterator[None]:
    """Whatever goes wrong while storage is reached leaves as OSError, or UsageError, so that an address costs itself alone."""
    try:
        yield
    except failures() as error:
        raise OSError(f"cannot be reached ({type(error).__name__}: {error})") from None


def state_of(url: str) -> str:
    """A word that changes when the file at a URL does, from its size, time or tag. Raises OSError when it is not there."""
    with reaching():
        files, path = file_system(url)
        return str(files.ukey(path))


def fetch(url: str, target: Path) -> None:
    """Copy a file from a URL. Raises OSError when it cannot be read."""
    with reaching():
        files, path = file_system(url)
        files.get_file(path, str(target))


def read_bytes(path: Path) -> bytes:
    """What a file here or at a URL holds. Raises OSError when it cannot be read."""
    url = url_of(path)
    if url is None:
        return path.read_bytes()
    try:
        with reaching():
            files, place = file_system(url)
            return bytes(files.cat_file(place))
    except FileNotFoundError:
        raise DataError(f"{url}: no such file") from None
