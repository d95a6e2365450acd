"""What is asked: the least sure first, never what is labelled or rejected already, and bouts that look labelled wrong."""

from __future__ import annotations

import pytest

from gerund.core.types import Segment
from gerund.labelling import edits
from gerund.labelling.bouts import LabelledBout
from gerund.labelling.review import Question, questions, spread_out, uncovered
from support.studios import label_films, learned, named, truth


def question(worth: float, **values) -> Question:
    return Question(**{"video": "a", "label": "x", "start": 0.0, "end": 1.0, "score": 0.5, "worth": worth, **values})


@pytest.mark.parametrize(
    ("bouts", "left"),
    [
        ([], [(2, 8)]),
        ([(0, 3, "confirmed", "y")], [(3, 8)]),
        ([(4, 5, "confirmed", "y")], [(2, 4), (5, 8)]),
        ([(0, 9, "confirmed", "y")], []),
        ([(4, 5, "rejected", "x")], [(2, 4), (5, 8)]),
        ([(4, 5, "rejected", "y")], [(2, 8)]),
        ([(9, 10, "confirmed", "y")], [(2, 8)]),
        ([(3, 4, "confirmed", "y"), (6, 7, "confirmed", "x")], [(2, 3), (4, 6), (7, 8)]),
    ],
)
def test_what_is_left_of_a_segment_beside_labels(bouts, left):
    given = [
        LabelledBout(name=str(n), video="a", label=label, start=start, end=end, status=status)
        for n, (start, end, status, label) in enumerate(bouts)
    ]
    assert uncovered(Segment(start=2, end=8, label="x", score=1), given) == left


def test_questions_are_spread_over_labels_and_videos():
    found = [question(0.9), question(0.8), question(0.5, label="y"), question(0.45, video="b")]
    assert [each.worth for each in spread_out(found, 3)] == [0.9, 0.5, 0.45]
    assert len(spread_out(found, 10)) == 4


def test_nobody_is_asked_about_what_is_known(desk):
    label_films(desk, {"one": 3})
    learned(desk)
    name = named(desk, "one")
    asked = questions(desk.learner, desk.project.state, 100)
    assert {each.video for each in asked} == set(desk.library.features)
    assert all(each.start >= 9 - 0.5 for each in asked if each.video == name)
    worth = [each.worth for each in asked if each.why != "new"]
    assert worth[0] >= max(worth) - 1e-9
    first = asked[0]
    desk.perform(edits.reject(first.video, first.label, first.start, first.end, by="me"), token="", seen=None)
    learned(desk)
    again = questions(desk.learner, desk.project.state, 100)
    middle = (first.start + first.end) / 2
    assert not [
        each for each in again if (each.video, each.label) == (first.video, first.label) and each.start < middle < each.end
    ]


def test_a_bout_with_the_wrong_label_is_doubted(desk):
    label_films(desk, {"one": 8, "two": 5, "three": 4})
    name = named(desk, "one")
    wrong = next(bout.name for bout in desk.project.state.bouts.values() if bout.video == name and bout.start == 9)
    desk.perform(edits.change_bout(wrong, label="middle", by="me"), token="", seen=None)
    learned(desk)
    doubts = [each for each in questions(desk.learner, desk.project.state, 100) if each.why == "doubt"]
    assert [(each.bout, each.label) for each in doubts] == [(wrong, "left")]
    assert truth("one")[3] == ("left", 9, 12)
    desk.perform(edits.reject(name, "left", 9, 12, by="me"), token="", seen=None)
    learned(desk)
    assert not [each for each in questions(desk.learner, desk.project.state, 100) if each.why == "doubt"]


def test_without_a_model_nothing_is_asked(desk):
    assert questions(desk.learner, desk.project.state, 10) == []
