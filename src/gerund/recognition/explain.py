"""Why a clip got its label: what each time step weighs, and which place in its frames the answer rests on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from gerund import video
from gerund.core.errors import UsageError, VideoError
from gerund.core.places import as_path
from gerund.core.progress import progress
from gerund.core.types import Clip, Explanation, Features
from gerund.features.batches import Windows
from gerund.features.tokens import picked_rows, step_edges, stored_rows, tokens
from gerund.recognition.explain_picture import check_picture, draw_explanation
from gerund.recognition.recognizer import Recognizer, clip_to_see
from gerund.video.rate import TIME_SLACK

ACROSS = 7
"""Places of the patch along each side of the frame."""
PATCH = 2 / ACROSS
"""Side of the patch as a share of the frame's: Zeiler and Fergus cover about a quarter too, and smaller ones hardly move an answer."""
GREY = 128
MOST_ROWS = 2000
"""Rows of a clip that can be searched; each is seen ACROSS x ACROSS times, and what was seen is held in memory."""
ROWS_AT_ONCE = 4
"""Rows whose covered copies are seen together: enough to fill the backbone's batches."""
SHOWN_HEIGHT = 240


def explain(
    model: str | Path | Recognizer,
    clip: str | Path | Clip,
    *,
    out: str | Path | None = None,
    device: str = "auto",
    cache: str | Path | None = None,
) -> Explanation:
    """Why a model answers what it answers for one clip; drawn into the picture `out` if given.

    Occlusion (Zeiler and Fergus 2014, arXiv:1311.2901, sec. 4.2): a grey patch covers one place of the frame for the whole clip, the
    backbone sees the clip anew, and the heat of the place is how far the label's probability falls. For a single time step it
    hardly ever falls, since the other steps tell the same.
    Raises VideoError for a clip that cannot be decoded, UsageError when `out` is no picture or the clip too long to be searched.
    """
    out = as_path(out)
    if out is not None:
        check_picture(out)
    recognizer = model if isinstance(model, Recognizer) else Recognizer.load(model, device=device, cache=cache)
    found = explanation(recognizer, clip_to_see(clip))
    if out is not None:
        draw_explanation(found, out)
    return found


def explanation(recognizer: Recognizer, clip: Clip) -> Explanation:
    """What `explain` gives, for a recogniser at hand."""
    prediction = recognizer.predict_clips([clip])[0]
    if prediction.error is not None:
        raise VideoError(prediction.error)
    answer = recognizer.labels.index(prediction.scores[0][0])
    features = recognizer.extractor.extract([clip.path]).features[clip.path]
    edges = step_edges(features, clip, recognizer.sampling)
    if edges[-1] - edges[0] > MOST_ROWS:
        raise UsageError(
            f"--explain {clip.path}: {edges[-1] - edges[0]} frames are too many to be searched; give a span of at most {MOST_ROWS} "
            "in a CSV (path,start,end)"
        )
    weights, drops = weigh_steps(recognizer, *tokens(features, clip, recognizer.sampling), answer)
    seconds = features.pts[picked_rows(edges, None)]
    return Explanation(
        prediction=prediction,
        seconds=seconds,
        frames=pictures(recognizer, clip.path, seconds),
        weights=weights,
        drops=drops,
        heat=occlusion(recognizer, features, clip, slice(int(edges[0]), int(edges[-1])), answer),
    )


def weigh_steps(recognizer: Recognizer, data: np.ndarray, valid: np.ndarray, answer: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each valid step (S,): the head's weight, and how far the probability of class `answer` falls when the step is hidden."""
    count = int(valid.sum())
    weights = recognizer.head.step_weights(data[None], valid[None])[0, :count]
    if count == 1:
        return weights, np.zeros(1)
    hidden = np.repeat(valid[None], count + 1, axis=0)
    hidden[np.arange(count), np.arange(count)] = False
    scores = recognizer.probabilities(np.repeat(data[None], count + 1, axis=0), hidden)[:, answer]
    return weights, scores[-1] - scores[:-1]


def pictures(recognizer: Recognizer, path: Path, seconds: np.ndarray) -> np.ndarray:
    """The frames (S, H, W, 3) on screen at some seconds, as the backbone sees them but in their own proportions and fit to print."""
    resize = recognizer.backbone.resize
    whole = next(video.read(path, block=1)).data[0]
    shape = whole.shape[:2] if resize.fit == "squeeze" else (resize.height, resize.width)
    convert = video.FrameConverter(replace(resize, height=SHOWN_HEIGHT, width=round(SHOWN_HEIGHT * shape[1] / shape[0])))
    found: list[np.ndarray] = []
    frames = video.wanted_frames(path, fps=recognizer.extractor.spec.fps)
    _, shown = next(frames)
    for pts, frame in frames:
        while len(found) < len(seconds) and pts > seconds[len(found)] + TIME_SLACK:
            found.append(convert(shown))
        shown = frame
    return np.stack(found + [convert(shown)] * (len(seconds) - len(found)))


def occlusion(recognizer: Recognizer, features: Features, clip: Clip, span: slice, answer: int) -> np.ndarray:
    """How far the probability of class `answer` falls with each place covered in the rows of `span`: (ACROSS, ACROSS)."""
    rows = np.array(features.data[: span.stop])

    def score() -> float:
        data, valid = tokens(Features(rows, features.pts[: span.stop], features.end), clip, recognizer.sampling)
        return float(recognizer.probabilities(data[None], valid[None])[0, answer])

    plain, heat = score(), np.zeros(ACROSS * ACROSS)
    behind = stored_rows(features)[span]
    seen = covered_rows(recognizer, clip.path, slice(int(behind[0]), int(behind[-1]) + 1))
    for place in range(ACROSS * ACROSS):
        rows[span] = seen[behind - behind[0], place]
        heat[place] = plain - score()
    return heat.reshape(ACROSS, ACROSS)


def covered_rows(recognizer: Recognizer, path: Path, span: slice) -> np.ndarray:
    """Features (rows, ACROSS * ACROSS, D) of a video's rows with each place covered."""
    found: list[np.ndarray] = []
    seen = windows_seen(recognizer, path, span)
    with progress("Covering places", (span.stop - span.start) * ACROSS * ACROSS, "looks") as bar:
        while some := [covered(window) for window in itertools.islice(seen, ROWS_AT_ONCE)]:
            found.append(recognizer.extractor.look(np.concatenate(some)))
            bar.advance(len(found[-1]))
    return np.concatenate(found).reshape(span.stop - span.start, ACROSS * ACROSS, -1)


def windows_seen(recognizer: Recognizer, path: Path, span: slice) -> Iterator[np.ndarray]:
    """What the backbone saw for each of some rows: (window, H, W, 3)."""
    spec, convert = recognizer.extractor.spec, video.FrameConverter(recognizer.backbone.resize)
    windows = Windows(spec.window, spec.stride)
    left = span.stop - span.start
    for pts, frame in itertools.islice(video.wanted_frames(path, fps=spec.fps), span.start * spec.stride, None):
        for frames, _ in windows.add(0, convert(frame)[None], np.array([pts])):
            yield frames
            left -= 1
        if not left:
            return
    yield from (frames for frames, _ in windows.finish(0))


def covered(frames: np.ndarray) -> np.ndarray:
    """Copies of frames (n, H, W, 3), in each of them the patch at another place: (ACROSS * ACROSS * n, H, W, 3), places row by row."""
    count, height, width, _ = frames.shape
    copies = np.tile(frames, (ACROSS * ACROSS, 1, 1, 1))
    for place in range(ACROSS * ACROSS):
        top, bottom = patch(place // ACROSS, height)
        left, right = patch(place % ACROSS, width)
        copies[place * count : (place + 1) * count, top:bottom, left:right] = GREY
    return copies


def patch(place: int, length: int) -> tuple[int, int]:
    """First and last-but-one pixel of the patch around a place's middle, cut at the borders."""
    middle = (place + 0.5) / ACROSS
    return max(round((middle - PATCH / 2) * length), 0), min(round((middle + PATCH / 2) * length), length)
