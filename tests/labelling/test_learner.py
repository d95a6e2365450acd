"""The model learns while one labels: every change is seen, the open video first, and nothing is learned from what is not confirmed."""

from __future__ import annotations

import numpy as np

from gerund.labelling import edits
from gerund.labelling.learner import Suggestion
from support.studios import found_labels, label_films, learned, named, truth, wait_until


def test_two_labels_with_a_bout_each_are_enough_and_one_is_not(desk):
    label_films(desk, {"one": 1})
    wait_until(lambda: desk.learner.number == desk.project.number)
    assert desk.learner.readout is None
    assert desk.learner.suggestions == {}
    label_films(desk, {"one": 2})
    learned(desk)
    assert found_labels(desk, "one")[:2] == ["left", "right"]


def test_what_was_labelled_in_one_film_is_found_in_the_others(desk):
    label_films(desk, {"one": 3})
    learned(desk)
    for film in ("one", "two", "three"):
        assert found_labels(desk, film) == [label for label, _, _ in truth(film)]
    borders = np.array([each.start for each in desk.learner.suggestions[named(desk, "two")].segments])
    assert all(np.abs(borders - start).min() < 1.0 for _, start, _ in truth("two"))


def test_undo_is_unlearned(desk):
    label_films(desk, {"one": 2})
    learned(desk)
    desk.step(back=True, token="")
    wait_until(lambda: desk.learner.readout is None)
    desk.step(back=False, token="")
    learned(desk)


def test_rejected_bouts_are_not_learned_from(desk):
    label_films(desk, {"one": 2})
    name = named(desk, "one")
    before = learned(desk).readout.lesson.statistics
    desk.perform(edits.reject(name, "left", 6, 9, by="me"), token="", seen=None)
    assert learned(desk).readout.lesson.statistics.shape == before.shape


def test_the_open_video_is_drawn_first(desk):
    label_films(desk, {"one": 3})
    learned(desk)
    for film in ("three", "two"):
        told: list[str] = []
        desk.library.open(named(desk, film))
        desk.learner.told = told.append
        desk.perform(edits.rename_label("left", f"left of {film}"), token="", seen=None)
        wait_until(lambda told=told: "" in told)
        assert told[0] == named(desk, film)


def test_nothing_here_is_learned_and_shown_as_nothing(desk):
    label_films(desk, {"one": 2})
    name = named(desk, "one")
    desk.perform(edits.add_label("background"), token="", seen=None)
    desk.perform(edits.add_bout(name, edits.NOTHING_HERE, 6, 9, by="me"), token="", seen=None)
    learned(desk)
    assert found_labels(desk, "three") == ["", "right", "left", ""]


def test_a_new_studio_on_the_same_project_knows_what_was_learned(folder, tmp_path, desk):
    label_films(desk, {"one": 3})
    learned(desk)
    from support.studios import studio_in

    desk.end()
    with studio_in(folder, tmp_path / "cache") as again:
        learned(again)
        assert found_labels(again, "two") == [label for label, _, _ in truth("two")]


def test_a_round_that_fails_is_told_and_the_next_change_tries_again(desk, monkeypatch, caplog):
    label_films(desk, {"one": 2})
    learned(desk)

    def failing(*_: object) -> None:
        raise MemoryError("too many windows")

    monkeypatch.setattr("gerund.labelling.learner.over_rows", failing)
    label_films(desk, {"one": 3})
    wait_until(lambda: desk.learner.error)
    assert desk.learner.error == "the model could not learn (too many windows); the log says more"
    monkeypatch.undo()
    desk.step(back=True, token="")
    wait_until(lambda: not desk.learner.error)
    learned(desk)
    assert "a round of learning failed" in caplog.text


def test_margin_is_the_distance_of_the_two_likeliest():
    scores = np.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1]], np.float32)
    suggestion = Suggestion("a", 1, 1, ["x", "y", "z"], [], scores, np.array([0.0, 1.0, 2.0]))
    found = [suggestion.margin(0, 2), suggestion.margin(1, 2), suggestion.certainty]
    np.testing.assert_allclose(found, [0.3, 0.1, 0.6], atol=1e-6)
