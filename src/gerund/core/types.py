"""The nouns: Clip -> Frames -> Features -> Prediction. Pure data, numpy only."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from gerund.core.results import Answer

EXTRACTOR_VERSION = 4
"""Raised by hand whenever a change in decoding, resizing or pooling changes the value of a feature."""

Fit = Literal["crop", "squeeze", "letterbox"]
Interpolation = Literal["bilinear", "bicubic", "area"]
BAR = 20
"""Letters of the longest bar that shows a probability as text."""
FITS: tuple[Fit, ...] = ("crop", "squeeze", "letterbox")


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What to look at: a labelled span of one video; one manifest row, no pixels.

    `start` and `end` are seconds from the start of the file (docs/data.md), `end` is exclusive and None means the end of the video. Clips
    of one `group` (same source video, same person, same session) are never on two sides of a split. Labels and groups are kept in their
    composed form, so that the two ways to write an é are one class.
    """

    path: Path
    label: str | None = None
    start: float = 0.0
    end: float | None = None
    split: str | None = None
    group: str | None = None
    composed_texts: ClassVar[tuple[str, ...]] = ("label", "group")

    def __post_init__(self) -> None:
        if not isinstance(self.path, Path):
            object.__setattr__(self, "path", Path(self.path))
        for name in self.composed_texts:
            value = getattr(self, name)
            if value is not None and not unicodedata.is_normalized("NFC", value):
                object.__setattr__(self, name, composed(value))

    @property
    def shown(self) -> str:
        """The path, and the span where the clip is a part of its video: `a.mp4 [5 .. 9 s]`."""
        if self.start == 0 and self.end is None:
            return str(self.path)
        return f"{self.path} [{self.start:g} .. {'end' if self.end is None else f'{self.end:g} s'}]"


def composed(text: str) -> str:
    """A text in Unicode's form NFC: é as one character, however it was written."""
    return unicodedata.normalize("NFC", text)


@dataclass(frozen=True)
class Frames:
    """A block of decoded frames: `data` (N, H, W, 3) uint8 RGB and `pts` (N,) float64 seconds from the start of the file."""

    data: np.ndarray
    pts: np.ndarray

    def __len__(self) -> int:
        return len(self.data)


@dataclass(frozen=True, kw_only=True)
class Resize:
    """How a frame of any size becomes the backbone's one input size.

    `crop`: short side to `height / scale`, centre crop; `squeeze`: both sides stretched; `letterbox`: whole frame, black bars.
    """

    height: int
    width: int
    fit: Fit = "crop"
    scale: float = 1.0
    interpolation: Interpolation = "bicubic"


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """Everything that changes the value of a feature; its digest names the cache.

    `fps` None means every frame. `window` and `stride` count frames per step: 1 and 1 for an image backbone.
    """

    backbone: str
    fps: float | None
    view: Literal["centre", "flip"] = "centre"
    pooling: str = "mean"
    precision: str = "f32"
    window: int = 1
    stride: int = 1
    version: int = EXTRACTOR_VERSION

    @property
    def step(self) -> float | None:
        """Seconds from one row to the next at the rate; None for every frame."""
        return self.stride / self.fps if self.fps else None

    @property
    def digest(self) -> str:
        """16 hexadecimal digits, equal on every machine."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


class Rows(Protocol):
    """What `Features.data` must offer: an array (N, D), or a lazy stack of cache blocks that reads like one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: slice, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Features:
    """What the backbone saw of one video: `data` (N, D) float16, lazily read, and `pts` (N,) float64 seconds.

    A row lasts until the next one, the last one until `end`, which `known_end` says where the end of the video is known. A picture that
    stands still has a row for each step that it is on screen (`features.tokens.on_screen`).
    """

    data: Rows
    pts: np.ndarray
    known_end: float | None = None

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def feature_dim(self) -> int:
        return self.data.shape[1]

    @property
    def end(self) -> float:
        """Seconds at which the last row's time is over; where nobody knows, its pts plus the usual distance between rows."""
        if self.known_end is not None:
            return self.known_end
        return float(self.pts[-1] + (np.median(np.diff(self.pts)) if len(self.pts) > 1 else 0.0))


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One row of a timeline: `start` and `end` in seconds, `score` in 0..1."""

    start: float
    end: float
    label: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Timeline(Answer):
    """One video over time: `scores` (N, K) float32 are the probabilities of `labels` at `pts` (N,) seconds, the feature grid.

    `segments` are in order of time and do not overlap; what lies between them is background, or nothing the model is sure of.
    With `error`, why the video could not be read, all of it is empty. `duration` is in seconds. `unwritten` says which files that
    were asked for could not be written, and why.
    """

    path: Path
    labels: Sequence[str]
    pts: np.ndarray = field(default_factory=lambda: np.empty(0))
    scores: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    segments: Sequence[Segment] = ()
    duration: float = 0.0
    error: str | None = None
    unwritten: Sequence[str] = ()
    columns: ClassVar = ("path", "start", "end", "label", "score", "error")

    def as_json(self) -> dict[str, Any]:
        """Plain values, without the scores at each step."""
        segments = [asdict(each) for each in self.segments]
        return {"path": str(self.path), "duration": self.duration, "segments": segments, "error": self.error}

    def as_text(self) -> Iterator[str]:
        yield f"{self.path}  ({self.duration:.1f} s, {len(self.segments)} segments)"
        for each in self.segments:
            yield f"  {clock_time(each.start)} .. {clock_time(each.end)}  {100 * each.score:6.2f} %  {each.label}"

    def as_rows(self) -> list[list[Any]]:
        """Each segment; of a video that could not be read one row with the error."""
        if self.error is not None:
            return [[self.path, None, None, None, None, self.error]]
        return [
            [self.path, f"{each.start:.3f}", f"{each.end:.3f}", each.label, f"{each.score:.6f}", None] for each in self.segments
        ]

    def as_sheet(self) -> list[list[Any]]:
        spans = [[round(each.start, 3), round(each.end, 3), each.label, round(each.score, 6)] for each in self.segments]
        return [[self.path, *span, None] for span in spans] if self.error is None else self.as_rows()


def clock_time(seconds: float) -> str:
    """0:01:02.3"""
    tenths = round(10 * seconds)
    return f"{tenths // 36_000}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


@dataclass(frozen=True, kw_only=True)
class Prediction(Answer):
    """The answer for one clip: `scores` holds (label, probability) pairs, highest first, adding up to 1 over all classes.

    `known` is the share of clips of known classes that look at most as familiar, 0..1 (None from a model that cannot tell); where it is
    below the threshold, the clip is `unknown`. `unwritten` says which files that were asked for could not be written, and why.
    """

    path: Path
    scores: Sequence[tuple[str, float]] = field(default_factory=tuple)
    start: float = 0.0
    end: float | None = None
    error: str | None = None
    known: float | None = None
    unknown: bool = False
    unwritten: Sequence[str] = ()
    columns: ClassVar = ("path", "start", "end", "rank", "label", "score", "error", "known", "unknown")
    sheet_columns: ClassVar = (
        *("path", "start", "end", "label", "score", "second", "second score", "third", "third score"),
        *("known", "unknown", "error"),
    )

    @property
    def label(self) -> str | None:
        """The likeliest label, or `unknown`; None when the clip could not be decoded (`error` says why)."""
        return "unknown" if self.unknown else self.best_guess

    @property
    def best_guess(self) -> str | None:
        """The likeliest label, however unlikely."""
        return self.scores[0][0] if self.scores else None

    def top(self, k: int | None) -> list[dict[str, Any]]:
        """The k likeliest labels in the Hugging Face shape, `[{"label": ..., "score": ...}, ...]`; None gives all."""
        return [{"label": label, "score": score} for label, score in self.scores[:k]]

    def values(self, top_k: int | None = None) -> dict[str, Any]:
        """Plain values for JSON, with the `top_k` likeliest labels."""
        values: dict[str, Any] = {"path": str(self.path), "start": self.start, "end": self.end}
        values |= {"label": self.label, "best_guess": self.best_guess, "unknown": self.unknown, "known": self.known}
        return values | {"scores": self.top(top_k), "error": self.error}

    def as_json(self) -> dict[str, Any]:
        return self.values()

    def as_text(self) -> Iterator[str]:
        span = f"  [{self.start:g} .. {self.end:g} s]" if self.end is not None else ""
        if self.unknown:
            yield f"{self.path}{span}  unknown; most like {self.best_guess}"
            return
        yield f"{self.path}{span}"
        width = max((len(label) for label, _ in self.scores), default=0)
        for label, score in self.scores:
            yield f"  {100 * score:6.2f} %  {label:<{width}}  {'█' * round(BAR * score)}".rstrip()

    def as_rows(self) -> list[list[Any]]:
        """Each label with its rank; of an unknown clip, and of one that could not be decoded, one row, which has no score."""
        span = [self.path, self.start, self.end]
        trust = [None if self.known is None else f"{self.known:.6f}", self.unknown]
        if self.unknown:
            return [[*span, 1, self.label, None, None, *trust]]
        ranked = enumerate(self.scores, start=1)
        rows = [[*span, rank, label, f"{score:.6f}", None, *trust] for rank, (label, score) in ranked]
        return rows or [[*span, None, None, None, self.error, *trust]]

    def as_sheet(self) -> list[list[Any]]:
        """One row: the likeliest labels side by side; of an unknown clip no score."""
        ranked = [(self.label, None)] if self.unknown else [(label, round(score, 6)) for label, score in self.scores]
        best = [cell for pair in [*ranked, *[(None, None)] * 3][:3] for cell in pair]
        known = None if self.known is None else round(self.known, 6)
        return [[self.path, self.start, self.end, *best, known, self.unknown, self.error]]


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why a clip got its label, over its S time steps. Falls are of the label's probability, 0.1 for one from 0.9 to 0.8.

    `seconds` (S,) and `frames` (S, H, W, 3) uint8: a frame from the middle of each step. `weights` (S,): the head's, adding up to 1.
    `drops` (S,): the fall when the step is hidden. `heat` (G, G): the fall when a patch covers that place of every frame, counted
    from the top left.
    """

    prediction: Prediction
    seconds: np.ndarray
    frames: np.ndarray
    weights: np.ndarray
    drops: np.ndarray
    heat: np.ndarray
