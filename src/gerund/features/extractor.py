"""Video -> features: what the cache lacks is decoded once, seen by the backbone in full batches, and stored."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gerund.backbones import Backbone, Engine, checked_device, compile_engine, quantize, quantized_digest, resolve_precision
from gerund.core.errors import ClipError, DataError, UsageError, VideoError, at_least
from gerund.core.progress import note, progress
from gerund.core.results import Printable
from gerund.core.storage import url_of
from gerund.core.types import Clip, Features, FeatureSpec
from gerund.core.workers import UNREADABLE, Finished
from gerund.features.batches import Windows, run_batches
from gerund.features.cache import BlockWriter, FeatureCache
from gerund.features.tokens import as_stored, clip_rows
from gerund.video import probe
from gerund.video.formats import frame_images
from gerund.video.pool import Decoded, DecodeJob, DecodePool, Ended, Reading, decode_here, frames_of

CALIBRATION_VIDEOS, CALIBRATION_FRAMES = 64, 5
"""How many videos, and at most how many frames of each, an int8 copy is calibrated on."""
POLL = 0.2
"""Seconds between two looks at what other processes are making."""
PROBED = 16
"""Up to this many videos are asked for their length, so that the time left is known within each."""
FEW_VIDEOS = 2
"""Up to this many videos are decoded in this process; starting workers would take longer."""


@dataclass(frozen=True)
class Extraction(Printable):
    """Features by path, and for the videos that gave none the reason; `spans` has clips beyond the end of theirs (`with_spans`)."""

    features: dict[Path, Features] = field(default_factory=dict)
    failed: dict[Path, str] = field(default_factory=dict)
    spans: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        return not self.left_out

    def as_json(self) -> dict[str, Any]:
        return {"videos": len(self.features), "failed": self.left_out}

    def as_text(self) -> Iterator[str]:
        rows = sum(map(len, self.features.values()))
        yield f"{len(self.features)} videos, {rows} feature rows in the cache, {len(self.failed)} failed"
        if self.spans:
            yield f"{len(self.spans)} clips begin after the end of their video"

    def problem(self, clip: Clip) -> str | None:
        """Why a clip cannot be used: its video gave no features, or has none in the clip's span; None for a clip that can."""
        if clip.path not in self.features:
            return self.failed.get(clip.path, f"{clip.path}: no features were made of it")
        try:
            clip_rows(self.features[clip.path], clip)
        except ClipError as error:
            return str(error)
        return None

    def usable(self, clips: Iterable[Clip]) -> list[Clip]:
        return [clip for clip in clips if self.problem(clip) is None]

    @property
    def left_out(self) -> dict[str, str]:
        """All that cannot be used, with the reasons: by path where the whole video is at fault, else by path and span."""
        return {str(path): reason for path, reason in self.failed.items()} | dict(self.spans)

    def name(self, clip: Clip) -> str:
        return str(clip.path) if clip.path in self.failed else clip.shown


def with_spans(found: Extraction, clips: Iterable[Clip]) -> Extraction:
    """The same, and in `spans` the clips that hold no picture, of which is told as of a video that fails."""
    spans = {}
    for clip in clips:
        if clip.path in found.features and (problem := found.problem(clip)):
            spans[clip.shown] = problem
            note(f"Skipped {problem}")
    return replace(found, spans=spans)


class Extractor:
    """A backbone, compiled when first needed, with the spec and cache its features live under.

    With `apart` no video is opened in this process, not even a lone one.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        fps: float | None,
        cache: FeatureCache,
        device: str = "auto",
        precision: str = "auto",
        view: str = "centre",
        workers: int | None = None,
        apart: bool = False,
    ) -> None:
        if fps is not None and not 0 < fps <= 1000:
            raise UsageError(f"fps is {fps:g}; more than 0 and at most 1000 frames per second can be kept")
        at_least(1, workers=workers)
        self.backbone = backbone
        self.cache = cache
        self.apart = apart
        self.device = checked_device(device)
        self.workers = workers if workers is not None else max(1, (os.cpu_count() or 1) // 2)
        self.spec = FeatureSpec(
            backbone=backbone.fingerprint,
            fps=fps,
            view="flip" if view == "flip" else "centre",
            window=backbone.window,
            stride=backbone.stride,
            precision=spec_precision(backbone, resolve_precision(precision, self.device)),
        )
        self.compiled: Engine | None = None

    @property
    def engine(self) -> Engine:
        if self.compiled is None:
            precision = self.spec.precision.partition("-")[0]
            self.compiled = compile_engine(self.backbone, device=self.device, precision=precision)
        return self.compiled

    def look(self, frames: np.ndarray) -> np.ndarray:
        """Features (N, D) float16 of frames (N * window, H, W, 3) of the backbone's size, as the cache would hold them."""
        size = self.engine.batch_size * self.spec.window
        found: dict[int, np.ndarray] = {}
        for first in range(0, len(frames), size):
            batch = np.resize(frames[first : first + size], (size, *frames.shape[1:]))  # repeats what there is
            self.engine.submit(batch, partial(found.__setitem__, first))
        self.engine.drain()
        return as_stored(np.concatenate([found[first] for first in sorted(found)])[: len(frames) // self.spec.window])

    def extract(self, paths: Iterable[Path], *, retry_failed: bool = False) -> Extraction:
        """Features of every video, from the cache or made now. A video that cannot be decoded is listed in `failed`, with why.

        What failed before is not tried again unless `retry_failed`. Several processes may share a cache: each video is made once.
        Raises CacheError when features cannot be stored.
        """
        found = Extraction()
        missing: dict[str, list[Path]] = {}
        for path in dict.fromkeys(paths):
            try:
                if path.is_dir():
                    frame_images(path)  # before all files of some other folder are read for a digest
                digest = self.cache.video_digest(path)
            except (OSError, ValueError) as error:  # a name may hold what no file system takes
                self.fail(found, path, f"{url_of(path) or path}: {getattr(error, 'strerror', None) or error}")
                continue
            except (UsageError, VideoError) as error:
                self.fail(found, path, str(error))
                continue
            features = self.cache.get(self.spec, digest)
            if features is None and url_of(path):
                self.fail(found, path, f"{url_of(path)}: features not in this cache; gerund extract DATA --ray auto makes them")
            elif features is None:
                missing.setdefault(digest, []).append(path)
            else:
                found.features[path] = features
        if missing:
            if retry_failed:
                self.cache.forget_failures(self.spec)
            failed = self.cache.failures(self.spec)
            if known := sum(digest in failed for digest in missing):
                were = (
                    "1 video could not be read before, and is"
                    if known == 1
                    else f"{known} videos could not be read before, and are"
                )
                note(f"{were} not tried again; gerund extract DATA --retry-failed does that.")
            for digest, reason in (
                failed | self.fill_all([digest for digest in missing if digest not in failed], missing)
            ).items():
                for path in missing.pop(digest, []):
                    self.fail(found, path, f"{path}: {reason}")
            for digest, same in missing.items():
                features = self.cache.get(self.spec, digest)
                for path in same:
                    if features is not None:
                        found.features[path] = features
                    else:
                        self.fail(found, path, f"{path}: its features have vanished from the cache")
        return found

    def fail(self, found: Extraction, path: Path, reason: str) -> None:
        found.failed[path] = reason
        note(f"Skipped {reason}")

    def fill_all(self, digests: Sequence[str], paths: Mapping[str, Sequence[Path]]) -> dict[str, str]:
        """Make the features of videos, and wait for those that another process is making; digest -> reason of those that failed."""
        failed: dict[str, str] = {}
        waiting = sorted(digests, key=lambda digest: -size_of(paths[digest][0]))  # the longest first, so that none is left alone
        while waiting:
            done, errors = self.fill(waiting, paths)
            failed |= errors
            waiting = [digest for digest in waiting if digest not in done]
            if waiting:
                time.sleep(POLL)
                failed |= {digest: reason for digest, reason in self.cache.failures(self.spec).items() if digest in waiting}
                waiting = [digest for digest in waiting if digest not in failed and self.cache.get(self.spec, digest) is None]
        return failed

    def fill(self, digests: Sequence[str], paths: Mapping[str, Sequence[Path]]) -> tuple[set[str], dict[str, str]]:
        """Make the features of all videos that no other process has claimed; returns the digests done, and why some failed."""
        engine = self.engine  # compiled before the clock of the progress starts
        writers: dict[int, BlockWriter] = {}
        failed: dict[str, str] = {}
        few = len(digests) <= FEW_VIDEOS
        reading = Reading(fps=self.spec.fps, resize=self.backbone.resize, flip=self.spec.view == "flip", threads=0 if few else 1)
        seconds = None if self.apart else total_seconds([paths[digest][0] for digest in digests])
        workers = min(self.workers, len(digests)) if self.apart or not few else 0
        with progress("Extracting features", len(digests), "videos", seconds=seconds) as bar:

            def claimed() -> Iterator[DecodeJob]:
                """Claims a video when a decoder is free for it, no sooner."""
                for index, digest in enumerate(digests):
                    claim = self.cache.claim(self.spec, digest)
                    if claim is None:
                        continue
                    rows, pts, complete = self.cache.stored(self.spec, digest)
                    blocks = len(rows.blocks) if rows else 0
                    writers[index] = BlockWriter(self.cache, self.spec, digest, blocks_done=blocks, claim=claim)
                    if complete:
                        writers[index].release()
                        bar.advance()
                    else:
                        yield DecodeJob(index=index, path=paths[digest][0], skip=len(pts) * self.spec.stride)

            try:
                with decoded(claimed(), reading, workers) as events:
                    for index, error in run_batches(events, engine, writers, bar, Windows(self.spec.window, self.spec.stride)):
                        path = str(paths[digests[index]][0])
                        failed[digests[index]] = error.removeprefix(f"{path}: ")
                        self.cache.record_failure(self.spec, digests[index], failed[digests[index]])
                        writers[index].release()
            finally:
                for writer in writers.values():
                    writer.release()
        return {digests[index] for index in writers}, failed


def spec_precision(backbone: Backbone, precision: str) -> str:
    """The precision as a spec holds it: an int8 copy's features depend on what it was calibrated on, so its digest belongs to it."""
    if precision != "int8":
        return precision
    if backbone.quantized is None:
        raise UsageError("--precision int8: this backbone has no int8 copy yet; train or extract makes one from the clips")
    return f"int8-{quantized_digest(backbone.quantized)}"


def calibrated(backbone: Backbone, videos: Iterable[Path]) -> Backbone:
    """The backbone with an int8 copy, calibrated on frames of videos spread over all that will be seen, in whatever order."""
    if backbone.window > 1:
        raise UsageError(f"--precision int8: {backbone.name} sees windows of frames, and only image backbones have int8 copies")
    frames = calibration_frames(backbone, videos)
    made, similarity = quantize(backbone, frames)
    note(f"int8: calibrated on {len(frames)} frames; mean cosine of the features to f32: {similarity:.4f}")
    return made


def calibration_frames(backbone: Backbone, videos: Iterable[Path]) -> np.ndarray:
    """Frames (N, H, W, 3) uint8 of some of the videos. Raises DataError when none can be read."""
    paths = sorted(set(videos))
    reading = Reading(fps=1.0, resize=backbone.resize)
    frames: list[np.ndarray] = []
    for index in np.linspace(0, len(paths) - 1, min(CALIBRATION_VIDEOS, len(paths))).round().astype(int):
        with contextlib.suppress(*UNREADABLE):  # it will be listed when its features are made
            frames += [picture for _, picture in itertools.islice(frames_of(paths[index], reading), CALIBRATION_FRAMES)]
    if not frames:
        raise DataError("--precision int8: none of the videos could be read, so there is nothing to calibrate on")
    return np.stack(frames)


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else sum(1 for _ in path.iterdir()) * 2**15
    except OSError:  # gone meanwhile; who reads it says so
        return 0


def total_seconds(paths: Sequence[Path]) -> float | None:
    """How long a few videos are together; None for many, or when one does not say."""
    if len(paths) > PROBED:
        return None
    try:
        lengths = [probe(path).duration for path in paths]
    except VideoError:
        return None
    known = [length for length in lengths if length is not None]
    return sum(known) if len(known) == len(lengths) else None


@contextmanager
def decoded(jobs: Iterable[DecodeJob], reading: Reading, workers: int) -> Iterator[Iterator[Decoded | Ended | Finished]]:
    """Decode in a pool of so many workers; with 0 in this process."""
    if workers:
        with DecodePool(reading, workers) as pool:
            yield pool.run(jobs)
    else:
        yield decode_here(jobs, reading)
