"""The feature cache: `<spec digest>/<video digest>-00000.safetensors`, -00001 ...; shared by any number of readers and writers.

A file holds `data` (n, D) float16 and `pts` (n,) float64 of at most BLOCK_ROWS steps, its own checksum, whose they are (video, spec,
number of the block), and whether it is the last. The `pts` of the last one have one more: the second at which the video ends. It is
written under a temporary name and renamed, so that what has its name is whole.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import stat
import time
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from safetensors.numpy import save

from gerund.core import options, storage
from gerund.core.errors import CacheError, UsageError, at_least
from gerund.core.files import LENIENT, check_name, remove, write_bytes
from gerund.core.places import as_path, default_cache
from gerund.core.results import Facts
from gerund.core.types import EXTRACTOR_VERSION, Features, FeatureSpec, Rows
from gerund.features.blocks import DIGEST_LENGTH, StackedRows, block_spec, blocks_in, checksum, read_block
from gerund.features.tokens import on_screen

BLOCK_ROWS = 4096
READ_BYTES = 2**20
SETTLED = 2.0
"""Seconds after a file's last change from which its state can be told from every later one: clocks of file systems go in steps."""
LEFTOVER_AGE = 3600.0
"""Seconds after which a temporary or lock file belongs to nobody."""


class FeatureCache:
    """Features by the content of the video and the spec they were made under."""

    def __init__(self, folder: str | Path | None = None) -> None:
        place = as_path(folder) or default_cache()
        check_name("--cache", place)
        self.folder = place / "features"

    def get(self, spec: FeatureSpec, video: str) -> Features | None:
        """The features of a video digest, or None when they are not all there. A damaged block is removed, and so made again."""
        rows, pts, last = self.stored(spec, video)
        if not last or rows is None:
            return None
        count = rows.shape[0]
        end = float(pts[count]) if len(pts) > count else None
        return on_screen(self.readable(spec, video, rows), pts[:count], end, spec.step)

    def readable(self, spec: FeatureSpec, video: str, rows: StackedRows) -> Rows:
        """The rows of a video as whoever asked for its features can read them."""
        return rows

    def stored(self, spec: FeatureSpec, video: str) -> tuple[StackedRows | None, np.ndarray, bool]:
        """What is there of a video, from its first block up to the first gap: rows, pts (n,), and whether that is all.

        When it is, the pts are (n + 1,): the end of the video follows.
        """
        paths: list[Path] = []
        pts: list[np.ndarray] = []
        last = False
        width, counts = 0, [0]
        while not last:
            path = self.block_path(spec, video, len(paths))
            try:
                data, times, last = read_block(path)
            except FileNotFoundError:
                break
            except CacheError:
                remove(path)  # in a read-only cache it stays, and is passed over each time
                break
            width = data.shape[1]
            paths.append(path)
            counts.append(len(data))
            pts.append(times)
        if not paths:
            return None, np.empty(0), False
        edges = np.cumsum(counts)
        return StackedRows(tuple(paths), tuple(int(edge) for edge in edges), width), np.concatenate(pts), last

    def block_path(self, spec: FeatureSpec, video: str, index: int) -> Path:
        return self.folder / spec.digest / f"{video}-{index:05d}.safetensors"

    def write_block(self, spec: FeatureSpec, video: str, index: int, data: np.ndarray, pts: np.ndarray, *, last: bool) -> None:
        """Store one block whole or not at all: rows (n, D) and pts (n,), or (n + 1,) of the last one.

        Raises CacheError when the folder cannot be written.
        """
        path = self.block_path(spec, video, index)
        tensors: dict[str, np.ndarray] = {
            "data": np.ascontiguousarray(data, np.float16),
            "pts": np.ascontiguousarray(pts, np.float64),
        }
        label = {"checksum": checksum(tensors, last), "last": last, "spec": asdict(spec), "video": video, "index": index}
        metadata = {
            "gerund": json.dumps(label)
        }  # one key, since safetensors writes several in any order: equal runs, equal bytes
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, save(tensors, metadata))
        except OSError as error:
            raise cannot_store(path.parent, error) from None

    def claim(self, spec: FeatureSpec, video: str) -> FileLock | None:
        """The right to make a video's features, or None while another process has it; it ends with the process that holds it."""
        folder = self.folder / spec.digest
        lock = FileLock(folder / f".{video}.lock", timeout=0, thread_local=False)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            return None
        except OSError as error:
            raise cannot_store(folder, error) from None
        return lock

    def failures(self, spec: FeatureSpec) -> dict[str, str]:
        """Videos that could not be read when last tried: digest -> reason."""
        try:
            lines = self.failures_path(spec).read_text(encoding="utf-8").splitlines()
        except OSError:
            return {}
        return {video: reason for video, _, reason in (line.partition(" ") for line in lines) if len(video) == DIGEST_LENGTH}

    def record_failure(self, spec: FeatureSpec, video: str, reason: str) -> None:
        with contextlib.suppress(OSError), self.failures_path(spec).open("a", encoding="utf-8", errors=LENIENT) as file:
            file.write(f"{video} {' '.join(reason.split())}\n")

    def forget_failures(self, spec: FeatureSpec) -> None:
        self.failures_path(spec).unlink(missing_ok=True)

    def failures_path(self, spec: FeatureSpec) -> Path:
        return self.folder / spec.digest / "failures.txt"

    def listing(self) -> dict[str, Any]:
        """What the cache holds, by spec digest: backbone, rate, videos, bytes, failures."""
        found = {}
        for folder in sorted(path for path in self.folder.glob("*") if path.is_dir()):
            blocks = blocks_in(folder)
            spec = block_spec(blocks[0]) if blocks else {}
            found[folder.name] = {
                "backbone": spec.get("backbone"),
                "fps": spec.get("fps"),
                "view": spec.get("view"),
                "videos": len({path.name[:DIGEST_LENGTH] for path in blocks}),
                "bytes": sum(path.stat().st_size for path in blocks),
            }
        return found

    def verify(self) -> dict[str, Any]:
        """Read every block and remove those whose checksum does not fit; returns how many were checked and which went."""
        blocks, removed = [path for folder in sorted(self.folder.glob("*")) for path in blocks_in(folder)], []
        for path in blocks:
            try:
                read_block(path)
            except CacheError as error:
                removed.append(str(error))
                remove(path)
            except FileNotFoundError:
                continue  # removed meanwhile
        return {"checked": len(blocks), "removed": removed}

    def prune(self, older_than: float | None) -> dict[str, Any]:
        """Remove leftovers, features of other extractor versions, and blocks not written for `older_than` days."""
        oldest = 0.0 if older_than is None else time.time() - older_than * 86_400
        recent = time.time() - LEFTOVER_AGE
        gone = [path for path in self.folder.glob("*/.*") if path.stat().st_mtime < recent]
        gone += [
            path
            for folder in self.folder.glob("*")
            for path in blocks_in(folder)
            if path.stat().st_mtime < oldest or block_spec(path).get("version") != EXTRACTOR_VERSION
        ]
        freed = sum(path.stat().st_size for path in gone)
        for path in gone:
            remove(path)
        return {"removed": len(gone), "bytes": freed}

    @cached_property
    def known_digests(self) -> dict[str, str]:
        """Digests of files seen before, by what their file system says of them; of URLs, by what their storage says of them."""
        return read_digests(self.folder)

    def video_digest(self, path: Path) -> str:
        """32 hexadecimal digits of a video's content. A file whose state is known is not read again.

        The state is device, inode, size, and the times of the last change of content and of anything: who sets the first back (cp -p,
        rsync -t, tar) cannot set back the second.

        That of a URL is known once its features were extracted; else it raises FileNotFoundError, and asks nobody. Raises OSError for
        what is no file.
        """
        if url := storage.url_of(path):
            fetched = storage.key_of(url) in self.known_digests
            known = self.known_digests.get(storage.state_of(url)) if fetched else None
            if known is None:
                raise FileNotFoundError(errno.ENOENT, "features not extracted yet; gerund extract DATA --ray auto fetches it")
            return known
        if path.is_dir():
            files = sorted(entry for entry in path.iterdir() if entry.is_file())
            lines = ["frames", *(f"{entry.name} {self.video_digest(entry)}" for entry in files)]  # names tell the order
            return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:DIGEST_LENGTH]
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a file, but a pipe, a socket or a device")
        key = f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"
        if key in self.known_digests:
            return self.known_digests[key]
        digest = content_digest(path, status.st_size)
        if status.st_ctime < time.time() - SETTLED:
            self.remember(key, digest)
        return digest

    def remember_url(self, url: str, state: str, digest: str) -> None:
        """Note the digest of what lay at a URL in this state, and that it was fetched, so that it may be asked about again."""
        for key in (state, storage.key_of(url)):
            if key not in self.known_digests:
                self.remember(key, digest)

    def remember(self, key: str, digest: str) -> None:
        """Note the digest of a file (or URL) in this state."""
        self.known_digests[key] = digest
        with contextlib.suppress(OSError):  # a read-only cache forgets, that is all
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "digests.txt").open("a", encoding="utf-8") as file:
                file.write(f"{key} {digest}\n")


def read_digests(folder: Path) -> dict[str, str]:
    """What the digests.txt of a folder remembers: digest by state of the file."""
    try:
        lines = (folder / "digests.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(" ") for line in lines)
    return {key: digest for key, _, digest in pairs if len(digest) == DIGEST_LENGTH}  # a torn last line is skipped


def cannot_store(folder: Path, error: OSError) -> CacheError:
    return CacheError(f"{folder}: features cannot be stored ({error.strerror}); choose another place with --cache")


def content_digest(path: Path, size: int) -> str:
    """Of all `size` bytes: hashing 1.4 GB takes a second, decoding them a minute. What grows, or has no end, is not read on."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (part := file.read(min(size, READ_BYTES))):
            digest.update(part)
            size -= len(part)
    return digest.hexdigest()[:DIGEST_LENGTH]


class BlockWriter:
    """Collects the rows of one video and stores each block as soon as it is full; `close` stores the last one."""

    def __init__(
        self, cache: FeatureCache, spec: FeatureSpec, video: str, *, blocks_done: int = 0, claim: FileLock | None = None
    ) -> None:
        self.cache, self.spec, self.video, self.claim = cache, spec, video, claim
        self.index = blocks_done
        self.data: list[np.ndarray] = []
        self.pts: list[np.ndarray] = []
        self.rows = 0

    def add(self, data: np.ndarray, pts: np.ndarray) -> None:
        """Rows (n, D) and their seconds (n,), in order. A full block waits for one more row, since it might be the last."""
        while len(data):
            if self.rows == BLOCK_ROWS:
                self.store(last=False)
            room = BLOCK_ROWS - self.rows
            self.data.append(data[:room])
            self.pts.append(pts[:room])
            self.rows += len(data[:room])
            data, pts = data[room:], pts[room:]

    def close(self, end: float | None = None) -> None:
        """Store the last block, with the second at which the video ends."""
        if end is not None:
            self.pts.append(np.array([end]))
        self.store(last=True)
        self.release()

    def release(self) -> None:
        """Give the claim back. The lock file goes only once the video is done or given up, so that nobody does it twice."""
        if self.claim is not None:
            with contextlib.suppress(OSError):
                Path(self.claim.lock_file).unlink(missing_ok=True)
            self.claim.release()
            self.claim = None

    def store(self, *, last: bool) -> None:
        self.cache.write_block(self.spec, self.video, self.index, np.concatenate(self.data), np.concatenate(self.pts), last=last)
        self.index += 1
        self.data, self.pts, self.rows = [], [], 0


def manage_cache(
    action: options.CacheAction = "ls", *, older_than: options.OlderThan | None = None, cache: options.CacheFolder | None = None
) -> Facts:
    """List, check or tidy the feature cache.

    Each argument is explained in `gerund.core.options`, and by `gerund cache --help`.
    """
    if older_than is not None and action != "prune":
        raise UsageError("--older-than: only prune removes what is old")
    at_least(0, older_than=older_than)
    store = FeatureCache(cache)
    if action == "verify":
        return Facts(store.verify())
    return Facts(store.prune(older_than) if action == "prune" else store.listing())
