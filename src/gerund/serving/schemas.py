"""The shapes of the API's answers, for its description."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Error(BaseModel):
    """Why a request was refused."""

    error: str


class Score(BaseModel):
    label: str
    score: float


class PredictionAnswer(BaseModel):
    """What `gerund predict --json` prints of a video; `path` is the name it was sent with."""

    path: str
    start: float
    end: float | None
    label: str | None
    best_guess: str | None
    unknown: bool
    known: float | None
    scores: list[Score]
    error: str | None


class SegmentAnswer(BaseModel):
    start: float
    end: float
    label: str
    score: float


class TimelineAnswer(BaseModel):
    """What happens when: segments in order of time, in seconds."""

    path: str
    duration: float
    segments: list[SegmentAnswer]
    error: str | None


class Steps(BaseModel):
    """The likeliest labels at instants of the video: `labels` are indices into the model's labels, best first."""

    pts: list[float]
    labels: list[list[int]]
    scores: list[list[float]]


class Weight(BaseModel):
    """How much a part of the video counted in the answer for all of it."""

    start: float
    end: float
    weight: float


class Result(BaseModel):
    prediction: PredictionAnswer
    timeline: TimelineAnswer
    steps: Steps
    weights: list[Weight]


class JobAnswer(BaseModel):
    """`progress` is the share of the video that was decoded, `position` how many others stand before it in the queue."""

    id: str
    name: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    progress: float = Field(ge=0, le=1)
    position: int | None
    error: str | None
    result: Result | None


class Bounds(BaseModel):
    """The largest upload in bytes and the longest video in seconds."""

    upload: int
    duration: float


class ModelAnswer(BaseModel):
    """`colours` are those of the labels, as #rrggbb, in every picture that gerund makes."""

    name: str
    version: str
    labels: list[str]
    colours: list[str]
    backbone: str
    head: str
    fps: float | None
    num_frames: int
    window: float
    limits: Bounds


class Login(BaseModel):
    token: str = Field(max_length=1000)
