"""How far a model's numbers are off: count and time of each label on the held-out videos of its own training run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gerund.core.progress import note
from gerund.core.texts import read_json
from gerund.timelines.evaluate import TimelineEvaluation
from gerund.timelines.observations import Observation, of_timeline

OFF_BY = "off_by"
"""Where metrics.json of a run has the errors, among what it has of timelines."""


@dataclass(frozen=True, kw_only=True)
class CountError:
    """By how much numbers per video are off, over `videos` whose truth is known: mean absolute difference, and mean difference (found - true).

    `total_error` and `total_bias` are seconds.
    """

    label: str
    videos: int
    count_error: float
    count_bias: float
    total_error: float
    total_bias: float


def count_errors(found: Sequence[Observation], truth: Sequence[Observation]) -> list[CountError]:
    """For every label of the truth; both hold the same videos in the same order."""
    labels = sorted({bout.label for each in truth for bout in each.bouts}, key=str.casefold)
    errors = []
    for label in labels:
        pairs = zip(found, truth, strict=True)
        counts, totals = np.array([differences(*pair, label) for pair in pairs], float).reshape(-1, 2).T
        errors.append(
            CountError(
                label=label,
                videos=len(counts),
                count_error=float(np.abs(counts).mean()),
                count_bias=float(counts.mean()),
                total_error=float(np.abs(totals).mean()),
                total_bias=float(totals.mean()),
            )
        )
    return errors


def differences(found: Observation, true: Observation, label: str) -> tuple[float, float]:
    """By how much count and total seconds of a label are too high in one video."""
    ours, theirs = ([bout.seconds for bout in each.bouts if bout.label == label] for each in (found, true))
    return len(ours) - len(theirs), sum(ours) - sum(theirs)


def errors_beside_truth(films: TimelineEvaluation) -> list[CountError]:
    """The errors of timelines of held-out videos, for a run's metrics.json; videos that could not be read are left out."""
    pairs = [(each, true) for each, true in zip(films.timelines, films.truth, strict=True) if each.error is None]
    found = [of_timeline(each) for each, _ in pairs]
    return count_errors(found, [of_timeline(replace(each, segments=true)) for each, true in pairs]) if pairs else []


def held_out_errors(model: str | Path) -> list[CountError]:
    """What a model's training run wrote down of its held-out videos; [] with a line where it wrote nothing."""
    files = (folder / "metrics.json" for folder in (Path(model), Path(model).parent))
    file = next((file for file in files if file.is_file()), None)
    rows = read_json(file).get("timeline", {}).get(OFF_BY, []) if file is not None else []
    if not rows:
        note("How far off these numbers are is not known: the model's training run has no held-out videos with spans.")
    return [CountError(**row) for row in rows]
