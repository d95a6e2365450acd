"""How well found segments fit the true ones. A gap between segments is background and has no label. Numpy only.

Frame accuracy, edit score and segmental F1 as Lea et al. 2017 (arXiv:1611.05267) and Farha and Gall 2019 (MS-TCN, arXiv:1903.01945) use
them; mean average precision as ActivityNet (Caba Heilbron et al. 2015) does. All lie in 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gerund.core.types import Segment

Segments = Sequence[Segment]
Pair = tuple[Segments, Segments]
"""What was found in one video, and what is true."""


def labels_at(segments: Segments, times: np.ndarray) -> np.ndarray:
    """The label at each time (N,); None outside of all segments."""
    found = np.full(len(times), None, dtype=object)
    for each in segments:
        found[(times >= each.start) & (times < each.end)] = each.label
    return found


def frame_accuracy(videos: Sequence[Pair], times: Sequence[np.ndarray]) -> float:
    """Share of the times, over all videos, that have the right label, or rightly none; `times` (N,) seconds of each video."""
    correct = sum(
        int((labels_at(found, at) == labels_at(true, at)).sum()) for (found, true), at in zip(videos, times, strict=True)
    )
    total = sum(map(len, times))
    return correct / total if total else float("nan")


def edit_score(videos: Sequence[Pair]) -> float:
    """Mean over the videos of 1 - (edits that make the sequence of found labels the true one) / (length of the longer)."""
    shares = []
    for found, true in videos:
        ours, theirs = ([each.label for each in segments] for segments in (found, true))
        longer = max(len(ours), len(theirs))
        shares.append(1 - edit_distance(ours, theirs) / longer if longer else 1.0)
    return float(np.mean(shares)) if shares else float("nan")


def edit_distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Insertions, deletions and substitutions from one sequence to the other (Levenshtein)."""
    row = list(range(len(second) + 1))
    for place, item in enumerate(first, start=1):
        before, row = row, [place]
        for column, other in enumerate(second, start=1):
            row.append(min(before[column] + 1, row[-1] + 1, before[column - 1] + (item != other)))
    return row[-1]


def overlaps(segment: Segment, others: Segments) -> np.ndarray:
    """Intersection over union in time with each other segment (N,); 0 for those of another label."""
    shares = np.zeros(len(others))
    for place, other in enumerate(others):
        shared = min(segment.end, other.end) - max(segment.start, other.start)
        if other.label == segment.label and shared > 0:
            shares[place] = shared / (max(segment.end, other.end) - min(segment.start, other.start))
    return shares


def segmental_f1(videos: Sequence[Pair], overlap: float) -> float:
    """F1 over all segments: a found one is right when its best true one of that label overlaps by `overlap` and was not taken before."""
    right = wrong = missed = 0
    for found, true in videos:
        taken = np.zeros(len(true), bool)
        for segment in found:
            shares = overlaps(segment, true)
            best = int(shares.argmax()) if len(true) else -1
            if best >= 0 and shares[best] >= overlap and not taken[best]:
                taken[best] = True
                right += 1
            else:
                wrong += 1
        missed += int((~taken).sum())
    return 2 * right / (2 * right + wrong + missed) if right + wrong + missed else float("nan")


def average_precision(videos: Sequence[Pair], label: str, overlap: float) -> float:
    """Area under the interpolated precision-recall curve of one label's segments, ranked by their scores over all videos."""
    ranked = sorted(
        ((each, number) for number, (found, _) in enumerate(videos) for each in found if each.label == label),
        key=lambda item: -item[0].score,
    )
    truths = [[each for each in true if each.label == label] for _, true in videos]
    taken = [np.zeros(len(true), bool) for true in truths]
    hits = np.zeros(len(ranked))
    for rank, (segment, number) in enumerate(ranked):
        shares = np.where(taken[number], 0.0, overlaps(segment, truths[number]))
        if len(shares) and shares.max() >= overlap:
            taken[number][int(shares.argmax())] = True
            hits[rank] = 1
    total = sum(map(len, truths))
    if not total:
        return float("nan")
    right = np.cumsum(hits)
    precision = np.maximum.accumulate((right / np.arange(1, len(hits) + 1))[::-1])[::-1]
    return float((precision * hits).sum() / total)


def mean_average_precision(videos: Sequence[Pair], overlap: float) -> float:
    """Mean of the average precision over the labels that occur in the truth."""
    labels = sorted({each.label for _, true in videos for each in true})
    return float(np.mean([average_precision(videos, label, overlap) for label in labels])) if labels else float("nan")


def boundary_error(videos: Sequence[Pair]) -> float:
    """Median distance, in seconds, from a true start or end to the nearest found one; NaN where nothing is found or true."""
    distances: list[float] = []
    for found, true in videos:
        ours = np.array([time for each in found for time in (each.start, each.end)])
        if len(ours):
            distances += [float(np.abs(ours - time).min()) for each in true for time in (each.start, each.end)]
    return float(np.median(distances)) if distances else float("nan")
