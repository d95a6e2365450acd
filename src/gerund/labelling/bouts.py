"""What a project holds, as values in its journal: videos, labels and bouts, and how a new bout makes room among the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

from gerund.core.types import composed
from gerund.data.annotations import Status
from gerund.labelling.journal import Change

SHORTEST_PIECE = 0.02
"""Seconds; what is left of a bout that another one covers is dropped when it is shorter."""
LABEL_LETTERS = 100

Thing = TypeVar("Thing", "LabelledBout", "Label", "Footage")


@dataclass(frozen=True, kw_only=True)
class Footage:
    """A video of the project, known by its content: `digest` of the file, and where it was seen last, from the project's folder."""

    name: str
    digest: str
    path: str
    duration: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Label:
    """A label under its `name` (not its text: it may be renamed); `key` is the digit that gives it, or empty; `place` its colour."""

    name: str
    text: str
    key: str = ""
    place: int = 0


@dataclass(frozen=True, kw_only=True)
class LabelledBout:
    """A labelled span of one video, in seconds; of a point event, end == start. `video` and `label` are names of theirs."""

    name: str
    video: str
    label: str
    start: float
    end: float
    status: Status = "confirmed"
    subject: str = ""
    by: str = ""
    at: str = ""

    @property
    def length(self) -> float:
        return self.end - self.start

    def overlaps(self, other: LabelledBout) -> bool:
        """Whether two bouts are of one animal or person at one time, as no two confirmed ones may be."""
        same = self.video == other.video and self.subject == other.subject and self.name != other.name
        return same and self.start < other.end and other.start < self.end


KEYS_OF: dict[type, str] = {LabelledBout: "bout", Label: "label", Footage: "video"}


def journal_key(thing: LabelledBout | Label | Footage) -> str:
    return f"{KEYS_OF[type(thing)]}/{thing.name}"


def values_of(thing: LabelledBout | Label | Footage) -> dict[str, Any]:
    """As the journal holds it: without the name, which is in the key, and without what is empty."""
    kept = {each.name: each.default for each in fields(thing)}
    return {name: value for name, value in asdict(thing).items() if name != "name" and value != kept[name]}


def things(kind: type[Thing], found: Mapping[str, Mapping[str, Any]]) -> dict[str, Thing]:
    """What the journal holds of one kind, by name; what a newer version has written beside it is passed over."""
    known = {each.name for each in fields(kind)}
    return {
        name: kind(name=name, **{key: value for key, value in values.items() if key in known}) for name, values in found.items()
    }


def added(thing: LabelledBout | Label | Footage) -> Change:
    return journal_key(thing), None, values_of(thing)


def removed(thing: LabelledBout | Label | Footage) -> Change:
    return journal_key(thing), values_of(thing), None


def changed(before: Thing, after: Thing) -> Change:
    return journal_key(before), values_of(before), values_of(after)


def make_room(new: LabelledBout, others: Iterable[LabelledBout], names: Iterable[str]) -> list[Change]:
    """The changes to other bouts that leave the time of a confirmed one to it: cut short, parted in two, or gone.

    `names` are for second halves.
    """
    free = iter(names)
    changes: list[Change] = []
    for other in others:
        if other.status == "rejected" or not new.overlaps(other):
            continue
        pieces = [replace(other, end=min(other.end, new.start)), replace(other, start=max(other.start, new.end))]
        left = [piece for piece in pieces if piece.length >= SHORTEST_PIECE]
        changes.append(changed(other, left[0]) if left else removed(other))
        changes += [added(replace(piece, name=next(free))) for piece in left[1:]]
    return changes


def cleaned(text: str) -> str:
    """A name as people typed it, in one line, composed, without the spaces around it."""
    return composed(" ".join(text.split()))[:LABEL_LETTERS]
