"""How good the answers are. A clip without scores (it could not be decoded) counts as wrong: its row is NaN."""

from __future__ import annotations

import numpy as np


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


def negative_log_likelihood(scores: np.ndarray, targets: np.ndarray) -> float:
    """Mean of -ln(probability of the true class), over the clips that have an answer; scores (N, K) probabilities, targets (N,)."""
    answered = np.isfinite(scores).all(axis=1)
    if not answered.any():
        return float("nan")
    of_truth = scores[answered, targets[answered]]
    return float(-np.log(np.maximum(of_truth, np.finfo(np.float64).tiny)).mean())


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
