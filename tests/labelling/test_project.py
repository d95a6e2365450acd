"""A project's folder: one studio at a time, nothing lost, two windows never over each other, and files that other commands read."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gerund.core.errors import DataError
from gerund.data.annotations import read_annotations
from gerund.labelling import edits
from gerund.labelling.journal import ProjectJournal
from gerund.labelling.project import ConflictError, Project
from support.projects import label_span, project_in, spans


def test_undo_reaches_back_to_the_start_also_after_a_new_opening(tmp_path):
    with project_in(tmp_path) as project:
        for start in range(5):
            label_span(project, "walking", start, start + 1)
        project.undo()
    with project_in(tmp_path) as project:
        assert len(spans(project)) == 4
        assert project.redo() is not None
        assert len(spans(project)) == 5
        undone = 0
        while project.undo():
            undone += 1
        assert undone == 7  # five bouts and two labels; where the films lie is not undone
        assert (len(project.state.bouts), len(project.state.labels), len(project.state.videos)) == (0, 0, 3)
        while project.redo():
            pass
        assert len(spans(project)) == 5


def test_a_new_edit_ends_what_could_be_done_again(tmp_path):
    with project_in(tmp_path) as project:
        label_span(project, "walking", 0, 1)
        project.undo()
        label_span(project, "jumping", 0, 1)
        assert project.redo() is None


def test_an_edit_that_is_sent_twice_is_made_once(tmp_path):
    with project_in(tmp_path) as project:
        operation = edits.add_bout("a", "walking", 0, 1, by="me")
        first = project.perform(operation, token="t")
        assert project.perform(operation, token="t") is first
        assert len(project.state.bouts) == 1
        assert project.undo(token="u") is project.undo(token="u")
    with project_in(tmp_path) as project:
        assert project.perform(operation, token="t").number == first.number
        assert len(project.state.bouts) == 0


def test_two_windows_never_write_over_each_other_silently(tmp_path):
    with project_in(tmp_path) as project:
        label_span(project, "walking", 0, 4)
        label_span(project, "walking", 10, 14)
        one, other = project.state.bouts
        seen = project.number
        project.perform(edits.change_bout(one, end=3.0, by="me"), seen=seen)
        with pytest.raises(ConflictError, match="changed in another window"):
            project.perform(edits.change_bout(one, end=2.0, by="me"), seen=seen)
        project.perform(edits.change_bout(other, end=13.0, by="me"), seen=seen)
        assert spans(project) == [("walking", 0, 3), ("walking", 10, 13)]


def test_the_second_studio_is_told_where_the_first_is(tmp_path):
    with (
        Project(tmp_path, address="http://127.0.0.1:8123/"),
        pytest.raises(DataError, match=r"another studio has this project open at http://127\.0\.0\.1:8123/"),
    ):
        Project(tmp_path)
    Project(tmp_path).close()


def test_the_csv_is_what_training_reads_with_paths_from_its_folder(tmp_path):
    with project_in(tmp_path) as project:
        label_span(project, "walking", 0, 1.25)
        project.perform(edits.add_label("background"))
        label_span(project, edits.NOTHING_HERE, 5, 6, video="b")
        project.perform(edits.reject("a", "jumping", 2, 3, by="me"))
    rows = read_annotations(tmp_path / "labels.csv")
    shown = [(row.path, row.label, row.start, row.end, row.status) for row in rows]
    assert shown == [
        (tmp_path / "a.mp4", "walking", 0, 1.25, "confirmed"),
        (tmp_path / "a.mp4", "jumping", 2, 3, "rejected"),
        (tmp_path / "b.mp4", "background", 5, 6, "confirmed"),
    ]
    assert "\na.mp4,walking,,1.25," in (tmp_path / "labels.csv").read_text().replace("\r", "")


def test_a_labels_file_of_somebody_else_is_kept(tmp_path):
    (tmp_path / "labels.csv").write_text("path,label\na.mp4,theirs\n")
    with project_in(tmp_path) as project:
        assert project.foreign_labels == tmp_path / "labels-before.csv"
        label_span(project, "walking", 0, 1)
    with project_in(tmp_path) as project:
        assert project.foreign_labels is None
    (tmp_path / "labels.csv").write_text("path,label\na.mp4,by hand\n")
    with project_in(tmp_path) as project:
        assert project.foreign_labels == tmp_path / "labels-before-2.csv"
        assert spans(project) == [("walking", 0, 1)]
    assert "theirs" in (tmp_path / "labels-before.csv").read_text()
    assert "walking" in (tmp_path / "labels.csv").read_text()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format": "gerund project", "version": 2}, "a project of version 2, and this gerund knows version 1; install a newer"),
        ({"format": "something"}, "not a project of gerund"),
        ([], "not a project of gerund"),
    ],
)
def test_a_project_of_a_newer_version_is_refused_and_untouched(tmp_path, values, words):
    (tmp_path / "gerund-project.json").write_text(json.dumps(values))
    (tmp_path / "labels.csv").write_text("theirs")
    for _ in range(2):
        with pytest.raises(DataError, match=words):
            Project(tmp_path)
    assert (tmp_path / "labels.csv").read_text() == "theirs"


def test_a_csv_that_cannot_be_written_is_told_and_labels_are_kept(tmp_path, monkeypatch):
    def failing(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gerund.labelling.project.write_bytes", failing)
    with project_in(tmp_path) as project:
        label_span(project, "walking", 0, 1)
    assert "not written (No space left on device)" in project.complaint
    monkeypatch.undo()
    with project_in(tmp_path) as project:
        assert spans(project) == [("walking", 0, 1)]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="choose another folder with --project"):
        Project(tmp_path)


def test_many_threads_lose_nothing(tmp_path):
    with project_in(tmp_path) as project:

        def label(film: str) -> None:
            for start in range(0, 40, 2):
                label_span(project, "walking", start, start + 1, video=film)

        threads = [threading.Thread(target=label, args=(film,)) for film in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with project_in(tmp_path) as project:
        assert [len(spans(project, film)) for film in "abc"] == [20, 20, 20]


SESSION = """
import sys
from pathlib import Path
from support.projects import project_in
from gerund.labelling import edits
project = project_in(Path(sys.argv[1]))
for number in range(10_000):
    start, label = number % 59, ("walking", "jumping")[number % 2]
    add = edits.add_bout("a", label, start, start + 0.5, by="me")
    edit = project.undo() if number % 7 == 6 else project.perform(add)
    print(edit.number, flush=True)
"""


def killed_session(folder: Path, lines: int) -> int:
    """Label in a process of its own until so many edits are acknowledged, kill it; the number of the last one that it told."""
    command = [sys.executable, "-c", SESSION, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process:
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        rest = [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    return int(rest[-1]) if rest else told[-1]


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_no_acknowledged_label_is_lost_to_a_kill(tmp_path, kills):
    chance = random.Random(kills)
    for _ in range(kills):
        acknowledged = killed_session(tmp_path, chance.randrange(1, 40))
        journal = ProjectJournal.opened(tmp_path / "gerund-journal.jsonl")
        assert acknowledged <= journal.number <= acknowledged + 1
        with project_in(tmp_path) as project:
            assert project.foreign_labels is None
            alive = len(project.state.bouts)
        if alive:
            assert len(read_annotations(tmp_path / "labels.csv")) == alive
    assert not list(tmp_path.glob("labels-before*"))
    assert not [path for path in tmp_path.glob(".*") if path.name not in (".gerund-studio.lock", ".gerund-studio.address")]
