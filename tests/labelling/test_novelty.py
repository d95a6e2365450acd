"""What is unlike all that is labelled comes up in the review."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from gerund.labelling.novelty import MOST_SPANS, spread_evenly, strangeness
from gerund.labelling.review import NEW_EVERY, questions, with_new
from support.studios import label_films, learned, named


def test_what_is_like_an_example_is_not_strange():
    rng = np.random.default_rng(0)
    examples = rng.normal(size=(20, 50)).astype(np.float32)
    readout = SimpleNamespace(lesson=SimpleNamespace(statistics=examples))
    far = -5 * examples.sum(0) + rng.normal(size=50)
    strange = strangeness(readout, np.stack([examples[3], examples[3] + 0.05, far]))  # type: ignore[arg-type]
    assert strange[0] < 1e-5
    assert strange[0] < strange[1] < 0.2 < strange[2]


def test_at_most_so_many_are_compared():
    assert spread_evenly(0).tolist() == []
    assert spread_evenly(3).tolist() == [0, 1, 2]
    many = spread_evenly(10 * MOST_SPANS)
    assert (len(many), many[0], many[-1]) == (MOST_SPANS, 0, 10 * MOST_SPANS - 1)


def test_every_eighth_question_is_about_something_new():
    def asked(why: str, count: int) -> list[SimpleNamespace]:
        return [SimpleNamespace(video=why, start=number, why=why) for number in range(count)]

    found = [each.why for each in with_new(asked("unsure", 2 * NEW_EVERY + 1), asked("new", 2))]  # type: ignore[list-item]
    assert [place for place, why in enumerate(found) if why == "new"] == [NEW_EVERY - 1, 2 * NEW_EVERY - 1]
    assert len(found) == 2 * NEW_EVERY + 1
    assert with_new([], asked("new", 2)) == []  # type: ignore[arg-type]


def test_a_place_that_nobody_has_labelled_is_new(desk):
    label_films(desk, {"one": 2})  # left and right, and never the middle
    found = questions(learned(desk), desk.project.state, 40)
    new = [each for each in found if each.why == "new"]
    assert new
    assert len({(each.video, each.start) for each in found}) == len(found)
    assert all(each.video in {named(desk, film) for film in ("one", "two", "three")} for each in new)
