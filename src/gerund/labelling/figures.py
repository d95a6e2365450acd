"""How good the model is so far, and whether it is enough: every bout judged by a readout that has not seen its video."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np

from gerund.labelling.lessons import BoutExamples, LiveReadout, solved
from gerund.labelling.project import Snapshot

CURVE = (0.25, 0.5, 0.75, 1.0)
Z95 = 1.959964
LEAST_BOUTS = 5
"""With fewer, a label's own figure says little, and more of it is what helps most."""


def wilson(right: int, count: int) -> tuple[float, float]:
    """The interval of a share, with 95 % (Wilson 1927, doi:10.1080/01621459.1927.10502953); 0 to 1 of none."""
    if not count:
        return 0.0, 1.0
    share, spread = right / count, Z95**2 / count
    centre = (share + spread / 2) / (1 + spread)
    half = Z95 / (1 + spread) * np.sqrt(share * (1 - share) / count + spread / (4 * count))
    return float(max(centre - half, 0.0)), float(min(centre + half, 1.0))


def judged_bouts(readout: LiveReadout) -> tuple[np.ndarray, np.ndarray]:
    """Which bouts could be held out (M,) as places of their first examples, and what was said of each (M,): the mean of its examples."""
    lesson = readout.lesson
    groups_of = defaultdict(set)
    for target, group in zip(lesson.targets.tolist(), lesson.groups.tolist(), strict=True):
        groups_of[target].add(group)
    places = defaultdict(list)
    for place, bout in enumerate(lesson.bouts):
        if len(groups_of[lesson.targets[place]]) > 1:
            places[bout].append(place)
    firsts = np.array([each[0] for each in places.values()], int)
    said = np.array([readout.left_out[each].mean(0).argmax() for each in places.values()], int)
    return firsts, said


def figures(readout: LiveReadout | None, state: Snapshot) -> dict[str, Any]:
    """Everything that the page tells of how good the model is; without a readout, how many bouts there are."""
    seconds: defaultdict[str, float] = defaultdict(float)
    bouts: Counter[str] = Counter()
    for bout in state.bouts.values():
        if bout.status == "confirmed":
            seconds[bout.label] += bout.length
            bouts[bout.label] += 1
    labels: list[dict[str, Any]] = [
        {"label": name, "bouts": bouts[name], "seconds": round(seconds[name], 1)} for name in state.labels
    ]
    if readout is None:
        return {"labels": labels, "judged": 0}
    firsts, said = judged_bouts(readout)
    truth = readout.lesson.targets[firsts]
    right = int((said == truth).sum())
    for each in labels:
        place = list(readout.lesson.labels).index(each["label"]) if each["label"] in readout.lesson.labels else -1
        mine = truth == place
        each["judged"], each["right"] = int(mine.sum()), int((said[mine] == place).sum())
    curve = learning_curve(readout.lesson)
    return {
        "labels": labels,
        "judged": len(truth),
        "right": right,
        "interval": wilson(right, len(truth)),
        "by": "video" if readout.lesson.by_video else "time",
        "confusions": confusions(readout, firsts, said),
        "curve": curve,
        "twice": doubled(curve),
        "next": next_label(labels),
    }


def confusions(readout: LiveReadout, firsts: np.ndarray, said: np.ndarray) -> list[dict[str, Any]]:
    """What was taken for what: true label, said label, and the bouts."""
    lesson = readout.lesson
    cells = defaultdict(list)
    for place, answer in zip(firsts.tolist(), said.tolist(), strict=True):
        cells[lesson.labels[lesson.targets[place]], lesson.labels[answer]].append(lesson.bouts[place])
    return [{"true": true, "said": answer, "bouts": names} for (true, answer), names in cells.items()]


def learning_curve(lesson: BoutExamples) -> list[dict[str, float]]:
    """Share of held-out bouts that are right, with the first part of the examples in the order they were made."""
    points = []
    for share in CURVE:
        count = round(share * len(lesson.targets))
        part = lesson.part(slice(count))
        if part.is_enough and len(set(part.groups.tolist())) > 1:
            firsts, said = judged_bouts(solved(part))
            if len(firsts):
                points.append({"bouts": float(len(set(part.bouts))), "right": float((said == part.targets[firsts]).mean())})
    return points


def doubled(curve: list[dict[str, float]]) -> float | None:
    """What twice as many bouts would probably give: errors go on falling as a power of their number (Hestness et al. 2017, arXiv:1712.00409).

    None where there is nothing to fit.
    """
    if len(curve) < 2:
        return None
    counts, errors = (np.array([point[name] for point in curve]) for name in ("bouts", "right"))
    slope = float(np.polyfit(np.log(counts), np.log(np.maximum(1 - errors, 0.01)), 1)[0])
    return float(np.clip(1 - (1 - errors[-1]) * 2 ** min(slope, 0.0), 0.0, 1.0))


def next_label(labels: list[dict[str, Any]]) -> dict[str, str] | None:
    """Of which label more bouts would help most: the one with too few, else the one that is told apart worst."""
    if not labels:
        return None
    fewest = min(labels, key=lambda each: each["bouts"])
    if fewest["bouts"] < LEAST_BOUTS:
        return {"label": fewest["label"], "why": "few"}
    known = [each for each in labels if each.get("judged")]
    worst = min(known, key=lambda each: each["right"] / each["judged"], default=None)
    return {"label": worst["label"], "why": "mistaken"} if worst and worst["right"] < worst["judged"] else None
