"""Short clips with one label each: when a folder is one of them, sorting as one edit, and what the model guesses of a whole clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gerund.core.errors import DataError
from gerund.labelling.bouts import Footage, added
from gerund.labelling.clips import is_of_clips, labels_of_clips, say_of_clips, sort_clips, whole_segment
from gerund.labelling.edits import NotThereError, add_bout, add_label, reject
from gerund.labelling.project import Project
from support.studios import studio_in, wait_until, write_clips


@pytest.fixture
def project(tmp_path: Path):
    with Project(tmp_path / "project") as opened:
        opened.remember([added(Footage(name=f"v{number}", digest="", path=f"{number}.mp4", duration=4.0)) for number in range(3)])
        for text in ("left", "right"):
            opened.perform(add_label(text, name=text))
        yield opened


def test_a_folder_of_short_videos_is_one_of_clips_until_a_part_of_one_is_labelled(project):
    assert is_of_clips(project)
    project.perform(sort_clips({"v0": "left"}, by="me"))
    assert is_of_clips(project)
    project.perform(add_bout("v1", "left", 1, 2, by="me"))
    assert not is_of_clips(project)


def test_a_long_video_among_them_makes_films_of_them(project):
    project.remember([added(Footage(name="long", digest="", path="long.mp4", duration=15.1))])
    assert not is_of_clips(project)


def test_two_videos_are_films(tmp_path):
    with Project(tmp_path) as project:
        project.remember([added(Footage(name=name, digest="", path=name, duration=2.0)) for name in ("a", "b")])
        assert not is_of_clips(project)
        project.remember([added(Footage(name="c", digest="", path="c", duration=2.0))])
        assert is_of_clips(project)


def test_what_somebody_said_holds_also_after_a_restart(project):
    say_of_clips(project, False)
    assert not is_of_clips(project)
    folder = project.folder
    project.close()
    with Project(folder) as again:
        assert not is_of_clips(again)
        say_of_clips(again, True)
        assert is_of_clips(again)


def test_clips_are_sorted_as_one_edit(project):
    number = project.number
    edit = project.perform(sort_clips({"v0": "left", "v1": "right", "v2": "left"}, by="me"))
    assert (project.number, edit.said) == (number + 1, "2 labels for 3 clips")
    assert labels_of_clips(project.state) == {"v0": "left", "v1": "right", "v2": "left"}
    assert {(bout.start, bout.end, bout.by) for bout in project.state.bouts.values()} == {(0.0, 4.0, "me")}
    project.undo()
    assert labels_of_clips(project.state) == {}


def test_a_clip_has_one_label_and_keeps_its_bout_when_it_changes(project):
    project.perform(sort_clips({"v0": "left"}, by="me"))
    name = next(iter(project.state.bouts))
    assert project.perform(sort_clips({"v0": "right"}, by="you")).said == "right for 1 clip"
    assert {key: (bout.label, bout.by) for key, bout in project.state.bouts.items()} == {name: ("right", "you")}
    project.perform(sort_clips({"v0": None, "v1": None}, by="me"))
    assert project.state.bouts == {}


def test_parts_give_way_to_a_label_for_the_whole(project):
    project.perform(add_bout("v0", "left", 0, 1, by="me"))
    project.perform(add_bout("v0", "right", 2, 3, by="me"))
    project.perform(sort_clips({"v0": "left"}, by="me"))
    assert [(bout.start, bout.end) for bout in project.state.bouts.values()] == [(0.0, 4.0)]


def test_what_is_not_there_and_what_changes_nothing_is_refused(project):
    with pytest.raises(NotThereError, match="video 'v9': not there"):
        project.perform(sort_clips({"v9": "left"}, by="me"))
    with pytest.raises(NotThereError, match="label 'up': not there"):
        project.perform(sort_clips({"v0": "up"}, by="me"))
    project.perform(sort_clips({"v0": "left"}, by="me"))
    with pytest.raises(DataError, match="nothing to change"):
        project.perform(sort_clips({"v0": "left"}, by="me"))


def test_the_likeliest_label_that_is_not_rejected_is_guessed():
    scores = np.array([0.2, 0.5, 0.3])
    labels = ["a", "b", "c"]
    assert whole_segment(scores, labels, frozenset(), 2.0)[0].label == "b"
    again = whole_segment(scores, labels, frozenset({"b"}), 2.0)[0]
    assert (again.label, again.start, again.end, again.score) == ("c", 0.0, 2.0, pytest.approx(0.3))
    assert whole_segment(scores, labels, frozenset("abc"), 2.0) == []


def test_the_model_guesses_the_clips_that_nobody_has_sorted(tmp_path):
    truth = write_clips(tmp_path / "clips", 5)
    with studio_in(tmp_path / "clips", tmp_path / "cache") as desk:
        wait_until(lambda: len(desk.library.features) == len(truth))
        names = {video.path: name for name, video in desk.project.state.videos.items()}
        for text in ("left", "right", "middle"):
            desk.perform(add_label(text, name=text), token="", seen=None)
        told = {names[path]: label for path, label in truth.items() if path.endswith(("0.mp4", "1.mp4"))}
        desk.perform(sort_clips(told, by="me"), token="", seen=None)

        def guesses():
            found = {name: each.segments for name, each in dict(desk.learner.suggestions).items()}
            done = desk.learner.number == desk.project.number and not desk.learner.wake.is_set()
            return found if done and len(found) == len(truth) else None

        found = wait_until(guesses)
        assert {path: [each.label for each in found[name]] for path, name in names.items()} == {
            path: [label] for path, label in truth.items()
        }
        other = names["left 4.mp4"]
        desk.perform(reject(other, "left", 0, 1, by="me"), token="", seen=None)
        wait_until(lambda: guesses() and [each.label for each in guesses()[other]] in (["right"], ["middle"]))
