"""Naming the action in any number of files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gerund.core import options
from gerund.core.errors import UsageError, VideoError, at_least
from gerund.core.places import as_path
from gerund.core.types import Clip, Prediction
from gerund.data.inputs import expand
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

    Each argument is explained in `gerund.core.options`, and by `gerund predict --help`.
    """
    at_least(1, top_k=top_k)
    save_video, explain = as_path(save_video), as_path(explain)
    clips = expand([inputs] if isinstance(inputs, str | Path) else inputs)
    if save_video is not None:
        from gerund.video.annotate import check_format  # draws, which an answer alone does not need

        check_format(save_video)
    if explain is not None:
        from gerund.recognition.explain_picture import check_picture  # as above

        check_picture(explain)
    for flag, out in (("--save-video", save_video), ("--explain", explain)):
        if out is not None and len(clips) != 1:
            raise UsageError(f"{flag} {out}: one clip is drawn at a time, but {len(clips)} were given")
    if unknown_threshold is not None and not 0 <= unknown_threshold <= 1:
        raise UsageError(f"--unknown-threshold {unknown_threshold:g}: a share of known clips lies between 0 and 1")
    recognizer = Recognizer.load(model, device=device, cache=cache)
    if unknown_threshold is not None:
        if unknown_threshold and recognizer.familiarity is None:
            raise UsageError(f"--unknown-threshold {unknown_threshold:g}: {model} cannot tell what is unknown; train it again")
        recognizer = replace(recognizer, unknown_threshold=unknown_threshold)
    return predictions(recognizer, clips, top_k, save_video, explain)


def predictions(
    recognizer: Recognizer, clips: Sequence[Clip], top_k: int, save_video: Path | None, explain: Path | None
) -> Iterator[Prediction]:
    for first in range(0, len(clips), ANSWERS_AT_ONCE):
        portion = clips[first : first + ANSWERS_AT_ONCE]
        for clip, prediction in zip(portion, recognizer.predict_clips(portion), strict=True):
            failed = [] if prediction.error else drawn(recognizer, clip, prediction, save_video, explain)
            yield replace(prediction, scores=prediction.scores[:top_k], unwritten=failed)


def drawn(recognizer: Recognizer, clip: Clip, prediction: Prediction, save_video: Path | None, explain: Path | None) -> list[str]:
    """Write what is asked for of one clip; returns what could not be written, and why: the answer itself is not lost by it."""
    failed = []
    try:
        if save_video is not None:
            from gerund.video.annotate import annotate

            annotate(clip, drawn_scores(prediction), save_video)
    except VideoError as error:
        failed.append(str(error))
    try:
        if explain is not None:
            from gerund.recognition.explain import explanation
            from gerund.recognition.explain_picture import draw_explanation

            draw_explanation(explanation(recognizer, clip), explain)
    except VideoError as error:
        failed.append(str(error))
    return failed


def drawn_scores(prediction: Prediction) -> list[tuple[str, float]]:
    """What is drawn into a video: the ranked labels, or of an unknown clip that alone, without a probability."""
    return [(f"unknown ({prediction.best_guess}?)", math.nan)] if prediction.unknown else list(prediction.scores)
