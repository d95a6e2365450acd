"""The shapes of what is sent to a studio, and of its answers, for the API's description."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

ThingName = Annotated[str, Field(max_length=40)]


class Asked(BaseModel):
    """What every edit may carry: a `token` of the sender's own, so that one sent twice is made once, and the number of the last edit
    that the sender has `seen`, so that nothing newer is written over."""

    token: Annotated[str, Field(max_length=80)] = ""
    seen: int | None = None


class NewBout(Asked):
    video: ThingName
    label: ThingName
    start: float
    end: float
    subject: Annotated[str, Field(max_length=100)] = ""


class ChangedBout(Asked):
    label: ThingName | None = None
    start: float | None = None
    end: float | None = None
    subject: Annotated[str, Field(max_length=100)] | None = None


class SplitAt(Asked):
    at: float


class JoinWith(Asked):
    other: ThingName


class NewLabel(Asked):
    text: Annotated[str, Field(max_length=200)]


class ChangedLabel(Asked):
    text: Annotated[str, Field(max_length=200)] | None = None
    key: Annotated[str, Field(max_length=1)] | None = None


class Rejection(Asked):
    video: ThingName
    label: ThingName
    start: float
    end: float


class Acceptance(Asked):
    """Accept the model's segments of a label (in one video, or in all) that are at least so sure."""

    label: ThingName
    score: Annotated[float, Field(ge=0, le=1)]
    video: ThingName | None = None


class SortedClips(Asked):
    """Labels of whole videos by their names; null takes a video's label away."""

    labels: Annotated[dict[ThingName, ThingName | None], Field(min_length=1, max_length=100_000)]


class KindOfVideos(BaseModel):
    """Whether a project is one of short clips with one label each, or of films on a timeline."""

    clips: bool


class Paused(BaseModel):
    paused: bool


class EditAnswer(BaseModel):
    """An edit that is on the disk: the values after it by key (`bout/NAME`, `label/NAME`; null is gone), and what can be undone now."""

    number: int
    said: str
    done: Literal["edit", "undo", "redo", "note"]
    changes: list[tuple[str, dict[str, Any] | None]]
    undo: str | None
    redo: str | None


class LabelAnswer(BaseModel):
    name: str
    text: str
    key: str
    colour: str


class VideoAnswer(BaseModel):
    """A video: how far its features are, how much is labelled, how sure the model is of it (null before it has looked).

    `label` is the one of the whole video; where it is a clip, the model's `guess` has the probability `score`.
    """

    name: str
    title: str
    duration: float
    stage: Literal["waiting", "working", "ready", "failed", "missing"]
    share: float
    error: str
    bouts: int
    labelled: float
    certainty: float | None
    label: str | None
    guess: str | None
    score: float


class ProjectAnswer(BaseModel):
    number: int
    folder: str
    title: str
    by: str
    labels: list[LabelAnswer]
    videos: list[VideoAnswer]
    unreadable: dict[str, str]
    pending: int
    paused: bool
    undo: str | None
    redo: str | None
    clips: bool
    subjects: list[str]
    serving: str
    learned: bool
    complaint: str


class BoutAnswer(BaseModel):
    name: str
    label: str
    start: float
    end: float
    status: Literal["confirmed", "suggested", "rejected"]
    subject: str
    by: str


class SomeBout(BoutAnswer):
    video: str


class SegmentOfModel(BaseModel):
    label: str
    start: float
    end: float
    score: float


class OneVideoAnswer(BaseModel):
    """A video's bouts, and the model's segments after the edit `suggested` (null while it has learned nothing)."""

    number: int
    name: str
    duration: float
    fps: float
    bouts: list[BoutAnswer]
    segments: list[SegmentOfModel]
    suggested: int | None


class QuestionAnswer(BaseModel):
    video: str
    label: str
    start: float
    end: float
    score: float
    worth: float
    why: Literal["unsure", "doubt", "new"]
    bout: str


class Serving(BaseModel):
    on: bool


class ModelServed(BaseModel):
    """Where the model answers, on this machine; empty when it does not."""

    address: str


class ModelSaved(BaseModel):
    """Where the model is; null while it has learned nothing."""

    folder: str | None
    error: str
