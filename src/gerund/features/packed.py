"""Packed features: shards of about 256 MB with a sorted index, read memory-mapped; for data sets of 50,000 videos and more.

`OUT/<spec digest>/` holds shard-00000.npy (rows of many videos, float16), shard-00000-pts.npy (their seconds, float64), index.npy (one
INDEX entry per video, sorted by digest) and pack.json. It is written under another name and renamed, so what is there is whole.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from gerund.core import options
from gerund.core.errors import CacheError, DataError, UsageError
from gerund.core.fields import Fields, json_of
from gerund.core.files import tidy, whole_folder, write_bytes
from gerund.core.progress import note, progress
from gerund.core.results import Printable
from gerund.core.types import Features, FeatureSpec, Rows
from gerund.features.blocks import DIGEST_LENGTH, block_spec, blocks_in
from gerund.features.cache import FeatureCache, read_digests
from gerund.features.tokens import on_screen

SHARD_BYTES = 256 * 2**20
FORMAT = 2
INDEX = np.dtype([("video", f"S{DIGEST_LENGTH}"), ("shard", "<u4"), ("start", "<u8"), ("rows", "<u4"), ("end", "<f8")])


@dataclass(frozen=True, kw_only=True)
class Packed(Printable):
    """What was packed: the folder to give to `--packed`, how many videos, shards and bytes, and which blocks were damaged."""

    out: Path
    videos: int = 0
    shards: int = 0
    bytes: int = 0
    failed: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        return not self.failed

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "out": str(self.out)}

    def as_text(self) -> Iterator[str]:
        yield f"{self.videos} videos, {self.shards} shards, {self.bytes / 1e6:.1f} MB, {len(self.failed)} left out"
        yield f"Next: gerund train DATA --packed {self.out}"


def pack(cache: options.PackedFrom, out: options.PackedFolder) -> Packed:
    """Pack the features of a cache into large shards, to train from with --packed.

    Videos that are not complete are left out with a note; what was packed before is left as it is. Raises DataError for a folder
    without features, UsageError when `out` has all of them already, CacheError when it cannot be written.

    Each argument is explained in `gerund.core.options`, and by `gerund pack --help`.
    """
    store, out = FeatureCache(cache), Path(out)
    folders = [folder for folder in sorted(store.folder.glob("*")) if blocks_in(folder)]
    if not folders:
        raise DataError(f"{cache}: no features to pack; gerund extract DATA --cache {cache} makes some")
    copy_digests(store, out)  # first, so that whatever was packed has them
    there = [folder for folder in folders if (out / folder.name).exists()]
    if len(there) == len(folders):
        raise UsageError(f"{out / folders[0].name}: packed already; remove it or choose another folder")
    for folder in there:
        note(f"{out / folder.name}: packed already, and left as it is")
    packed = Packed(out=out)
    for folder in folders:
        if folder not in there:
            packed = pack_spec(store, folder, packed)
    return packed


def copy_digests(store: FeatureCache, out: Path) -> None:
    """Tell the packed folder what the cache knows of files and URLs."""
    digests = store.folder / "digests.txt"
    try:
        out.mkdir(parents=True, exist_ok=True)
        tidy(out)
        if digests.is_file():
            write_bytes(out / "digests.txt", digests.read_bytes())
    except OSError as error:
        raise cannot_pack(out, error) from None


def cannot_pack(out: Path, error: OSError) -> CacheError:
    return CacheError(f"{out}: shards cannot be written ({error.strerror}); choose another folder")


def pack_spec(store: FeatureCache, folder: Path, packed: Packed) -> Packed:
    """Pack everything that was made under one spec."""
    target = packed.out / folder.name
    videos = sorted({path.name[:DIGEST_LENGTH] for path in blocks_in(folder)})
    spec = spec_of(folder)
    failed = []
    try:
        with whole_folder(target) as temporary, progress("Packing features", len(videos), "videos") as bar:
            writer = ShardWriter(temporary)
            for video in videos:
                rows, pts, complete = store.stored(spec, video)
                if rows is None or not complete:
                    failed.append(video)
                    note(f"Left out {video}: its features are not complete")
                else:
                    writer.add(video, rows, pts)
                bar.advance()
            writer.close()
            summary = {"format": FORMAT, "spec": folder.name, "backbone": spec.backbone, "videos": len(writer.index)}
            (temporary / "pack.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise cannot_pack(packed.out, error) from None
    return replace(
        packed,
        videos=packed.videos + len(writer.index),
        shards=packed.shards + writer.shards,
        bytes=packed.bytes + sum(path.stat().st_size for path in target.iterdir()),
        failed=(*packed.failed, *failed),
    )


def spec_of(folder: Path) -> FeatureSpec:
    """The spec under which the blocks of a folder were made. Raises DataError when none of them can tell."""
    for values in map(block_spec, blocks_in(folder)):
        with contextlib.suppress(TypeError):  # an entry that no spec has
            if values and (spec := FeatureSpec(**values)).digest == folder.name:
                return spec
    raise DataError(f"{folder}: its blocks are damaged; gerund cache verify removes them")


class ShardWriter:
    """Collects videos and stores a shard as soon as it is large enough; a video is never parted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index: list[tuple[bytes, int, int, int, float]] = []
        self.data: list[np.ndarray] = []
        self.pts: list[np.ndarray] = []
        self.rows = self.bytes = self.shards = 0

    def add(self, video: str, stored: Rows, pts: np.ndarray) -> None:
        """The rows of a video and their seconds, the end of the video after them, if it is known."""
        rows = stored[0 : stored.shape[0]]
        end = float(pts[-1]) if len(pts) > len(rows) else math.nan
        self.index.append((video.encode(), self.shards, self.rows, len(rows), end))
        self.data.append(rows)
        self.pts.append(pts[: len(rows)])
        self.rows += len(rows)
        self.bytes += rows.nbytes
        if self.bytes >= SHARD_BYTES:
            self.store()

    def store(self) -> None:
        data, pts = shard_paths(self.folder, self.shards)
        np.save(data, np.concatenate(self.data))
        np.save(pts, np.concatenate(self.pts))
        self.data, self.pts = [], []
        self.rows = self.bytes = 0
        self.shards += 1

    def close(self) -> None:
        if self.data:
            self.store()
        np.save(self.folder / "index.npy", np.array(self.index, INDEX))  # sorted, as the videos came


def shard_paths(folder: Path, number: int) -> tuple[Path, Path]:
    return folder / f"shard-{number:05d}.npy", folder / f"shard-{number:05d}-pts.npy"


class Pack:
    """The shards of one spec, memory-mapped: what is not looked at costs no memory."""

    def __init__(self, folder: Path) -> None:
        try:
            summary = Fields(json_of(folder / "pack.json", CacheError), str(folder / "pack.json"), CacheError)
            if summary.get("format") != FORMAT:
                raise CacheError(f"{folder}: packed in format {summary.get('format')}; this version reads {FORMAT}: pack again")
            self.index = np.load(folder / "index.npy", mmap_mode="r", allow_pickle=False)
            if self.index.dtype != INDEX:
                raise ValueError("its index has other columns")
            shards = int(self.index["shard"][-1]) + 1 if len(self.index) else 0
            self.shards = [tuple(map(mapped, shard_paths(folder, number))) for number in range(shards)]
            check_index(self.index, self.shards)
        except (
            OSError,
            ValueError,
            TypeError,
            EOFError,
            SyntaxError,
            OverflowError,
            MemoryError,
            TokenError,
        ) as error:  # of numpy's
            raise CacheError(f"{folder}: damaged pack ({error}); pack again") from None

    def get(self, video: str, spec: FeatureSpec) -> Features | None:
        """The features of a video digest: views of the shard, read from disk when looked at."""
        key = video.encode()
        place = int(np.searchsorted(self.index["video"], key))
        if place == len(self.index) or self.index["video"][place] != key:
            return None
        _, shard, start, rows, end = self.index[place].item()
        data, pts = self.shards[shard]
        return on_screen(data[start : start + rows], pts[start : start + rows], None if math.isnan(end) else end, spec.step)


def check_index(index: np.ndarray, shards: Sequence[tuple[np.ndarray, ...]]) -> None:
    """Raise ValueError for an index that is not sorted, or points outside the shards, and for shards that are none."""
    if any(
        data.ndim != 2 or data.dtype != np.float16 or pts.shape != data.shape[:1] or pts.dtype != np.float64
        for data, pts in shards
    ):
        raise ValueError("a shard is of another shape or type")
    if len(index) and not (bool((index["shard"] < len(shards)).all()) and bool((index["video"][:-1] < index["video"][1:]).all())):
        raise ValueError("its index is not in order")
    if bool(np.isinf(index["end"]).any()):
        raise ValueError("its index holds a video without end")
    if len(index):
        lengths = np.array([len(pts) for _, pts in shards], np.uint64)[index["shard"]]
        if bool((index["start"] > lengths).any()) or bool((index["rows"] > lengths - index["start"]).any()):
            raise ValueError("its index points outside the shards")


def mapped(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


class PackedCache(FeatureCache):
    """A cache that looks into packed shards first; what they lack is found, or made, in the cache folder."""

    def __init__(self, packed: str | Path, folder: str | Path | None = None) -> None:
        super().__init__(folder)
        self.packed = Path(packed)
        self.packs: dict[str, Pack | None] = {}
        if not any(self.packed.glob("*/pack.json")):
            raise DataError(f"{packed}: no packed features; gerund pack CACHE {packed} makes them")

    def get(self, spec: FeatureSpec, video: str) -> Features | None:
        if spec.digest not in self.packs:
            folder = self.packed / spec.digest
            self.packs[spec.digest] = Pack(folder) if folder.is_dir() else None
        pack = self.packs[spec.digest]
        found = pack.get(video, spec) if pack else None
        return super().get(spec, video) if found is None else found

    @cached_property
    def known_digests(self) -> dict[str, str]:
        """Those of the cache that was packed too, so that videos at URLs are found."""
        return {**read_digests(self.packed), **read_digests(self.folder)}
