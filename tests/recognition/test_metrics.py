"""Metrics agree with scikit-learn, and a clip without an answer counts as wrong."""

from __future__ import annotations

import numpy as np
import pytest

from gerund.recognition.metrics import (
    auroc,
    class_accuracies,
    confusion_matrix,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
    topk_accuracy,
    topk_correct,
)

NUM_CLASSES = 6


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray]:
    """Scores (200, 6) that lean towards the truth, and targets (200,)."""
    random = np.random.default_rng(0)
    targets = random.integers(0, NUM_CLASSES, 200)
    return random.normal(size=(200, NUM_CLASSES)) + 1.5 * np.eye(NUM_CLASSES)[targets], targets


@pytest.mark.parametrize("k", [1, 2, 5])
def test_topk_accuracy_agrees(answers: tuple[np.ndarray, np.ndarray], k: int) -> None:
    from sklearn import metrics

    scores, targets = answers
    expected = metrics.top_k_accuracy_score(targets, scores, k=k, labels=range(NUM_CLASSES))
    assert 0.3 < expected < 1
    assert topk_accuracy(*answers, k) == pytest.approx(expected)


def test_the_confusion_matrix_and_class_accuracies_agree(answers: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn import metrics

    scores, targets = answers
    confusion = confusion_matrix(*answers, NUM_CLASSES)
    assert confusion[:, :-1].tolist() == metrics.confusion_matrix(targets, scores.argmax(axis=1)).tolist()
    assert not confusion[:, -1].any()
    assert class_accuracies(confusion) == pytest.approx(metrics.recall_score(targets, scores.argmax(axis=1), average=None))


def test_a_clip_without_scores_counts_as_wrong_and_has_its_own_column() -> None:
    scores = np.array([[0.9, 0.1], [np.nan, np.nan], [0.2, 0.8], [np.nan, np.nan]])
    targets = np.array([0, 0, 1, 1])
    assert topk_correct(scores, targets, 1).tolist() == [True, False, True, False]
    assert topk_accuracy(scores, targets) == 0.5
    assert topk_accuracy(scores, targets, 2) == 0.5
    confusion = confusion_matrix(scores, targets, 2)
    assert confusion.tolist() == [[1, 0, 1], [0, 1, 1]]
    assert class_accuracies(confusion).tolist() == [0.5, 0.5]


def test_k_beyond_the_number_of_classes_counts_every_answered_clip() -> None:
    assert topk_accuracy(np.array([[0.1, 0.9], [0.9, 0.1]]), np.array([0, 0]), 5) == 1.0


def test_a_label_the_model_does_not_know_is_never_right() -> None:
    assert topk_accuracy(np.array([[0.1, 0.9], [0.9, 0.1]]), np.array([-1, 2]), 2) == 0.0


def test_a_class_without_clips_has_no_accuracy() -> None:
    accuracies = class_accuracies(np.array([[3, 1, 0], [0, 0, 0]]))
    assert accuracies[0] == 0.75
    assert np.isnan(accuracies[1])


def test_no_clips_have_no_accuracy() -> None:
    assert np.isnan(topk_accuracy(np.empty((0, 3)), np.empty(0, int)))


def test_calibration_error_and_log_likelihood_agree(answers: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn import calibration, metrics

    scores, targets = answers
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    shares, means = calibration.calibration_curve(right, sure, n_bins=15)
    counts, _ = np.histogram(sure, bins=15, range=(0, 1))
    expected = np.average(np.abs(shares - means), weights=counts[counts > 0])
    assert expected_calibration_error(probabilities, targets) == pytest.approx(expected, abs=1e-9)
    assert negative_log_likelihood(probabilities, targets) == pytest.approx(metrics.log_loss(targets, probabilities))


def test_a_bin_counts_its_clips_and_holds_its_upper_border() -> None:
    scores = np.array([[0.5, 0.5], [0.9, 0.1], [0.7, 0.3], [np.nan, np.nan]])
    rows = reliability(scores, np.array([0, 0, 1, 0]), bins=2)
    assert rows[0].tolist() == [1, 0.5, 1.0]
    assert rows[1] == pytest.approx([2, 0.8, 0.5])
    assert expected_calibration_error(scores, np.array([0, 0, 1, 0]), bins=2) == pytest.approx((0.5 + 2 * 0.3) / 3)


def test_without_an_answer_there_is_nothing_to_calibrate() -> None:
    scores = np.full((2, 3), np.nan)
    assert np.isnan(expected_calibration_error(scores, np.array([0, 1])))
    assert np.isnan(negative_log_likelihood(scores, np.array([0, 1])))


def test_auroc_agrees_with_ties_too() -> None:
    from sklearn import metrics

    random = np.random.default_rng(0)
    positive, negative = random.integers(3, 9, 40).astype(float), random.integers(0, 7, 60).astype(float)
    expected = metrics.roc_auc_score([1] * 40 + [0] * 60, np.concatenate([positive, negative]))
    assert auroc(positive, negative) == pytest.approx(expected)
    assert np.isnan(auroc(positive, np.empty(0)))
