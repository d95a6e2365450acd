"""What lies below a folder: its videos, and what is left out and why. Everything that reads folders asks here."""

from __future__ import annotations

import os
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gerund.core.progress import note
from gerund.video.formats import CAMERA_COPIES, IMAGE_SUFFIXES, VIDEO_SUFFIXES, holds_frames, is_animated, is_hidden

MOST_NAMED = 4
"""Suffixes or paths of a kind that a listing names."""
THUMBNAIL_FOLDERS = frozenset(
    "thumb thumbs thumbnail thumbnails cover covers poster posters preview previews screenshot screenshots".split()
)
"""A folder of images called like this holds no frames of a video."""


class Reason(NamedTuple):
    """Why something is left out, said of one and of several."""

    one: str
    many: str


OTHER_SUFFIX = Reason("file with another suffix", "files with other suffixes")
COPY = Reason("small copy made by the camera", "small copies made by the camera")
HIDDEN_FILE = Reason("hidden file or folder", "hidden files and folders")
NOWHERE = Reason("link that leads nowhere", "links that lead nowhere")
AGAIN = Reason("link to a folder that is listed anyway", "links to folders that are listed anyway")
NOT_A_FILE = Reason("pipe, socket or device", "pipes, sockets and devices")
CLOSED = Reason("folder that cannot be opened", "folders that cannot be opened")
THUMBNAIL_FOLDER = Reason("folder of thumbnails", "folders of thumbnails")
BY_SUFFIX = (OTHER_SUFFIX, COPY)
"""Of these the suffixes are told, of the others the first paths."""


@dataclass
class Listing:
    """The videos below `folder` in order of their names: files, and folders of frame images, which are in `image_folders` too.

    `folders` are those that were looked into; `left` holds what is left out, by reason.
    """

    folder: Path
    videos: list[Path] = field(default_factory=list)
    image_folders: set[Path] = field(default_factory=set)
    folders: list[Path] = field(default_factory=list)
    left: dict[Reason, Left] = field(default_factory=lambda: defaultdict(Left))

    def leave(self, reason: Reason, path: Path) -> None:
        self.left[reason].add(path)

    def keep(self, wanted: Iterable[Path], reason: Reason) -> None:
        """Leave out the videos that are not wanted."""
        kept = set(wanted)
        for path in self.videos:
            if path not in kept:
                self.leave(reason, path)
        self.videos = [path for path in self.videos if path in kept]

    def sentence(self) -> str:
        """What was taken, what was left out and why."""
        images = len(self.image_folders.intersection(self.videos))
        shown = f" ({images} of them {'a folder' if images == 1 else 'folders'} of images)" if images else ""
        left = self.left_out()
        return f"{self.folder}: {len(self.videos)} video{'s' * (len(self.videos) != 1)}{shown}{'; ' * bool(left)}{left}."

    def left_out(self) -> str:
        """What was left out and why; empty where nothing was."""
        left = [each.sentence(reason, self.folder) for reason, each in self.left.items()]
        return f"left out: {', '.join(left)}" if left else ""

    def tell(self) -> None:
        note(self.sentence())


@dataclass
class Left:
    """How many paths are left out for one reason, with their suffixes, and the first of them."""

    suffixes: Counter[str] = field(default_factory=Counter)
    first: list[Path] = field(default_factory=list)

    def add(self, path: Path) -> None:
        self.suffixes[path.suffix] += 1
        if len(self.first) < MOST_NAMED:
            self.first.append(path)

    def sentence(self, reason: Reason, folder: Path) -> str:
        count = self.suffixes.total()
        if reason in BY_SUFFIX:
            named = [f"{suffix or 'none'}{f' {number}' * (number > 1)}" for suffix, number in self.suffixes.most_common()]
        else:
            named = [str(path.relative_to(folder)) for path in self.first] + [""] * (count - len(self.first))
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        return f"{count} {reason.one if count == 1 else reason.many} ({', '.join(named[:MOST_NAMED])}{more})"


def list_videos(folder: Path) -> Listing:
    """The videos below a folder. Links to folders are followed, but every folder is listed once: where it really lies, if that is below
    `folder`, else where the first link to it is. So a link that leads back ends there.
    """
    listing = Listing(folder)
    seen: set[str] = set()
    folders = deque([(folder, os.path.realpath(folder))])
    links: deque[tuple[Path, str]] = deque()
    while folders or links:
        path, real = (folders or links).popleft()
        if real in seen:
            listing.leave(AGAIN, path)
            continue
        seen.add(real)
        try:
            with os.scandir(path) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError:
            listing.leave(CLOSED, path)
            continue
        inner = look_into(path, entries, listing)
        folders += [(path / entry.name, os.path.join(real, entry.name)) for entry in inner if not is_link(entry)]  # noqa: PTH118
        targets = {path / entry.name: os.path.realpath(entry.path) for entry in inner if is_link(entry)}
        for link, target in targets.items():
            if Path(real).is_relative_to(target):
                listing.leave(AGAIN, link)
            else:
                links.append((link, target))
    listing.videos.sort()
    listing.folders.sort()
    return listing


def look_into(path: Path, entries: list[os.DirEntry[str]], listing: Listing) -> list[os.DirEntry[str]]:
    """Put what lies in one folder into the listing; returns the folders in it."""
    framed = path != listing.folder and holds_frames(entries)
    if not framed:
        listing.folders.append(path)
    elif path.name.lower() in THUMBNAIL_FOLDERS:
        listing.leave(THUMBNAIL_FOLDER, path)
        return []
    else:
        listing.videos.append(path)
        listing.image_folders.add(path)
    inner = []
    for entry in entries:
        suffix = Path(entry.name).suffix.lower()
        if is_hidden(entry.name):
            listing.leave(HIDDEN_FILE, path / entry.name)
        elif (problem := problem_of(entry)) is not None:
            listing.leave(problem, path / entry.name)
        elif entry.is_dir():
            inner.append(entry)
        elif suffix in VIDEO_SUFFIXES or is_animated(path / entry.name):
            listing.videos.append(path / entry.name)
        elif not (framed and suffix in IMAGE_SUFFIXES):
            listing.leave(COPY if suffix in CAMERA_COPIES else OTHER_SUFFIX, path / entry.name)
    return inner


def problem_of(entry: os.DirEntry[str]) -> Reason | None:
    """Why something is neither a file nor a folder; None if it is."""
    try:
        if entry.is_dir() or entry.is_file():
            return None
        return NOT_A_FILE if Path(entry.path).exists() else NOWHERE
    except OSError:  # a link to itself
        return NOWHERE


def is_link(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() or (hasattr(entry, "is_junction") and entry.is_junction())
