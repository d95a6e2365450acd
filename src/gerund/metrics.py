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
