"""How good the answers are. A clip without scores (it could not be decoded) counts as wrong: its row is NaN."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

BOOTSTRAP_DRAWS = 2000
DRAW_MEMORY = 2**20
"""Group numbers drawn at a time."""


def topk_accuracy(scores: np.ndarray, targets: np.ndarray, k: int = 1) -> float:
    """Share of clips whose label is among the k highest scores: scores (N, K), targets (N,) class indices."""
    return float(topk_correct(scores, targets, k).mean()) if len(targets) else float("nan")


def topk_correct(scores: np.ndarray, targets: np.ndarray, k: int) -> np.ndarray:
    """Whether each clip's label is among its k highest scores (N,) bool; a target outside 0..K-1 never is."""
    ranked = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return (ranked == targets[:, None]).any(axis=1) & np.isfinite(scores).all(axis=1)


def confusion_matrix(scores: np.ndarray, targets: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts (K, K + 1): rows are true classes, columns predicted ones; the last column holds clips without an answer."""
    predicted = np.where(np.isfinite(scores).all(axis=1), scores.argmax(axis=1), num_classes)
    matrix = np.zeros((num_classes, num_classes + 1), dtype=np.int64)
    np.add.at(matrix, (targets, predicted), 1)
    return matrix


def class_accuracies(confusion: np.ndarray) -> np.ndarray:
    """Recall of each class (K,); NaN for a class without clips."""
    totals = confusion.sum(axis=1)
    correct = np.diagonal(confusion).astype(np.float64)
    return np.divide(correct, totals, out=np.full(len(totals), np.nan), where=totals > 0)


def macro_f1(confusion: np.ndarray) -> float:
    """Mean F1 of the classes that have clips or answers, from counts (K, K + 1) as of `confusion_matrix`.

    F1 is 2 right / (clips + answers) of a class; a clip without an answer lowers it as any mistake does.
    """
    right = np.diagonal(confusion)
    seen = confusion.sum(axis=1) + confusion[:, :-1].sum(axis=0)
    return float((2 * right[seen > 0] / seen[seen > 0]).mean()) if seen.any() else float("nan")


def bootstrap_interval(
    correct: np.ndarray, groups: Sequence[str], rng: np.random.Generator, *, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the mean of `correct` (N,) when whole groups are drawn anew, with replacement (Davison & Hinkley 1997, sec. 3.8).

    Clips of one group resemble each other, so drawing clips alone would promise too much. NaN for fewer than two groups, which
    say nothing of a third. Where every clip is right, so is every draw: the interval is then 1 to 1 whatever the number of groups.
    """
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}  # by appearance: names do not matter
    if len(numbers) < 2:
        return float("nan"), float("nan")
    place = [numbers[group] for group in groups]
    right, clips = np.bincount(place, correct), np.bincount(place)
    shares = []
    for part in np.array_split(np.arange(BOOTSTRAP_DRAWS), -(-BOOTSTRAP_DRAWS * len(numbers) // DRAW_MEMORY)):
        drawn = rng.integers(len(numbers), size=(len(part), len(numbers)))
        shares.append(right[drawn].sum(axis=1) / clips[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(shares), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def group_interval(correct: np.ndarray, groups: Sequence[str]) -> tuple[float, float]:
    """95 % interval of the mean of `correct` (N,): Wilson's, with each group as one trial, since clips of one group resemble each other.

    Groups of unequal size count as that many equal ones that know as much, (sum of sizes)^2 / sum of squares (Kish 1965, sec. 8.2). NaN for
    fewer than two groups, which say nothing of a third.
    """
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    if len(numbers) < 2:
        return float("nan"), float("nan")
    sizes = np.bincount([numbers[group] for group in groups])
    return wilson_interval(float(correct.mean()), float(sizes.sum() ** 2 / np.square(sizes).sum()))


def lead_error(lead: np.ndarray, groups: Sequence[str]) -> float:
    """Standard error of the mean of `lead` (N,) when clips come in groups: of a ratio of group sums (Cochran 1977, sec. 9A.7).

    `lead` is what one way of answering gained over another on the same clips. Infinite for fewer than two groups.
    """
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    if len(numbers) < 2:
        return float("inf")
    place = [numbers[group] for group in groups]
    residuals = np.bincount(place, lead - lead.mean())
    return float(np.sqrt(len(numbers) / (len(numbers) - 1) * np.square(residuals).sum()) / len(lead))


def wilson_interval(share: float, count: float) -> tuple[float, float]:
    """95 % interval of a share seen in `count` independent trials (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Unlike a bootstrap it stays wide for a few trials that all went well. NaN for no trials.
    """
    if not count:
        return float("nan"), float("nan")
    z = 1.959963984540054  # of the normal distribution, 97.5 %
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def log_losses(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """-ln(probability of the true class) of each clip (N,), NaN without an answer; scores (N, K) probabilities, targets (N,)."""
    of_truth = scores[np.arange(len(targets)), targets]
    return -np.log(np.maximum(of_truth, np.finfo(np.float64).tiny))


def negative_log_likelihood(scores: np.ndarray, targets: np.ndarray) -> float:
    """Mean of `log_losses` over the clips that have an answer; NaN when none has one."""
    losses = log_losses(scores, targets)
    losses = losses[np.isfinite(losses)]
    return float(losses.mean()) if len(losses) else float("nan")


def reliability(scores: np.ndarray, targets: np.ndarray, bins: int = 15) -> np.ndarray:
    """One row per bin of confidence, equally wide over 0..1: (bins, 3) with its clips, their mean confidence, their accuracy.

    Confidence is the highest probability; a bin (a, b] holds its upper border. An empty bin has NaN for both means. Clips without an
    answer claim nothing and are left out. After Guo et al. 2017, arXiv:1706.04599, sec. 2.
    """
    answered = np.isfinite(scores).all(axis=1)
    confidence = scores[answered].max(axis=1)
    correct = scores[answered].argmax(axis=1) == targets[answered]
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    clips = np.bincount(place, minlength=bins).astype(np.float64)
    means = [
        np.divide(np.bincount(place, values, minlength=bins), clips, out=np.full(bins, np.nan), where=clips > 0)
        for values in (confidence, correct.astype(np.float64))
    ]
    return np.stack([clips, *means], axis=1)


def expected_calibration_error(scores: np.ndarray, targets: np.ndarray, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy, over bins weighted by their clips; NaN without an answer."""
    rows = reliability(scores, targets, bins)
    rows = rows[rows[:, 0] > 0]
    return float((rows[:, 0] * np.abs(rows[:, 1] - rows[:, 2])).sum() / rows[:, 0].sum()) if len(rows) else float("nan")


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Chance that a random positive scores higher than a random negative, ties counted half; NaN when there are none of either."""
    if not len(positive) or not len(negative):
        return float("nan")
    values = np.concatenate([positive, negative])
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    wins = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(wins / (len(positive) * len(negative)))
