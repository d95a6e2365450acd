"""Naming the action in any number of files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gerund.errors import DataError, UsageError
from gerund.manifest import read_manifest
from gerund.recognizer import Recognizer
from gerund.rendering import annotate, check_format
from gerund.types import Clip, Prediction
from gerund.video import is_frame_folder, is_video

AT_ONCE = 64
"""Clips whose features are looked up together; answers come in portions of this size, in constant memory."""


def predict(
    model: str | Path,
    inputs: Sequence[str | Path],
    *,
    top_k: int = 5,
    unknown_threshold: float | None = None,
    save_video: Path | None = None,
    device: str = "auto",
    cache: Path | None = None,
) -> Iterator[Prediction]:
    """Name the action in files: one prediction per clip, with its `top_k` likeliest labels.

    Parameters
    ----------
    model
        A run folder, or a model folder.
    inputs
        Videos, folders (all videos in them), patterns like '*.avi', text files with one path per line, or CSV manifests.
    top_k
        How many labels to give for each.
    unknown_threshold
        Answer unknown where fewer clips of known classes look as unfamiliar, 0..1; 0.05 if not given, 0 is never.
    save_video
        Write the video (one clip) with its answer drawn in, as .mp4, .gif or .webp.
    device
        cpu, cuda, mps or auto.
    cache
        Folder for features.
    """
    clips = expand([inputs] if isinstance(inputs, str | Path) else inputs)
    if save_video is not None:
        check_format(save_video)
        if len(clips) != 1:
            raise UsageError(f"--save-video {save_video}: one clip is drawn at a time, but {len(clips)} were given")
    if unknown_threshold is not None and not 0 <= unknown_threshold <= 1:
        raise UsageError(f"--unknown-threshold {unknown_threshold:g}: a share of known clips lies between 0 and 1")
    recognizer = Recognizer.load(model, device=device, cache=cache)
    if unknown_threshold is not None:
        if unknown_threshold and recognizer.familiarity is None:
            raise UsageError(f"--unknown-threshold {unknown_threshold:g}: {model} cannot tell what is unknown; train it again")
        recognizer.unknown_threshold = unknown_threshold
    return predictions(recognizer, clips, top_k, save_video)


def predictions(recognizer: Recognizer, clips: Sequence[Clip], top_k: int, save_video: Path | None) -> Iterator[Prediction]:
    for first in range(0, len(clips), AT_ONCE):
        portion = clips[first : first + AT_ONCE]
        for clip, prediction in zip(portion, recognizer.predict_clips(portion), strict=True):
            if save_video is not None and not prediction.error:
                annotate(clip, drawn_scores(prediction), save_video)
            yield replace(prediction, scores=prediction.scores[:top_k])


def drawn_scores(prediction: Prediction) -> list[tuple[str, float]]:
    """What is drawn into a video: the ranked labels, the first in question when the clip is unknown."""
    (best, score), *rest = prediction.scores
    return [(f"unknown ({best}?)" if prediction.unknown else best, score), *rest]


def expand(inputs: Sequence[str | Path]) -> list[Clip]:
    """The clips that paths, folders, patterns, lists and manifests mean, in order. Raises DataError when one means nothing."""
    clips = [clip for each in inputs for clip in expand_one(Path(each).expanduser())]
    if not clips:
        raise DataError("no input; give at least one video")
    return clips


def expand_one(path: Path) -> list[Clip]:
    if path.suffix.lower() == ".csv":
        return read_manifest(path)
    if path.is_file() and path.suffix.lower() in (".txt", ".list"):
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        return [Clip(path=path.parent / line) for line in lines if line and not line.startswith("#")]
    if path.is_dir() and not is_frame_folder(path):
        found = sorted(entry for entry in path.rglob("*") if is_video(entry))
        if not found:
            raise DataError(f"{path}: no video in this folder")
        return [Clip(path=entry) for entry in found]
    if not path.exists() and any(sign in path.name for sign in "*?["):
        found = sorted(path.parent.glob(path.name))
        if not found:
            raise DataError(f"{path}: no file fits this pattern")
        return [Clip(path=entry) for entry in found]
    if not path.exists():
        raise DataError(f"{path}: no such file")
    return [Clip(path=path)]
