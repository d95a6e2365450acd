"""The numbers of `gerund stats`: rows per video and label, spreads per group, transitions; as text, JSON and CSV."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gerund.core.errors import UsageError
from gerund.core.printing import table
from gerund.core.results import Printable
from gerund.timelines.measures import MEASURES, Measures, Spread, Transitions, measures, spread_of, transitions
from gerund.timelines.observations import Observation
from gerund.timelines.trust import CountError

GROUP_MEASURES = ("count", "total", "share", "mean", "latency", "per_hour")
"""What is compared between groups of videos."""
POINT_MEASURES = ("count", "latency", "per_hour", "between")
"""What point events have."""
MOST_BINS = 10_000


@dataclass(frozen=True, kw_only=True)
class LabelRow:
    """The numbers of one label and subject in one video, or in one time bin of it, `begin` to `end` seconds."""

    path: Path
    group: str | None
    subject: str | None
    label: str
    kind: str
    begin: float
    end: float
    measures: Measures


@dataclass(frozen=True, kw_only=True)
class GroupRow:
    """A measure of one label over the videos of a group, in one time bin (`begin`) or, at None, as a whole."""

    group: str | None
    label: str
    begin: float | None
    measure: str
    spread: Spread


@dataclass(frozen=True, kw_only=True)
class Statistics(Printable):
    """Numbers per video and label, per group of videos, and what comes after what.

    `labels` are in order of their names; those in `points` have no length anywhere. `bin` is the length of a time bin in seconds, None for
    whole videos; `by` is the column that the videos are grouped by. `trust` says per label how far off a model's numbers are.
    """

    observations: Sequence[Observation]
    labels: Sequence[str]
    points: frozenset[str]
    bin: float | None = None
    by: str | None = None
    within: float = 0.0
    groups_of: Mapping[Path, str | None] = field(default_factory=dict)
    trust: Sequence[CountError] = ()
    columns: ClassVar = ("path", "group", "subject", "label", "kind", "begin", "end", *MEASURES)

    @property
    def failed(self) -> dict[str, str]:
        """Videos without numbers, with the reasons."""
        return {str(each.path): each.error for each in self.observations if each.error is not None}

    @property
    def is_complete(self) -> bool:
        return not self.failed

    @cached_property
    def usable(self) -> list[Observation]:
        return [each for each in self.observations if each.error is None]

    @cached_property
    def rows(self) -> list[LabelRow]:
        """Every video, subject, label and bin; a label that does not happen has the count 0."""
        return [row for each in self.usable for subject in each.subjects for row in self.rows_of(each, subject)]

    def rows_of(self, each: Observation, subject: str | None) -> Iterator[LabelRow]:
        edges = bin_edges(each.duration, self.bin)
        group = subject if self.by == "subject" else self.groups_of.get(each.path)
        for label in self.labels:
            own = [bout for bout in each.bouts if bout.label == label and bout.subject == subject]
            point = label in self.points
            for begin, end in pairwise(edges):
                found = measures(own, begin, end, last=end == edges[-1], point=point)
                kind = "point" if point else "state"
                yield LabelRow(
                    path=each.path, group=group, subject=subject, label=label, kind=kind, begin=begin, end=end, measures=found
                )

    @cached_property
    def groups(self) -> list[GroupRow]:
        """What is compared between groups, of all labels; all videos are one group where no column is named."""
        return [row for name in GROUP_MEASURES for row in self.spreads(name)]

    def spreads(self, name: str) -> list[GroupRow]:
        """A measure over the videos (and subjects) of each group, for every label that has it, and every bin."""
        values: dict[tuple[str | None, str, float | None], list[Measures]] = defaultdict(list)
        for row in self.rows:
            if row.label not in self.points or name in POINT_MEASURES:
                values[row.group, row.label, None if self.bin is None else row.begin].append(row.measures)
        return [
            GroupRow(
                group=group, label=label, begin=begin, measure=name, spread=spread_of([getattr(each, name) for each in found])
            )
            for (group, label, begin), found in values.items()
        ]

    @cached_property
    def transitions(self) -> Transitions:
        sequences = [
            [bout for bout in each.bouts if bout.subject == subject] for each in self.usable for subject in each.subjects
        ]
        return transitions(sequences, self.labels, self.within)

    def as_json(self) -> dict[str, Any]:
        after = self.transitions
        return {
            "videos": [dict(zip(self.columns, map(plain, row), strict=True)) for row in self.as_rows()],
            "groups": [{**asdict(row), "spread": asdict(row.spread)} for row in self.groups],
            "transitions": {
                "labels": list(after.labels),
                "counts": after.counts.tolist(),
                "probabilities": after.probabilities.tolist(),
                "within_seconds": after.within,
                "follows": after.follows.tolist(),
            },
            "off_by": [asdict(each) for each in self.trust],
            "failed": self.failed,
        }

    def as_rows(self) -> Iterator[list[Any]]:
        for row in self.rows:
            named = [row.path, row.group, row.subject, row.label, row.kind, row.begin, row.end]
            yield [*named, *(getattr(row.measures, name) for name in MEASURES)]

    def as_text(self) -> Iterator[str]:
        yield from self.summary()
        if self.by is not None:
            yield ""
            yield from self.group_lines()
        if self.transitions.counts.any():
            yield ""
            yield from self.transition_lines()
        if self.trust:
            yield ""
            yield from self.trust_lines()
        for reason in self.failed.values():
            yield f"not counted: {reason}"

    def summary(self) -> Iterator[str]:
        """What each label comes to, over all videos."""
        hours = sum(each.duration for each in self.usable) / 3600
        yield f"{len(self.usable)} video{'s' * (len(self.usable) != 1)}, {hours:.2f} h"
        header = ("label", "videos", "count", "total s", "share", "mean bout s", "longest s", "latency s", "per hour")
        yield from table(header, [self.label_line(label) for label in self.labels])

    def label_line(self, label: str) -> list[str]:
        bouts = [bout for each in self.usable for bout in each.bouts if bout.label == label]
        rows = [row.measures for row in self.rows if row.label == label]
        videos = sum(any(bout.label == label for bout in each.bouts) for each in self.usable)
        time = sum(each.duration * len(each.subjects) for each in self.usable)
        total, point = sum(bout.seconds for bout in bouts), label in self.points
        firsts = [row.latency for row in rows if row.latency is not None] if self.bin is None else []
        lengths = (
            ["-"] * 4
            if point
            else [
                shown(total),
                f"{100 * total / time:.1f} %" if time else "-",
                shown(total / len(bouts) if bouts else None),
                shown(max((bout.seconds for bout in bouts), default=None)),
            ]
        )
        latency = shown(float(np.mean(firsts)) if firsts else None)
        return [label, str(videos), str(len(bouts)), *lengths, latency, shown(3600 * len(bouts) / time if time else None)]

    def trust_lines(self) -> Iterator[str]:
        """By how much the model's numbers were off where the truth is known."""
        videos = f"{self.trust[0].videos} held-out video{'s' * (self.trust[0].videos != 1)}"
        yield f"how far off such numbers are, per video: on {videos} of the model's training run"
        rows = [
            (each.label, f"{each.count_error:.2f} ({each.count_bias:+.2f})", f"{each.total_error:.2f} ({each.total_bias:+.2f})")
            for each in self.trust
        ]
        yield from table(("label", "count off by (bias)", "total s off by (bias)"), rows)

    def group_lines(self) -> Iterator[str]:
        """Mean, SD and interval of each group, over videos; of time bins the table is in the CSV and on the page."""
        if self.bin is not None:
            yield f"by {self.by}: {len({row.group for row in self.groups})} groups in bins of {self.bin:g} s (--json and --html have them)"
            return
        header = (f"label by {self.by}", "measure", "n", "mean", "SD", "95 % interval of the mean")
        lines = [
            (
                f"{row.label}  {row.group or '(none)'}",
                row.measure,
                str(row.spread.n),
                shown(row.spread.mean),
                shown(row.spread.sd),
                "-" if row.spread.low is None else f"{shown(row.spread.low)} .. {shown(row.spread.high)}",
            )
            for row in sorted(self.groups, key=lambda row: (row.label, GROUP_MEASURES.index(row.measure), row.group or ""))
            if row.measure in ("count", "total", "latency")
        ]
        yield from table(header, lines, left=(0, 1))

    def transition_lines(self) -> Iterator[str]:
        after = self.transitions
        yield "what comes next: times (and share of the row)"
        cells = [
            [f"{count} ({100 * share:.0f} %)" if count else "." for count, share in zip(counts, shares, strict=True)]
            for counts, shares in zip(after.counts, after.probabilities, strict=True)
        ]
        lines = [(label, *row) for label, row in zip(after.labels, cells, strict=True)]
        yield from table(("", *after.labels), lines, left=(0,))


def plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def bin_edges(duration: float, bin_seconds: float | None) -> list[float]:
    """Borders of the time bins of a video; the last bin is as long as what is left of it."""
    if bin_seconds is None or duration <= 0:
        return [0.0, duration]
    if duration / bin_seconds > MOST_BINS:
        raise UsageError(f"--bin {bin_seconds:g}: more than {MOST_BINS:,} bins in {duration:.0f} s; take longer ones")
    return [*np.arange(0, duration - 1e-9, bin_seconds).tolist(), duration]
