"""How good it is: counted by hand, with an interval that is no point, a curve that is fitted honestly, and a next step."""

from __future__ import annotations

import numpy as np
import pytest

from gerund.labelling import edits
from gerund.labelling.figures import doubled, figures, next_label, wilson
from support.studios import label_films, learned, named


@pytest.mark.parametrize(
    ("right", "count", "interval"), [(0, 0, (0, 1)), (18, 19, (0.754, 0.991)), (5, 5, (0.566, 1.0)), (0, 4, (0.0, 0.490))]
)
def test_the_interval_is_wilsons(right, count, interval):
    """Compared with the values that the formula gives by hand."""
    np.testing.assert_allclose(wilson(right, count), interval, atol=1e-3)


def test_errors_that_fall_as_a_power_go_on_falling():
    curve = [{"bouts": float(count), "right": 1 - 0.8 / count**0.5} for count in (4, 8, 12, 16)]
    assert doubled(curve) == pytest.approx(1 - 0.8 / 32**0.5, abs=1e-6)
    assert doubled(curve[:1]) is None
    assert doubled([{"bouts": 4.0, "right": 0.8}, {"bouts": 8.0, "right": 0.6}]) == pytest.approx(0.6)


def test_the_next_label_is_the_rarest_and_then_the_one_most_mistaken():
    labels = [{"label": "x", "bouts": 9, "judged": 9, "right": 9}, {"label": "y", "bouts": 3, "judged": 3, "right": 3}]
    assert next_label(labels) == {"label": "y", "why": "few"}
    labels[1] |= {"bouts": 8, "judged": 8, "right": 5}
    assert next_label(labels) == {"label": "y", "why": "mistaken"}
    labels[1]["right"] = 8
    assert next_label(labels) is None
    assert next_label([]) is None


def test_every_bout_is_judged_by_a_model_that_has_not_seen_its_video(desk):
    label_films(desk, {"one": 8, "two": 5, "three": 4})
    name = named(desk, "one")
    wrong = next(bout.name for bout in desk.project.state.bouts.values() if bout.video == name and bout.start == 9)
    desk.perform(edits.change_bout(wrong, label="middle", by="me"), token="", seen=None)
    learned(desk)
    found = figures(desk.learner.readout, desk.project.state)
    assert (found["judged"], found["right"], found["by"]) == (17, 16, "video")
    assert {each["label"]: (each["bouts"], each["seconds"]) for each in found["labels"]} == {
        "left": (5, 15),
        "right": (6, 18),
        "middle": (6, 18),
    }
    assert sum(each["right"] for each in found["labels"]) == 16
    missed = [each for each in found["confusions"] if each["true"] != each["said"]]
    assert missed == [{"true": "middle", "said": "left", "bouts": [wrong]}]
    assert found["curve"][-1] == {"bouts": 17.0, "right": pytest.approx(16 / 17)}
    assert 0 < found["interval"][0] < 16 / 17 < found["interval"][1] < 1


def test_with_fewer_than_three_videos_time_is_held_out_and_it_is_said(desk):
    label_films(desk, {"one": 8})
    learned(desk)
    assert figures(desk.learner.readout, desk.project.state)["by"] == "time"


def test_without_a_model_there_are_counts_only(desk):
    label_films(desk, {"one": 1})
    found = figures(None, desk.project.state)
    assert found == {"labels": [{"label": "left", "bouts": 1, "seconds": 3.0}], "judged": 0}
