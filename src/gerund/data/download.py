"""Fetch published data sets from their official addresses, whole or not at all, and go on where a connection broke."""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gerund.core import options
from gerund.core.errors import DataError, UsageError
from gerund.core.progress import note, progress
from gerund.core.results import Printable
from gerund.data.unpack import NoProgramError, unpack

RETRIES = 6
"""Tries in a row without a new byte before a download is given up."""
BACKOFF = 1.0
"""Seconds before the first new try; each further one waits twice as long, up to LONGEST_WAIT."""
LONGEST_WAIT = 60.0
SILENT_SECONDS = 60.0
PIECE_BYTES = 1 << 20
BUSY = (408, 425, 429, 500, 502, 503, 504)
"""HTTP answers that may be another one later."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A file to fetch and the folder it becomes. Size (bytes) and checksum are those that were published, None where none was.

    `nested`: an archive of archives.
    """

    url: str
    folder: str
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    nested: bool = False

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


SOURCES: dict[str, tuple[Archive, ...]] = {
    "ucf101": (
        Archive(
            url="https://www.crcv.ucf.edu/data/UCF101/UCF101TrainTestSplits-RecognitionTask.zip",
            folder="ucfTrainTestlist",
            size=113_943,
            sha256="5c0d1a53b8ed364a2ac830a73f405e51bece7d98ce1254fd19ed4a36b224bd27",  # as TensorFlow Datasets lists it
        ),
        Archive(url="https://www.crcv.ucf.edu/data/UCF101/UCF101.rar", folder="UCF-101", size=6_932_971_618),
    ),
    "ucf101-top5": (
        Archive(
            url="https://github.com/sayakpaul/Action-Recognition-in-TensorFlow/releases/download/v1.0.0/ucf101_top5.tar.gz",
            folder="ucf101_top5",
        ),
    ),
    "hmdb51": (
        Archive(
            url="https://serre-lab.clps.brown.edu/wp-content/uploads/2013/10/test_train_splits.rar",
            folder="testTrainMulti_7030_splits",
            md5="15e67781e70dcfbdce2d7dbb9b3344b5",  # as torchvision lists it
        ),
        Archive(
            url="https://serre-lab.clps.brown.edu/wp-content/uploads/2013/10/hmdb51_org.rar", folder="hmdb51_org", nested=True
        ),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Download(Printable):
    """A data set that is there: `data` is what `train` takes, `folders` what was unpacked now."""

    data: str
    folders: list[Path]

    def as_json(self) -> dict[str, Any]:
        return {"data": self.data, "folders": [str(folder) for folder in self.folders]}

    def as_text(self) -> Iterator[str]:
        yield f"Next: gerund train {self.data}"


class CutError(Exception):
    """A connection that broke or was refused for now; the next try goes on from there."""


def download(name: options.PublishedName, folder: options.DownloadFolder, *, from_: options.Archives | None = None) -> Download:
    """Fetch a published data set and unpack it; what is there already is left alone, a broken download goes on.

    Raises UsageError for an unknown name, DataError when an archive cannot be fetched, is not what was published, or does
    not unpack.

    Each argument is explained in `gerund.core.options`, and by `gerund download --help`.
    """
    if name not in SOURCES:
        raise UsageError(f"unknown data set {name!r}; these can be downloaded: {', '.join(SOURCES)}")
    folder, given = Path(folder), [Path(file) for file in from_ or ()]
    at_hand = {archive: find_at_hand(archive, given) for archive in SOURCES[name]}
    unused = set(given) - set(at_hand.values())
    if unused:
        names = ", ".join(archive.name for archive in at_hand)
        raise UsageError(f"--from {sorted(unused)[0]}: no such file, or not one of {names} by its name")
    wanted = [archive for archive in at_hand if not (folder / archive.folder).exists()]
    check_room(folder, sum((archive.size or 0) * (1 if at_hand[archive] else 2) for archive in wanted))
    folder.mkdir(parents=True, exist_ok=True)
    for archive in at_hand:
        if archive not in wanted:
            note(f"{folder / archive.folder} is there already.")
            continue
        file = at_hand[archive] or fetch_archive(archive, folder)
        try:
            if file.name == archive.name:  # one with another suffix was repacked by somebody
                verify_archive(archive, file)
            note(f"Unpacking {file.name}")
            unpack(file, folder / archive.folder, nested=archive.nested)
        except NoProgramError:
            raise
        except DataError as error:
            if file == at_hand[archive]:
                raise
            file.unlink()
            raise DataError(f"{error}; the file is removed, run the same command to fetch it again") from None
        if file != at_hand[archive]:
            file.unlink()
    return Download(data=f"{name}:{folder}", folders=[folder / archive.folder for archive in wanted])


def find_at_hand(archive: Archive, files: Sequence[Path]) -> Path | None:
    """The given file with the archive's name; another suffix (a repacked zip) is fine."""
    stem = archive.name.partition(".")[0]
    return next((file for file in files if file.name.partition(".")[0] == stem and file.is_file()), None)


def check_room(folder: Path, needed: int) -> None:
    """Raise DataError when a disk has fewer than `needed` bytes free."""
    place = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise DataError(
            f"{folder}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free; make room, or choose another disk"
        )


def fetch_archive(archive: Archive, folder: Path) -> Path:
    """The archive as a file in `folder`, from a first or a later try; it has its name only when it is complete."""
    target, part = folder / archive.name, folder / f"{archive.name}.part"
    if target.is_file():
        return target
    reached, failures = bytes_there(part), 0
    while True:
        try:
            receive_rest(archive, part)
            break
        except CutError as problem:
            failures = 0 if bytes_there(part) > reached else failures + 1
            reached = max(reached, bytes_there(part))
            if failures == RETRIES:
                raise DataError(
                    f"{archive.url}: {problem}; given up after {RETRIES} tries without progress; {way_out(archive)}"
                ) from None
            wait = min(BACKOFF * 2**failures, LONGEST_WAIT)
            note(f"{archive.name}: {problem}; next try in {wait:g} s")
            time.sleep(wait)
    tag_file(part).unlink(missing_ok=True)
    return part.rename(target)


def way_out(archive: Archive) -> str:
    return f"run the command again to go on, or fetch {archive.name} some other way and give it with --from"


def bytes_there(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def tag_file(part: Path) -> Path:
    """Holds what names the version of the file a part is of (ETag or date), so that two versions are never joined."""
    return part.with_suffix(".tag")


def receive_rest(archive: Archive, part: Path) -> None:
    """Append to a part what is missing. Raises CutError when that is not all, DataError when trying again cannot help."""
    have = bytes_there(part)
    headers = {"User-Agent": "gerund", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if tag_file(part).is_file():
            headers["If-Range"] = tag_file(part).read_text(encoding="utf-8")
    try:
        with urllib.request.urlopen(urllib.request.Request(archive.url, headers=headers), timeout=SILENT_SECONDS) as response:
            start, total = extent(response, have)
            if archive.size is not None and total is not None and total != archive.size:
                raise DataError(f"{archive.url}: the server has {total} bytes, {archive.size} were published; {way_out(archive)}")
            check_room(part.parent, (total or 0) - start)
            save(response, part, start, total, archive.name)
    except urllib.error.HTTPError as error:
        judge_refusal(archive, part, have, error)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise DataError(
                f"{archive.url}: its certificate is not accepted ({reason.verify_message}); {way_out(archive)}"
            ) from None
        raise CutError(f"no connection ({reason or type(error).__name__})") from None


def extent(response: Any, have: int) -> tuple[int, int | None]:
    """Where in the file an answer begins, and how long the whole file is, if the server says."""
    if response.status != 206:
        length = response.headers.get("Content-Length")
        return 0, int(length) if length and length.isdecimal() else None
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if match is None or int(match[1]) != have:
        raise CutError("the server sent another part than was asked for")
    return have, None if match[2] == "*" else int(match[2])


def save(response: Any, part: Path, start: int, total: int | None, name: str) -> None:
    """Write an answer to a part, from byte `start` on."""
    tag = response.headers.get("ETag") or ""
    tag = response.headers.get("Last-Modified") or "" if not tag or tag.startswith("W/") else tag
    if start == 0:
        tag_file(part).unlink(missing_ok=True)
        if tag:
            tag_file(part).write_text(tag, encoding="utf-8")
    ahead = max(1, ((total or start) - start) // PIECE_BYTES)
    with part.open("ab" if start else "wb") as file, progress(f"Downloading {name}", ahead, "MB") as bar:
        while block := response.read(PIECE_BYTES):
            before = file.tell()
            try:
                file.write(block)
            except OSError as error:
                raise DataError(f"{part}: cannot be written ({error.strerror})") from None
            bar.advance(file.tell() // PIECE_BYTES - before // PIECE_BYTES)
    if total is not None and bytes_there(part) != total:
        raise CutError(f"the connection ended at byte {bytes_there(part)} of {total}")


def judge_refusal(archive: Archive, part: Path, have: int, error: urllib.error.HTTPError) -> None:
    """What an HTTP error means: nothing more to come, try again, or never."""
    if error.code == 416:
        if error.headers.get("Content-Range", "").strip() == f"bytes */{have}":
            return
        part.unlink(missing_ok=True)
        raise CutError("the part on disk does not fit the file; it is fetched from its beginning")
    if error.code in BUSY:
        raise CutError(f"the server answers {error.code} {error.reason}")
    raise DataError(f"{archive.url}: the server answers {error.code} {error.reason}; {way_out(archive)}")


def verify_archive(archive: Archive, file: Path) -> None:
    """Raise DataError for a file whose size or checksum is not the published one."""
    published = {"sha256": archive.sha256, "md5": archive.md5}
    problems = (
        [f"{bytes_there(file)} bytes, {archive.size} were published"] if archive.size not in (None, bytes_there(file)) else []
    )
    for method, expected in published.items():
        if expected and not problems:
            with file.open("rb") as opened:
                found = hashlib.file_digest(opened, method).hexdigest()
            if found != expected:
                problems.append(f"its {method} is {found}, published was {expected}")
    if problems:
        raise DataError(f"{file}: {problems[0]}")
