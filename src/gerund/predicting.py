"""Naming the action in any number of files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gerund.errors import UsageError
from gerund.inputs import expand
from gerund.recognizer import Recognizer
from gerund.rendering import annotate, check_format
from gerund.types import Clip, Prediction

AT_ONCE = 64
"""Clips whose features are looked up together; answers come in portions of this size, in constant memory."""


def predict(
    model: str | Path,
    inputs: Sequence[str | Path],
    *,
    top_k: int = 5,
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
    recognizer = Recognizer.load(model, device=device, cache=cache)
    return predictions(recognizer, clips, top_k, save_video)


def predictions(recognizer: Recognizer, clips: Sequence[Clip], top_k: int, save_video: Path | None) -> Iterator[Prediction]:
    for first in range(0, len(clips), AT_ONCE):
        portion = clips[first : first + AT_ONCE]
        for clip, prediction in zip(portion, recognizer.predict_clips(portion), strict=True):
            if save_video is not None and not prediction.error:
                annotate(clip, prediction.scores, save_video)
            yield replace(prediction, scores=prediction.scores[:top_k])
