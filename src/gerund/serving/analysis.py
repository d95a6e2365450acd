"""Features of one video -> the plain values that the API gives out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from gerund.core.errors import VideoError
from gerund.core.types import Clip, Features, Prediction, Timeline
from gerund.features.extractor import Extraction
from gerund.features.tokens import clip_rows, part_edges, tokens
from gerund.recognition.recognizer import Recognizer
from gerund.timelines.timeline import Windows, step_edges, timeline_of

STEPS = 4000
"""Time steps of a timeline that are given out at most; a screen has no more pixels."""
RANKS = 5


def prediction_of(recognizer: Recognizer, name: str, features: Features) -> Prediction:
    """The ranked labels of a whole video under the name it was sent with. Raises VideoError when it has none."""
    clip = Clip(path=Path(name))
    (prediction,) = recognizer.predictions(Extraction(features={clip.path: features}), [clip])
    if prediction.error:
        raise VideoError(prediction.error.removeprefix(f"{name}: "))
    return prediction


def analysis(recognizer: Recognizer, name: str, features: Features, windows: Windows) -> tuple[dict[str, Any], Timeline]:
    """Everything a page shows of a video: the answer for all of it, the segments, the best labels at each step, the steps' weights."""
    prediction = prediction_of(recognizer, name, features)
    timeline = timeline_of(recognizer, Path(name), features, windows)
    segments = [{"start": each.start, "end": each.end, "label": each.label, "score": each.score} for each in timeline.segments]
    values = {
        "prediction": prediction.values(),
        "timeline": {"path": name, "duration": timeline.duration, "segments": segments, "error": None},
        "steps": steps(timeline),
        "weights": weights(recognizer, features),
    }
    return values, timeline


def steps(timeline: Timeline) -> dict[str, Any]:
    """The best RANKS labels at up to STEPS instants: `pts` (n,) seconds, `labels` (n, RANKS) numbers, `scores` (n, RANKS)."""
    rows = np.unique(np.linspace(0, len(timeline.pts) - 1, min(STEPS, len(timeline.pts))).round().astype(int))
    scores = timeline.scores[rows]
    best = np.argsort(-scores, axis=1, kind="stable")[:, :RANKS]
    return {
        "pts": timeline.pts[rows].round(3).tolist(),
        "labels": best.tolist(),
        "scores": np.take_along_axis(scores, best, axis=1).astype(float).round(4).tolist(),
    }


@torch.inference_mode()
def weights(recognizer: Recognizer, features: Features) -> list[dict[str, float]]:
    """How much each part of a video counted in the answer for all of it, in order of time, adding up to 1."""
    clip = Clip(path=Path())
    sampling = recognizer.sampling
    data, valid = tokens(features, clip, sampling)
    shares = recognizer.head.step_weights(torch.from_numpy(data)[None], torch.from_numpy(valid)[None])[0].tolist()
    used = clip_rows(features, clip)
    count = min(used.stop - used.start, sampling.num_frames) if sampling.take == "first" else used.stop - used.start
    borders = step_edges(features, recognizer.extractor.spec.fps)[used.start + part_edges(count, sampling.num_frames, None)]
    return [
        {"start": float(start), "end": float(end), "weight": float(share)}
        for start, end, share in zip(borders[:-1], borders[1:], shares, strict=False)
    ]
