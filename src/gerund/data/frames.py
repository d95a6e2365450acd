"""Write the frames of clips as folders of JPEG images, which every data set of videos can hold instead of videos."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gerund.core import options
from gerund.core.errors import DataError, UsageError
from gerund.core.files import write_json
from gerund.core.progress import note, progress
from gerund.core.results import Printable
from gerund.core.types import Clip
from gerund.data.datasets import load_dataset
from gerund.data.manifest import relative_name, write_manifest
from gerund.data.stills import Order, StillSpan, write_orders
from gerund.video.formats import FRAME_FOLDER_FPS

SETTINGS = "frames.json"
MANIFEST = "clips.csv"


@dataclass(frozen=True, kw_only=True)
class FrameFolders(Printable):
    """What was written: `manifest` names all folders; `kept` were there already; `failed` has the reason for each folder not made."""

    manifest: Path
    written: int
    kept: int
    failed: dict[str, str]

    @property
    def is_complete(self) -> bool:
        return not self.failed

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "manifest": str(self.manifest)}

    def as_text(self) -> Iterator[str]:
        yield f"{self.written} folders written, {self.kept} were there already, {len(self.failed)} failed"
        yield f"Next: gerund train {self.manifest}"


def frames(
    data: options.Data,
    *,
    out: options.FramesFolder,
    fps: options.FramesRate = "native",
    size: options.ShortSide | None = None,
    split: options.OfficialSplit | None = None,
    group_pattern: options.GroupPattern | None = None,
    workers: options.WritingWorkers | None = None,
) -> FrameFolders:
    """Write the frames of every clip as JPEG images: OUT/LABEL/CLIP/000001.jpg, below train, val and test if clips have splits.

    A folder has its name only when it is complete; run again, the command does what is missing. Every video is decoded once,
    however many clips it holds. OUT/clips.csv lists the folders with labels, splits and groups.

    Raises UsageError when OUT was written with other settings.

    Each argument is explained in `gerund.core.options`, and by `gerund frames --help`.
    """
    out, rate = Path(out), None if fps == "native" else float(fps)
    if rate is not None and not 0 < rate < math.inf:
        raise UsageError(f"--fps {fps}: must be above 0")
    if size is not None and size < 1:
        raise UsageError(f"--size {size}: at least 1 pixel is needed")
    clips = load_dataset(data, split=split, group_pattern=group_pattern, allow_leak=True)
    claim(out, {"fps": rate, "size": size})
    folders = dict(zip(folder_names(clips, out), clips, strict=True))
    todo = {folder: clip for folder, clip in folders.items() if not folder.is_dir()}
    failed = write_missing(todo, rate, size, workers or os.cpu_count() or 1)
    ready = [clip_of_folder(folder, clip) for folder, clip in folders.items() if str(folder) not in failed]
    write_manifest(ready, out / MANIFEST)
    if rate not in (None, FRAME_FOLDER_FPS):
        note(f"Folders of images are read at {FRAME_FOLDER_FPS:g} frames per second: train on these with --fps native.")
    kept = len(folders) - len(todo)
    return FrameFolders(manifest=out / MANIFEST, written=len(todo) - len(failed), kept=kept, failed=failed)


def claim(out: Path, settings: dict[str, Any]) -> None:
    """Make the folder and note its settings in it. Raises UsageError when it has others: it would mix two kinds of frames."""
    file = out / SETTINGS
    try:
        out.mkdir(parents=True, exist_ok=True)
        known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else settings
        if known != settings:
            raise UsageError(f"--out {out}: holds frames written with {known}, not {settings}; choose another folder")
        write_json(file, settings)
    except (OSError, ValueError) as error:
        raise DataError(f"{out}: cannot be written to, or {SETTINGS} in it is damaged ({error})") from None


def folder_names(clips: Sequence[Clip], out: Path) -> list[Path]:
    """A folder for each clip, the same in every run: split, label, name of the video, and the span or a mark where that is not enough."""
    in_splits = all(clip.split for clip in clips)
    plain = [plain_folder(clip, out / str(clip.split) if in_splits else out) for clip in clips]
    used = Counter(str(folder).casefold() for folder in plain)
    names = [
        folder if used[str(folder).casefold()] == 1 else folder.with_name(f"{folder.name}-{mark(clip)}")
        for folder, clip in zip(plain, clips, strict=True)
    ]
    twice = next((folder for folder, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"{folder_clip(names, clips, twice)}: the same clip is listed twice with one label; list it once")
    return names


def folder_clip(names: Sequence[Path], clips: Sequence[Clip], folder: Path) -> Path:
    return clips[names.index(folder)].path


def plain_folder(clip: Clip, below: Path) -> Path:
    span = "" if clip.start == 0 and clip.end is None else f"_{clip.start:.3f}-{'' if clip.end is None else f'{clip.end:.3f}'}"
    return (
        below / file_name(clip.label or "unlabelled") / (file_name(clip.path.stem if clip.path.suffix else clip.path.name) + span)
    )


def file_name(text: str) -> str:
    """The text as one part of a path: no slashes, no dot in front."""
    plain = "".join("_" if letter in '/\\:*?"<>|' or ord(letter) < 32 else letter for letter in text)
    return "_" + plain[1:] if plain.startswith(".") else plain


def mark(clip: Clip) -> str:
    """Six letters that tell two videos of one name apart."""
    return hashlib.sha256(os.fsencode(os.path.abspath(clip.path))).hexdigest()[:6]  # noqa: PTH100  links are not followed


def write_missing(todo: dict[Path, Clip], fps: float | None, size: int | None, workers: int) -> dict[str, str]:
    """Write folders, video by video; returns those that failed with the reasons."""
    spans: dict[Path, list[StillSpan]] = defaultdict(list)
    for folder, clip in todo.items():
        spans[clip.path].append(StillSpan(start=clip.start, end=clip.end, folder=str(folder)))
    orders = [Order(path=str(path), spans=wanted, fps=fps, size=size) for path, wanted in spans.items()]
    failed: dict[str, str] = {}
    if orders:
        with progress("Writing frames", len(todo), "clips") as bar:
            for order, problems in write_orders(orders, min(workers, len(orders))):
                failed |= problems
                for problem in dict.fromkeys(problems.values()):
                    note(problem)
                bar.advance(len(order.spans))
    return failed


def clip_of_folder(folder: Path, clip: Clip) -> Clip:
    """A folder as a clip; spans of one video stay in one group."""
    group = clip.group or relative_name(str(clip.path))
    return replace(clip, path=folder, start=0.0, end=None, group=group)
