"""What may be done to labels and bouts, each undone and done again; and what is refused, in words."""

from __future__ import annotations

import pytest

from gerund.core.errors import DataError
from gerund.core.types import Segment
from gerund.labelling import edits
from gerund.labelling.project import Project
from support.projects import label_span, project_in, spans


@pytest.fixture
def project(tmp_path):
    with project_in(tmp_path) as opened:
        yield opened


def texts(project: Project) -> dict[str, str]:
    return {label.text: label.key for label in project.state.labels.values()}


def only_bout(project: Project) -> str:
    (name,) = project.state.bouts
    return name


def test_a_new_label_takes_the_next_free_digit_and_a_colour_of_its_own(project):
    project.perform(edits.add_label("  sitting "))
    project.perform(edits.add_label("background"))
    assert texts(project) == {"walking": "1", "jumping": "2", "sitting": "3", "background": "0"}
    assert sorted(label.place for label in project.state.labels.values() if label.name != edits.NOTHING_HERE) == [0, 1, 2]
    project.perform(edits.remove_label("walking"))
    project.perform(edits.add_label("lying"))
    assert texts(project)["lying"] == "1"


@pytest.mark.parametrize(("text", "words"), [("", "needs a name"), (" \n ", "needs a name"), ("WALKING", "there is one already")])
def test_a_label_that_cannot_be_is_refused(project, text, words):
    with pytest.raises(DataError, match=words):
        project.perform(edits.add_label(text))


def test_names_with_quotes_and_tags_are_names(project, tmp_path):
    strange = '<b>"it\'s"</b>, a\\b; 100 %'
    project.perform(edits.add_label(strange, name="s"))
    label_span(project, "s", 1, 2)
    project.write_csv()
    from gerund.data.annotations import read_annotations

    assert [row.label for row in read_annotations(tmp_path / "labels.csv")] == [strange]


def test_a_renamed_label_keeps_its_bouts_and_a_name_that_is_taken_joins_two(project):
    label_span(project, "walking", 0, 1)
    label_span(project, "jumping", 2, 3)
    project.perform(edits.rename_label("walking", "strolling"))
    assert spans(project) == [("walking", 0, 1), ("jumping", 2, 3)]
    project.perform(edits.rename_label("walking", "Jumping"))
    assert spans(project) == [("jumping", 0, 1), ("jumping", 2, 3)]
    assert texts(project) == {"jumping": "2"}
    project.undo()
    project.undo()
    assert spans(project) == [("walking", 0, 1), ("jumping", 2, 3)]
    assert texts(project) == {"walking": "1", "jumping": "2"}


def test_a_removed_label_takes_its_bouts_and_undo_brings_both_back(project):
    label_span(project, "walking", 0, 1)
    project.perform(edits.remove_label("walking"))
    assert (spans(project), texts(project)) == ([], {"jumping": "2"})
    project.undo()
    assert (spans(project), texts(project)) == ([("walking", 0, 1)], {"walking": "1", "jumping": "2"})


def test_digits_are_exchanged(project):
    project.perform(edits.give_key("walking", "2"))
    assert texts(project) == {"walking": "2", "jumping": "1"}
    with pytest.raises(DataError, match="choose a digit from 1 to 9"):
        project.perform(edits.give_key("walking", "0"))


def test_a_new_bout_wins_over_what_was_there(project):
    label_span(project, "walking", 0, 10)
    label_span(project, "jumping", 4, 6)
    assert spans(project) == [("walking", 0, 4), ("jumping", 4, 6), ("walking", 6, 10)]
    project.undo()
    assert spans(project) == [("walking", 0, 10)]
    project.redo()
    assert spans(project) == [("walking", 0, 4), ("jumping", 4, 6), ("walking", 6, 10)]


def test_two_subjects_may_do_two_things_at_once(project):
    label_span(project, "walking", 0, 10, subject="one")
    label_span(project, "jumping", 4, 6, subject="other")
    assert spans(project) == [("walking", 0, 10), ("jumping", 4, 6)]


def test_a_moved_border_pushes_the_neighbour(project):
    label_span(project, "walking", 0, 4)
    label_span(project, "jumping", 4, 8)
    first = next(bout for bout in project.state.bouts.values() if bout.label == "walking")
    project.perform(edits.change_bout(first.name, end=5.0, by="me"))
    assert spans(project) == [("walking", 0, 5), ("jumping", 5, 8)]
    project.perform(edits.change_bout(first.name, label="jumping", by="me"))
    assert spans(project) == [("jumping", 0, 5), ("jumping", 5, 8)]


def test_split_and_merge_are_opposites(project):
    label_span(project, "walking", 0, 4)
    project.perform(edits.split_bout(only_bout(project), 1.5))
    assert spans(project) == [("walking", 0, 1.5), ("walking", 1.5, 4)]
    project.perform(edits.merge_bouts(*project.state.bouts, by="me"))
    assert spans(project) == [("walking", 0, 4)]
    with pytest.raises(DataError, match="cannot be parted at 7 s"):
        project.perform(edits.split_bout(only_bout(project), 7))
    with pytest.raises(DataError, match="two bouts of one video"):
        project.perform(edits.merge_bouts(only_bout(project), only_bout(project), by="me"))


@pytest.mark.parametrize("span", [(5, 4), (-1, 2), (float("nan"), 2), (1, float("inf")), (0, 99)])
def test_a_span_that_cannot_be_is_refused(project, span):
    with pytest.raises(DataError, match=r"the end must come after|ends at 60"):
        label_span(project, "walking", *span)
    assert project.state.bouts == {}


def test_a_span_that_ends_a_moment_late_ends_with_the_video(project):
    label_span(project, "walking", 50, 60.2)
    assert spans(project) == [("walking", 50, 60)]


@pytest.mark.parametrize(
    "operation",
    [
        edits.remove_bout("?"),
        edits.change_bout("?", by="me"),
        edits.add_bout("a", "?", 0, 1, by="me"),
        edits.add_bout("?", "walking", 0, 1, by="me"),
        edits.reject("a", "?", 0, 1, by="me"),
    ],
)
def test_what_is_gone_is_named(project, operation):
    with pytest.raises(edits.NotThereError, match=r"'\?': not there \(any more\)"):
        project.perform(operation)


def test_rejected_spans_are_kept_and_do_not_make_room(project):
    label_span(project, "walking", 0, 4)
    project.perform(edits.reject("a", "jumping", 1, 3, by="me"))
    assert spans(project) == [("walking", 0, 4)]
    assert sorted(row.status for row in project.annotations()) == ["confirmed", "rejected"]


def test_accepting_many_is_one_edit_and_spares_what_is_labelled(project):
    label_span(project, "walking", 0, 4)
    found = [("a", Segment(start=start, end=start + 2, label="jumping", score=0.9)) for start in (3.0, 10.0, 20.0)]
    project.perform(edits.accept_all([*found, ("gone", found[0][1])], by="me"))
    assert spans(project) == [("walking", 0, 4), ("jumping", 10, 12), ("jumping", 20, 22)]
    with pytest.raises(DataError, match="labelled already"):
        project.perform(edits.accept_all(found, by="me"))
    project.undo()
    assert spans(project) == [("walking", 0, 4)]
