"""F1@50 of timelines by a readout that has not seen them, only where people have labelled."""

from __future__ import annotations

import numpy as np
import pytest

from gerund.core.types import Segment
from gerund.labelling.bouts import LabelledBout
from gerund.labelling.edits import change_bout
from gerund.labelling.held_out import f1_of, folds_of, held_out_f1, in_time, labelled_time
from support.studios import label_films, learned


def bout(start: float, end: float, label: str = "a") -> LabelledBout:
    return LabelledBout(name=f"{start}", video="v", label=label, start=start, end=end)


def segment(start: float, end: float, label: str = "a") -> Segment:
    return Segment(start=start, end=end, label=label, score=0.9)


def test_labelled_time_is_joined_where_bouts_touch():
    assert labelled_time([bout(5, 6), bout(0, 2), bout(2.2, 3)]) == [(0, 3), (5, 6)]


def test_what_lies_mostly_where_nobody_has_labelled_is_not_judged():
    spans = [(0.0, 4.0), (10.0, 12.0)]
    assert in_time(segment(3, 6), spans) == []
    assert in_time(segment(3, 5), spans) == [segment(3, 4)]
    assert in_time(segment(1, 2), spans) == [segment(1, 2)]
    assert in_time(segment(5, 9), spans) == []


def test_f1_by_hand():
    found = [segment(0, 2), segment(5, 6), segment(8, 9, "b")]
    true = [segment(0, 3), segment(5, 8), segment(8, 9, "b")]  # an overlap of 2/3 is right, one of 1/3 is wrong
    assert f1_of([(found, true)]) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1), abs=1e-4)
    assert f1_of([([], [])]) is None


@pytest.mark.parametrize("spans", [{"one": 8, "two": 5, "three": 4}, {"one": 8}])
def test_a_toy_that_is_told_apart_easily_has_a_high_f1(desk, spans):
    label_films(desk, spans)
    learner = learned(desk)
    found = held_out_f1(learner, desk.project.state)
    assert set(found["labels"]) == {"left", "right", "middle"}
    assert found["f1"] > 0.5
    held = np.stack(list(folds_of(learner.readout.lesson)))
    assert (held.sum(0) <= 1).all()  # nothing is held out twice
    for fold in held:  # and no group stands on both sides
        groups = learner.readout.lesson.groups
        assert not set(groups[fold].tolist()) & set(groups[~fold].tolist())


def test_labels_at_random_have_a_low_f1(desk):
    label_films(desk, {"one": 8, "two": 5, "three": 4})
    rng = np.random.default_rng(3)
    for bout in list(desk.project.state.bouts.values()):
        wrong = str(rng.choice(["left", "right", "middle"]))
        desk.perform(change_bout(bout.name, by="me", label=wrong), token="", seen=None)
    assert held_out_f1(learned(desk), desk.project.state)["f1"] < 0.5


def test_labels_that_say_nothing_have_no_f1(desk):
    assert held_out_f1(desk.learner, desk.project.state) == {"f1": None, "labels": {}}
