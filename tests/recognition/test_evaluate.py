"""What an evaluation says agrees with scikit-learn, with formulas, and with counting by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gerund.core.errors import DataError
from gerund.core.types import Clip
from gerund.recognition.evaluate import Evaluation, pooled
from gerund.recognition.metrics import (
    bootstrap_interval,
    confusion_matrix,
    group_interval,
    macro_f1,
    negative_log_likelihood,
    wilson_interval,
)

LABELS = ["clap", "jump", "run"]


def evaluation(answers: str, *, share: float = 0.8, labels: list[str] = LABELS, names: str = "") -> Evaluation:
    """From pairs of letters "cj" (a clap taken for a jump; `-` is no answer), each answered with probability `share`."""
    index = {label[0]: number for number, label in enumerate(labels)}
    clips, scores, failed = [], [], {}
    for number, (truth, answer) in enumerate(answers.split()):
        clip = Clip(path=Path(f"{names}{number}.mp4"), label=labels[index[truth]], split="test", group=f"g{number // 2}")
        row = np.full(len(labels), np.nan)
        if answer == "-":
            failed[str(clip.path)] = "broken"
        else:
            row[:] = (1 - share) / (len(labels) - 1)
            row[index[answer]] = share
        clips.append(clip)
        scores.append(row)
    return Evaluation(labels=labels, clips=clips, scores=np.array(scores), failed=failed)


def test_macro_f1_balanced_accuracy_and_log_loss_agree_with_scikit_learn() -> None:
    from sklearn import metrics

    random = np.random.default_rng(0)
    targets = random.choice(6, 300, p=[0.4, 0.2, 0.2, 0.1, 0.1, 0])  # one class without clips, yet with answers
    scores = random.dirichlet(np.ones(6), 300) + 0.3 * np.eye(6)[targets]
    scores /= scores.sum(1, keepdims=True)
    answers = scores.argmax(1)
    clips = [Clip(path=Path(f"{number}"), label="abcdef"[target]) for number, target in enumerate(targets)]
    measured = Evaluation(labels=list("abcdef"), clips=clips, scores=scores, failed={}).metrics
    assert measured["macro_f1"] == pytest.approx(metrics.f1_score(targets, answers, average="macro"))
    assert measured["mean_class"] == pytest.approx(metrics.recall_score(targets, answers, average="macro", labels=range(5)))
    assert measured["nll"] == pytest.approx(metrics.log_loss(targets, scores, labels=range(6)))


def test_a_clip_without_an_answer_lowers_f1_as_in_scikit_learn() -> None:
    from sklearn import metrics

    one = evaluation("cc cc c- jj jc rr r-")
    answers = np.where(np.isnan(one.scores[:, 0]), 3, one.scores.argmax(1))
    expected = metrics.f1_score(one.targets, answers, labels=[0, 1, 2], average="macro")
    assert macro_f1(one.confusion) == pytest.approx(expected)
    assert one.metrics["nll"] == pytest.approx(-(4 * np.log(0.8) + np.log(0.1)) / 5)
    assert negative_log_likelihood(one.scores, one.targets) == pytest.approx(one.metrics["nll"])


def test_f1_by_hand() -> None:
    scores = np.eye(2)[[0, 0, 1, 1]]
    assert macro_f1(confusion_matrix(scores, np.array([0, 1, 1, 1]), 2)) == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert np.isnan(macro_f1(np.zeros((2, 3), int)))


def test_the_bootstrap_draws_groups_not_clips() -> None:
    correct = np.random.default_rng(1).random(60) < 0.7
    groups = [f"{number}" for number in range(60)]
    alone = bootstrap_interval(correct, groups, np.random.default_rng(0))
    reach = 1.96 * np.sqrt(correct.mean() * (1 - correct.mean()) / 60)  # normal approximation
    assert alone == pytest.approx((correct.mean() - reach, correct.mean() + reach), abs=0.03)
    ten_times = bootstrap_interval(np.repeat(correct, 10), np.repeat(groups, 10).tolist(), np.random.default_rng(0))
    assert ten_times == alone  # 600 clips of 60 groups say no more than 60
    single = bootstrap_interval(np.repeat(correct, 10), [str(number) for number in range(600)], np.random.default_rng(0))
    assert single[1] - single[0] < 0.5 * (alone[1] - alone[0])


def test_two_opposite_groups_leave_everything_open() -> None:
    correct = np.array([True, True, False, False])
    assert bootstrap_interval(correct, list("aabb"), np.random.default_rng(0)) == (0.0, 1.0)
    assert np.isnan(bootstrap_interval(correct, list("aaaa"), np.random.default_rng(0))).all()


def test_the_bootstrap_of_many_groups_is_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    correct, groups = np.arange(500) % 2 == 0, [str(number) for number in range(500)]
    whole = bootstrap_interval(correct, groups, np.random.default_rng(0))
    monkeypatch.setattr("gerund.recognition.metrics.DRAW_MEMORY", 500 * 7)
    assert bootstrap_interval(correct, groups, np.random.default_rng(0)) == whole


def test_an_interval_counts_groups_not_clips() -> None:
    correct = np.random.default_rng(1).random(60) < 0.7
    groups = [f"{number}" for number in range(60)]
    alone = group_interval(correct, groups)
    assert alone == wilson_interval(float(correct.mean()), 60)
    assert (
        group_interval(np.repeat(correct, 10), np.repeat(groups, 10).tolist()) == alone
    )  # 600 clips of 60 groups say no more than 60
    single = group_interval(np.repeat(correct, 10), [str(number) for number in range(600)])
    assert single[1] - single[0] < 0.5 * (alone[1] - alone[0])


def test_groups_of_unequal_size_count_for_less_than_their_number() -> None:
    correct = np.ones(12, bool)
    lopsided = group_interval(correct, [*"aaaaaaaaa", *"bcd"])
    assert wilson_interval(1.0, 1)[0] < lopsided[0] < wilson_interval(1.0, 4)[0] == group_interval(correct, [*"aaabbbcccddd"])[0]


def test_where_all_are_right_the_interval_is_no_point() -> None:
    assert group_interval(np.ones(7, bool), list("abcdefg")) == (pytest.approx(0.646, abs=1e-3), 1.0)
    assert np.isnan(group_interval(np.ones(4, bool), list("aaaa"))).all(), "one group says nothing of another"


def alone(one: Evaluation) -> Evaluation:
    """The same with each clip a group of its own."""
    return replace(one, clips=[replace(clip, group=None) for clip in one.clips])


def test_the_first_sentence_says_it_plainly() -> None:
    few, many = (alone(evaluation(text)) for text in ("cc " * 18 + "cj", "cc " * 990 + "cj " * 10))
    assert few.sentence == "18 of 19 clips right; with so few, 75 to 99 % of new ones would be."
    assert many.sentence == "990 of 1000 clips right; 98 to 99 % of new ones would be."
    assert next(iter(evaluation("cc cj").as_text())) == evaluation("cc cj").sentence


def test_a_clip_that_cannot_be_read_counts_as_wrong_and_the_figure_without_it_stands_beside() -> None:
    one = evaluation("cc cc jj r-")
    assert (one.metrics["top1"], one.metrics["top1_readable"]) == (0.75, 1.0)
    assert one.sentence.startswith("3 of 4 clips right")
    assert "top-1 of the clips that could be read: 100.00 %" in list(one.as_text())


def test_the_wilson_interval_agrees_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for right, count in ((0, 5), (7, 7), (3, 14), (50, 100)):
        expected = stats.binomtest(right, count).proportion_ci(method="wilson")
        assert wilson_interval(right / count, count) == pytest.approx((expected.low, expected.high))
    assert np.isnan(wilson_interval(0.0, 0)).all()


def test_metrics_are_the_same_each_time_and_fit_into_json() -> None:
    one = evaluation("cc cj jj rr r- cc")
    assert one.metrics == one.metrics
    low, high = one.metrics["top1_interval"]
    assert low < one.metrics["top1"] < high
    silent = evaluation("c- j-").metrics
    assert (silent["ece"], silent["nll"], silent["top1_interval"]) == (None, None, None)
    json.dumps([one.metrics, silent], allow_nan=False)


def test_confusion_pairs_come_with_the_most_frequent_first() -> None:
    pairs = evaluation("cj cj cc cr j- jj rr").confusion_pairs
    assert pairs[0] == {"label": "clap", "answer": "jump", "clips": 2, "of": 4}
    assert pairs[1:] == [{"label": "clap", "answer": "run", "clips": 1, "of": 4}], "no answer is no confusion"


def test_the_worst_clips_are_those_whose_truth_was_least_likely() -> None:
    one = evaluation("cc cj j- rr")
    one.scores[0] = [0.5, 0.3, 0.2]
    assert one.worst == [1, 0, 3]
    row = one.worst_clips[0]
    assert (row["path"], row["label"], row["answer"]) == ("1.mp4", "clap", "jump")
    assert (row["label_score"], row["answer_score"]) == (pytest.approx(0.1), pytest.approx(0.8))


def test_several_runs_have_a_mean_and_a_spread() -> None:
    first, second = evaluation("cc cc jj rj"), evaluation("cc cj jr rj")
    both = pooled({"a": first, "b": second})
    assert both.metrics["top1"] == pytest.approx(0.5)
    assert both.metrics["num_clips"] == 8
    assert both.spread["top1"] == pytest.approx({"mean": 0.5, "std": np.std([0.75, 0.25], ddof=1), "min": 0.25, "max": 0.75})
    assert len(both.worst) == 4, "a clip that two runs answered is listed once"
    assert first.spread == {}


def test_runs_with_other_labels_are_named() -> None:
    other = evaluation("cc ss", labels=["clap", "jump", "sing"])
    with pytest.raises(DataError, match=r"a and b do not have the same labels \(3 and 3; only one has 'run'\)"):
        pooled({"a": evaluation("cc jj"), "b": other})


def test_labels_in_another_order_are_put_in_order() -> None:
    one, two = evaluation("cc jr rr"), evaluation("cc jr rr", labels=["run", "jump", "clap"])
    assert pooled({"a": one, "b": two}).confusion.tolist() == (2 * one.confusion).tolist()


def test_a_figure_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = evaluation("cc cj jj rr")
    first = measured.metrics
    monkeypatch.setattr("gerund.recognition.evaluate.group_interval", None)
    assert measured.metrics is first
