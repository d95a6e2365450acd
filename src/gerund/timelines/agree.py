"""`gerund agree`: two people's labels of the same videos, or a model's against a person's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gerund.core import options
from gerund.core.errors import DataError, UsageError
from gerund.core.printing import percent, rounded, table
from gerund.core.progress import note
from gerund.core.results import Printable
from gerund.core.types import clock_time
from gerund.data.annotations import Annotation, write_annotations
from gerund.data.checks import some
from gerund.data.datasets.background import BACKGROUND
from gerund.recognition.evaluate import is_model
from gerund.timelines.agreement import (
    NO_LABEL,
    codes_at,
    confusion_of,
    differing_runs,
    kappa,
    label_pairs,
    pairs_overlapping,
    pairs_within,
)
from gerund.timelines.evaluate import F1_OVERLAPS
from gerund.timelines.metrics import segmental_f1
from gerund.timelines.observations import Bout, Observation, observe, read_observations

LENGTH_SLACK = 0.5
"""Seconds by which two records of one video may differ in its length without a word."""
MOST_COMPARED = 50_000_000
DISAGREEMENTS_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One video, or one subject in it, on both sides, up to the end of the shorter record."""

    path: Path
    subject: str | None
    duration: float
    first: Sequence[Bout]
    second: Sequence[Bout]

    @property
    def states(self) -> tuple[list[Bout], list[Bout]]:
        """Both sides without point events."""
        return [bout for bout in self.first if not bout.is_point], [bout for bout in self.second if not bout.is_point]


@dataclass(frozen=True, kw_only=True)
class Offsets:
    """How far the borders of bouts lie apart that both sides have (same label, overlapping), second - first, in seconds."""

    label: str
    pairs: int
    start_mean: float
    start_median_distance: float
    end_mean: float
    end_median_distance: float


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """A span to which the two sides give different labels; `(none)` is no label."""

    path: Path
    subject: str | None
    start: float
    end: float
    first: str
    second: str


@dataclass(frozen=True, kw_only=True)
class Agreement(Printable):
    """Agreement of two records, `names`, over `compared`; its rows are the disagreements.

    Steps of `step` seconds are compared by their middles; `tolerance` is in seconds. Point events count in the kappa by bouts alone.
    """

    names: tuple[str, str]
    compared: Sequence[Compared]
    labels: Sequence[str]
    step: float
    tolerance: float
    columns: ClassVar = ("path", "subject", "start", "end", "first", "second")

    @cached_property
    def codes(self) -> list[tuple[np.ndarray, np.ndarray]]:
        found = []
        for each in self.compared:
            times = (np.arange(max(1, round(each.duration / self.step))) + 0.5) * self.step
            first, second = each.states
            found.append((codes_at(first, times, self.labels), codes_at(second, times, self.labels)))
        return found

    @cached_property
    def confusion(self) -> np.ndarray:
        """Steps (K + 1, K + 1) with the label of the first (rows) and the second side (columns); the last of both is no label."""
        size = len(self.labels) + 1
        return sum((confusion_of(first, second, size) for first, second in self.codes), np.zeros((size, size), int))

    @cached_property
    def bout_confusion(self) -> np.ndarray:
        """Bouts (K + 1, K + 1) that begin within the tolerance of each other, points too; the last row and column: no partner."""
        names = [*self.labels, NO_LABEL]
        pairs = sum((label_pairs(pairs_within(each.first, each.second, self.tolerance)) for each in self.compared), Counter())
        return np.array([[pairs[one, other] for other in names] for one in names])

    @cached_property
    def metrics(self) -> dict[str, float | None]:
        """Share of steps that agree; kappa per step and by bouts; F1 of the second against the first at three overlaps."""
        videos = [(each.states[1], each.states[0]) for each in self.compared]
        f1 = {f"f1@{100 * overlap:.0f}": segmental_f1(videos, overlap) for overlap in F1_OVERLAPS}
        return {
            "agreement": float(np.trace(self.confusion) / self.confusion.sum()),
            "kappa_steps": kappa(self.confusion),
            "kappa_bouts": kappa(self.bout_confusion),
            **{name: None if np.isnan(value) else value for name, value in f1.items()},
        }

    @cached_property
    def offsets(self) -> list[Offsets]:
        found = []
        pairs = [pair for each in self.compared for pair in pairs_overlapping(*each.states) if pair[0] and pair[1]]
        for label in self.labels:
            borders = np.array([(b.start - a.start, b.end - a.end) for a, b in pairs if a and b and a.label == label])
            if len(borders):
                mean, median = borders.mean(axis=0), np.median(np.abs(borders), axis=0)
                found.append(
                    Offsets(
                        label=label,
                        pairs=len(borders),
                        start_mean=float(mean[0]),
                        start_median_distance=float(median[0]),
                        end_mean=float(mean[1]),
                        end_median_distance=float(median[1]),
                    )
                )
        return found

    @cached_property
    def disagreements(self) -> list[Disagreement]:
        """Spans of at least the tolerance with different labels; shorter ones are borders that lie apart."""
        names = [*self.labels, NO_LABEL]
        return [
            Disagreement(path=each.path, subject=each.subject, start=start, end=end, first=names[one], second=names[other])
            for each, (first, second) in zip(self.compared, self.codes, strict=True)
            for start, end, one, other in differing_runs(first, second, self.step, self.tolerance)
        ]

    def as_json(self) -> dict[str, Any]:
        return {
            "names": list(self.names),
            **self.metrics,
            "labels": [*self.labels, NO_LABEL],
            "confusion_seconds": (self.confusion * self.step).tolist(),
            "confusion_bouts": self.bout_confusion.tolist(),
            "offsets": [asdict(each) for each in self.offsets],
            "disagreements": [{**asdict(each), "path": str(each.path)} for each in self.disagreements],
        }

    def as_rows(self) -> Iterator[list[Any]]:
        for each in self.disagreements:
            yield [each.path, each.subject, f"{each.start:.3f}", f"{each.end:.3f}", each.first, each.second]

    def as_sheet(self) -> Iterator[list[Any]]:
        for each in self.disagreements:
            yield [each.path, each.subject, round(each.start, 3), round(each.end, 3), each.first, each.second]

    def as_text(self) -> Iterator[str]:
        seconds = sum(each.duration for each in self.compared)
        videos = len({each.path for each in self.compared})
        yield f"{self.names[0]} and {self.names[1]}: {videos} video{'s' * (videos != 1)}, {seconds / 3600:.2f} h, in steps of {self.step:g} s"
        yield ""
        found = self.metrics
        rows = [
            ("time with the same label", percent(found["agreement"] or 0.0)),
            ("Cohen's kappa, per step", rounded(found["kappa_steps"])),
        ]
        rows += [(f"Cohen's kappa, bouts within {self.tolerance:g} s", rounded(found["kappa_bouts"]))]
        rows += [(name.upper(), rounded(found[name])) for name in found if name.startswith("f1")]
        yield from table(("", ""), rows)
        yield "(kappa: what agrees beyond chance; 1 is all, 0 as by chance)"
        yield from ("", f"seconds; rows: {self.names[0]}, columns: {self.names[1]}")
        names = [*self.labels, NO_LABEL]
        lines = [(name, *(f"{each:.1f}" for each in row)) for name, row in zip(names, self.confusion * self.step, strict=True)]
        yield from table(("", *names), lines, left=(0,))
        yield from self.offset_lines()
        yield from self.disagreement_lines()

    def offset_lines(self) -> Iterator[str]:
        if self.offsets:
            yield from ("", f"borders of bouts that both have: {self.names[1]} - {self.names[0]}, in seconds")
            rows = [
                (
                    each.label,
                    str(each.pairs),
                    f"{each.start_mean:+.2f}",
                    f"{each.start_median_distance:.2f}",
                    f"{each.end_mean:+.2f}",
                    f"{each.end_median_distance:.2f}",
                )
                for each in self.offsets
            ]
            yield from table(
                ("label", "bouts", "start, mean", "median distance", "end, mean", "median distance"), rows, left=(0,)
            )

    def disagreement_lines(self) -> Iterator[str]:
        spans = sorted(self.disagreements, key=lambda each: each.start - each.end)
        total = sum(each.end - each.start for each in spans)
        yield from (
            "",
            f"{len(spans)} spans of {self.tolerance:g} s or more with different labels, {total:.1f} s in all{'; the longest:' * bool(spans)}",
        )
        for each in spans[:DISAGREEMENTS_SHOWN]:
            who = f" ({each.subject})" if each.subject else ""
            yield f"  {each.path}{who}  {clock_time(each.start)} .. {clock_time(each.end)}  {each.first} | {each.second}"


def agree(
    a: options.FirstLabels,
    b: options.SecondLabels,
    *,
    step: options.StepSeconds = 0.1,
    tolerance: options.Tolerance = 1.0,
    out: options.DisagreementsFile | None = None,
    device: options.Device = options.USUAL.device,
    cache: options.CacheFolder | None = None,
) -> Agreement:
    """Compare two records of the same videos: labels of two people, or of a model and a person.

    Raises UsageError for options that cannot be, DataError for what cannot be read, or shares no video.

    Each argument is explained in `gerund.core.options`, and by `gerund agree --help`.
    """
    if not step > 0:
        raise UsageError(f"--step {step:g}: a number of seconds above 0 is needed")
    if not tolerance >= 0:
        raise UsageError(f"--tolerance {tolerance:g}: a number of seconds, 0 or more, is needed")
    second = usable_of(read_observations(b) if not is_model(b) else None, b)
    first = usable_of(observe([a, *second], device=device, cache=cache) if is_model(a) else read_observations(a), a)
    names = (str(a), str(b)) if Path(a).name == Path(b).name else (Path(a).name, Path(b).name)
    compared = side_by_side(first, second, (str(a), str(b)))
    if (steps := sum(each.duration for each in compared) / step) > MOST_COMPARED:
        raise UsageError(f"--step {step:g}: {steps:,.0f} steps are too many; take longer ones")
    found = Agreement(names=names, compared=compared, labels=labels_of_both(first, second, names), step=step, tolerance=tolerance)
    if out is not None:
        write_annotations(to_label_again(found), Path(out))
    return found


def usable_of(found: Sequence[Observation] | None, name: str | Path) -> dict[Path, Observation]:
    """The videos of one side that could be read. Raises UsageError for a model in second place, DataError when none could."""
    if found is None:
        raise UsageError(f"{name}: a model; name it first: its videos are those of the labels that come second")
    for each in found:
        if each.error is not None:
            note(f"left out: {each.error}")
    usable = {each.path: each for each in found if each.error is None}
    if not usable:
        raise DataError(f"{name}: no video that can be compared")
    return usable


def side_by_side(first: dict[Path, Observation], second: dict[Path, Observation], names: tuple[str, str]) -> list[Compared]:
    """The videos (and subjects) of both: the same file, or else the only one of that name on either side. Raises DataError for none."""
    partner = partners(list(first), list(second))
    if not partner:
        raise DataError(
            f"{names[0]} and {names[1]} have no video in common ({some([str(p) for p in first])}; {some([str(p) for p in second])})"
        )
    lone = [str(path) for path in [*(p for p in first if p not in partner), *(p for p in second if p not in partner.values())]]
    if lone:
        note(f"On one side only, and left out: {some(lone)}.")
    compared = []
    for path, other in partner.items():
        one, two = first[path], second[other]
        if abs(one.duration - two.duration) > LENGTH_SLACK:
            note(
                f"{path}: {one.duration:.1f} s long on one side, {two.duration:.1f} s on the other: compared up to the end of the shorter."
            )
        length = min(one.duration, two.duration)
        one, two = of_the_same(one, two), of_the_same(two, one)
        for subject in sorted({*one.subjects, *two.subjects} - ({None} if one.bouts or two.bouts else set()), key=str) or [None]:
            ours, theirs = (
                [bout for bout in each.bouts if bout.subject == subject and bout.start <= length] for each in (one, two)
            )
            compared.append(Compared(path=path, subject=subject, duration=length, first=ours, second=theirs))
    return compared


def of_the_same(one: Observation, other: Observation) -> Observation:
    """A record that names nobody is one of the single subject that the other names; told where the other names several."""
    named = [subject for subject in other.subjects if subject is not None]
    if not named or not one.bouts or any(bout.subject for bout in one.bouts):
        return one
    if len(other.subjects) > 1:
        note(f"{one.path}: only one side names subjects, and several ({', '.join(named)}): its labels are compared with none.")
        return one
    return replace(one, bouts=[replace(bout, subject=named[0]) for bout in one.bouts])


def partners(first: Sequence[Path], second: Sequence[Path]) -> dict[Path, Path]:
    """Path on the first side -> the same video on the second."""
    places = {path.resolve(): path for path in second}
    names = Counter(path.name for path in second) | Counter(path.name for path in first)
    by_name = {path.name: path for path in second if names[path.name] == 1}
    found = {path: places.get(path.resolve()) or by_name.get(path.name) for path in first}
    return {path: other for path, other in found.items() if other is not None}


def labels_of_both(first: dict[Path, Observation], second: dict[Path, Observation], names: tuple[str, str]) -> list[str]:
    """All labels, sorted; a line names those that one side does not use."""
    ours, theirs = ({bout.label for each in side.values() for bout in each.bouts} for side in (first, second))
    for name, alone in zip(names, (ours - theirs, theirs - ours), strict=True):
        if alone:
            note(f"Labels in {name} only: {some(sorted(alone))}.")
    return sorted(ours | theirs, key=lambda label: (label.casefold(), label))


def to_label_again(found: Agreement) -> Iterator[Annotation]:
    """Each disagreement as two suggestions, one by either side, of which a person confirms one and rejects the other."""
    for each in found.disagreements:
        for name, label in zip(found.names, (each.first, each.second), strict=True):
            yield Annotation(
                path=each.path,
                label=BACKGROUND if label == NO_LABEL else label,
                start=round(each.start, 6),
                end=round(each.end, 6),
                subject=each.subject,
                status="suggested",
                by=name,
            )
