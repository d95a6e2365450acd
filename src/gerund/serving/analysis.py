"""Features of one video -> the plain values that the API gives out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gerund.core.errors import VideoError
from gerund.core.types import Clip, Features, Prediction, Timeline
from gerund.features.extractor import Extraction
from gerund.features.tokens import step_edges
from gerund.recognition.recognizer import Recognizer
from gerund.timelines.timeline import TimelineSettings, row_borders, timeline_of

STEPS_GIVEN = 4000
"""Time steps of a timeline that are given out at most; a screen has no more pixels."""
RANKS = 5


def prediction_of(recognizer: Recognizer, name: str, features: Features) -> Prediction:
    """The ranked labels of a whole video under the name it was sent with. Raises VideoError when it has none."""
    clip = Clip(path=Path(name))
    (prediction,) = recognizer.predictions(Extraction(features={clip.path: features}), [clip])
    if prediction.error:
        raise VideoError(prediction.error.removeprefix(f"{name}: "))
    return prediction


def analysis(recognizer: Recognizer, name: str, features: Features, windows: TimelineSettings) -> tuple[dict[str, Any], Timeline]:
    """Everything a page shows of a video: the answer for all of it, the segments, the best labels at each step, the steps' weights."""
    prediction = prediction_of(recognizer, name, features)
    timeline = timeline_of(recognizer, Path(name), features, windows)
    values = {
        "prediction": prediction.values(),
        "timeline": timeline.as_json(),
        "steps": steps(timeline),
        "weights": weights(recognizer, features),
    }
    return values, timeline


def steps(timeline: Timeline) -> dict[str, Any]:
    """The best RANKS labels at up to STEPS_GIVEN instants: `pts` (n,) seconds, `labels` (n, RANKS) numbers, `scores` (n, RANKS)."""
    rows = np.unique(np.linspace(0, len(timeline.pts) - 1, min(STEPS_GIVEN, len(timeline.pts))).round().astype(int))
    scores = timeline.scores[rows]
    best = np.argsort(-scores, axis=1, kind="stable")[:, :RANKS]
    return {
        "pts": timeline.pts[rows].round(3).tolist(),
        "labels": best.tolist(),
        "scores": np.take_along_axis(scores, best, axis=1).astype(float).round(4).tolist(),
    }


def weights(recognizer: Recognizer, features: Features) -> list[dict[str, float]]:
    """How much each part of a video counted in the answer for all of it, in order of time, adding up to 1."""
    clip = Clip(path=Path())
    _, shares = recognizer.step_weights(features, clip)
    borders = row_borders(features, recognizer.extractor.spec.fps)[step_edges(features, clip, recognizer.sampling)]
    return [
        {"start": float(start), "end": float(end), "weight": float(share)}
        for start, end, share in zip(borders[:-1], borders[1:], shares, strict=True)
    ]
