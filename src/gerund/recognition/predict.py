"""Naming the action in any number of files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gerund.core import options
from gerund.core.errors import UsageError, VideoError, at_least
from gerund.core.places import as_path, files_for, refuse_inputs
from gerund.core.types import Clip, Prediction
from gerund.data.inputs import expand
from gerund.recognition.folder import find_model
from gerund.recognition.recognizer import Recognizer

ANSWERS_AT_ONCE = 64
"""Clips whose features are looked up together; answers come in portions of this size, in constant memory."""


def predict(
    model: options.ModelPath,
    inputs: options.Inputs,
    *,
    top_k: options.TopK = 5,
    unknown_threshold: options.Familiar | None = None,
    save_video: options.SaveVideo | None = None,
    explain: options.ExplainPicture | None = None,
    device: options.Device = options.USUAL.device,
    cache: options.CacheFolder | None = None,
) -> Iterator[Prediction]:
    """Name the action in files: one prediction per clip, with its `top_k` likeliest labels.

    A video or picture to draw is named for one clip; for several, a folder is, in which each gets a file.

    Each argument is explained in `gerund.core.options`, and by `gerund predict --help`.
    """
    at_least(1, top_k=top_k)
    find_model(model)
    clips = expand([inputs] if isinstance(inputs, str | Path) else inputs)
    drawings = Drawings.planned(clips, as_path(save_video), as_path(explain), top_k)
    if unknown_threshold is not None and not 0 <= unknown_threshold <= 1:
        raise UsageError(f"--unknown-threshold {unknown_threshold:g}: a share of known clips lies between 0 and 1")
    recognizer = Recognizer.load(model, device=device, cache=cache)
    if unknown_threshold is not None:
        if unknown_threshold and recognizer.familiarity is None:
            raise UsageError(f"--unknown-threshold {unknown_threshold:g}: {model} cannot tell what is unknown; train it again")
        recognizer = replace(recognizer, unknown_threshold=unknown_threshold)
    return predictions(recognizer, clips, top_k, drawings)


@dataclass(frozen=True, kw_only=True)
class Drawings:
    """What is drawn of each clip, by its place among them: videos with their answers, of up to `top_k` labels, and pictures of why."""

    videos: Sequence[Path] = ()
    pictures: Sequence[Path] = ()
    top_k: int = 1

    @classmethod
    def planned(cls, clips: Sequence[Clip], save_video: Path | None, explain: Path | None, top_k: int) -> Drawings:
        """Where each clip is drawn to. Raises UsageError for what cannot be, and where a video would be written over itself."""
        videos: Sequence[Path] = ()
        pictures: Sequence[Path] = ()
        if save_video is not None:
            from gerund.video.annotate import FORMATS  # draws, which an answer alone does not need

            videos = files_for("--save-video", save_video, FORMATS, [drawing_name(clip) for clip in clips])
            refuse_inputs("--save-video", videos, (clip.path for clip in clips))
        if explain is not None:
            from gerund.recognition.explain_picture import PICTURE_FORMATS  # as above

            pictures = files_for("--explain", explain, PICTURE_FORMATS, [drawing_name(clip) for clip in clips])
            refuse_inputs("--explain", pictures, (clip.path for clip in clips))
        return cls(videos=videos, pictures=pictures, top_k=top_k)


def drawing_name(clip: Clip) -> str:
    """What the file of a clip is called: as its video, and its span where it is a part of it."""
    whole = clip.start == 0 and clip.end is None
    return clip.path.stem if whole else f"{clip.path.stem}_{clip.start:g}-{'end' if clip.end is None else f'{clip.end:g}'}"


def predictions(recognizer: Recognizer, clips: Sequence[Clip], top_k: int, drawings: Drawings) -> Iterator[Prediction]:
    for first in range(0, len(clips), ANSWERS_AT_ONCE):
        portion = clips[first : first + ANSWERS_AT_ONCE]
        for place, prediction in enumerate(recognizer.predict_clips(portion), start=first):
            failed = [] if prediction.error else drawn(recognizer, clips[place], prediction, drawings, place)
            yield replace(prediction, scores=prediction.scores[:top_k], unwritten=failed)


def drawn(recognizer: Recognizer, clip: Clip, prediction: Prediction, drawings: Drawings, place: int) -> list[str]:
    """Write what is asked for of one clip; returns what could not be written, and why: the answer itself is not lost by it."""
    failed = []
    try:
        if drawings.videos:
            from gerund.video.annotate import annotate

            annotate(clip, drawn_scores(prediction)[: drawings.top_k], drawings.videos[place])
    except VideoError as error:
        failed.append(str(error))
    try:
        if drawings.pictures:
            from gerund.recognition.explain import explanation
            from gerund.recognition.explain_picture import draw_explanation

            draw_explanation(explanation(recognizer, clip), drawings.pictures[place])
    except VideoError as error:
        failed.append(str(error))
    return failed


def drawn_scores(prediction: Prediction) -> list[tuple[str, float]]:
    """What is drawn into a video: the ranked labels, or of an unknown clip that alone, without a probability."""
    return [(f"unknown ({prediction.best_guess}?)", math.nan)] if prediction.unknown else list(prediction.scores)
