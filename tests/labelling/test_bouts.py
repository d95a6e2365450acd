"""Values in the journal, and how bouts make room for each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gerund.labelling.bouts import Label, LabelledBout, added, cleaned, journal_key, make_room, things, values_of


def bout(name: str, start: float, end: float, **values) -> LabelledBout:
    return LabelledBout(**{"name": name, "video": "a", "label": "walk", "start": start, "end": end, **values})


def test_values_come_back_and_what_a_newer_version_adds_is_passed_over():
    label = Label(name="x", text="walking", key="1")
    assert values_of(label) == {"text": "walking", "key": "1"}
    assert things(Label, {"x": {**values_of(label), "shape": "round"}}) == {"x": label}
    assert journal_key(bout("7", 0, 1)) == "bout/7"


def test_a_bout_in_the_middle_of_another_parts_it():
    changes = make_room(bout("new", 4, 6), [bout("old", 0, 10)], ["half"])
    assert [(key, after["start"], after["end"]) for key, _, after in changes] == [("bout/old", 0, 4), ("bout/half", 6, 10)]


def test_what_is_covered_goes_and_what_is_of_others_stays():
    others = [
        bout("inside", 4.5, 5),
        bout("else", 4, 6, subject="b"),
        bout("film", 4, 6, video="b"),
        bout("no", 4, 6, status="rejected"),
    ]
    assert [(key, after) for key, _, after in make_room(bout("new", 4, 6), others, [])] == [("bout/inside", None)]


spans = st.tuples(st.integers(0, 30), st.integers(1, 12)).map(lambda span: (float(span[0]), float(span[0] + span[1])))


@given(st.lists(spans, max_size=12))
def test_bouts_are_a_coat_of_paint_over_time(drawn):
    """Painted one after the other, the bouts say of each moment what was painted there last."""
    kept: dict[str, LabelledBout] = {}
    canvas = np.full(60, "", dtype=object)
    for number, (start, end) in enumerate(drawn):
        new = bout(str(number), start, end, label=f"label {number}")
        halves = (f"{number}-{half}" for half in range(20))
        for key, _, after in [*make_room(new, kept.values(), halves), added(new)]:
            name = key.removeprefix("bout/")
            kept.pop(name, None)
            if after is not None:
                kept[name] = things(LabelledBout, {name: after})[name]
        canvas[int(start) : int(end)] = f"label {number}"
    found = np.full(60, "", dtype=object)
    for each in kept.values():
        assert not any(each.overlaps(other) for other in kept.values())
        found[int(each.start) : int(each.end)] = each.label
    assert (found == canvas).all()


def test_bouts_overlap_only_with_the_same_animal_in_the_same_film():
    one = bout("1", 0, 2)
    assert one.overlaps(bout("2", 1, 3))
    assert not one.overlaps(bout("2", 2, 3))
    assert not one.overlaps(replace(one, start=1))
    assert not one.overlaps(bout("2", 1, 3, subject="b"))


def test_names_are_one_composed_line():
    assert cleaned("  nai\u0308ve \n walking ") == "naïve walking"
    assert len(cleaned("x" * 500)) == 100
