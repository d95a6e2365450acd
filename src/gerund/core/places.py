"""Where things are kept on this machine, and places as people name them."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import overload

from gerund.core.errors import DataError, UsageError

AnyPath = str | Path
"""A place as people name it: what is public takes texts too."""


def default_cache() -> Path:
    """Features, weights and compiled models: $GERUND_CACHE, or `.cache/gerund` in the home folder."""
    return Path(os.environ.get("GERUND_CACHE") or Path.home() / ".cache" / "gerund")


@overload
def as_path(place: None) -> None: ...
@overload
def as_path(place: AnyPath) -> Path: ...
def as_path(place: AnyPath | None) -> Path | None:
    """A place as everything inside gerund knows it; public functions call this at their door. Raises UsageError for a list of places."""
    if isinstance(place, Iterable) and not isinstance(place, str | bytes):
        raise UsageError(f"{place}: one path is needed here; where several are taken, give them one by one, as in stats(*paths)")
    return None if place is None else Path(place)


def files_for(option: str, target: Path, suffixes: Sequence[str], names: Sequence[str]) -> list[Path]:
    """The file for each of some videos, which are called so: `target` itself for one; `target` as a folder, with one file for each, else.

    Folders are made. Raises UsageError for another suffix, or one file for several videos; DataError for a folder that cannot be made.
    """
    suffix = target.suffix.lower()
    if suffix in suffixes and not target.is_dir():
        if len(names) > 1:
            raise UsageError(
                f"{option} {target}: one file for {len(names)} videos; give a folder, and each gets a file of its own"
            )
        folder, found = target.parent, [target]
    elif suffix and not target.is_dir():
        raise UsageError(f"{option} {target}: a file ending in {' or '.join(suffixes)}, or a folder, is needed")
    else:
        folder, found = target, free_names(target, suffixes[0], names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{option} {target}: the folder cannot be made ({error.strerror})") from None
    if not os.access(folder, os.W_OK):
        raise DataError(f"{option} {target}: nothing can be written to {folder}")
    return found


def free_names(folder: Path, suffix: str, names: Sequence[str]) -> list[Path]:
    """A file for each name; -2, -3 ... follow where two are the same, but for capital letters."""
    taken: set[str] = set()
    found = []
    for name in names:
        candidates = (name, *(f"{name}-{number}" for number in range(2, len(names) + 1)))
        free = next(each for each in candidates if each.casefold() not in taken)
        taken.add(free.casefold())
        found.append(folder / f"{free}{suffix}")
    return found


def refuse_inputs(option: str, outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise UsageError where something would be written over what it is made of."""
    given = {os.path.realpath(path) for path in inputs}
    own = next((path for path in outputs if os.path.realpath(path) in given), None)
    if own is not None:
        raise UsageError(f"{option} {own}: is the video itself; choose another name or folder")
