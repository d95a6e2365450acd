"""How far a model's numbers are off: count and time of each label on the held-out videos of its own training run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gerund.core.progress import note
from gerund.data.annotations import annotation_of
from gerund.data.manifest import of_split
from gerund.recognition.evaluate import recorded_clips, recorded_manifest
from gerund.timelines.observations import Observation, observe, of_annotations


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


def held_out_errors(model: str | Path, *, device: str = "auto", cache: Path | None = None) -> list[CountError]:
    """The errors on the test videos of a model's training run, on its validation videos if there are none; [] where nobody knows.

    Videos that are labelled as a whole tell nothing of bouts and are left out, as are those that are not there any more.
    """
    clips = recorded_clips(model) if recorded_manifest(model) else []
    held = of_split(clips, "test") or of_split(clips, "val")
    whole = {clip.path for clip in held if clip.start == 0 and clip.end is None}
    spans = [clip for clip in held if clip.path not in whole and clip.path.exists()]
    if not spans:
        note("How far off these numbers are is not known: the model's training run has no held-out videos with spans.")
        return []
    truth = of_annotations(annotation_of(clip) for clip in spans)
    found = observe([model, *(each.path for each in truth)], device=device, cache=cache)
    pairs = [(ours, true) for ours, true in zip(found, truth, strict=True) if ours.error is None]
    return count_errors([ours for ours, _ in pairs], [true for _, true in pairs]) if pairs else []
