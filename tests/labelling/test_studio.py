"""`gerund studio` as a user starts it: it says where it is, refuses in words, and leaves everything on the disk when it is ended or killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import gerund
from gerund.core.errors import DataError, UsageError
from gerund.labelling.studio import open_project
from support.projects import project_in
from support.studios import Running, wait_until


@pytest.fixture
def running(folder) -> Iterator[Running]:
    studio = Running(folder)
    yield studio
    studio.process.kill()
    studio.process.wait()


def first_video(running: Running) -> str:
    return wait_until(lambda: running.get("/v1/project")["videos"])[0]["name"]


@pytest.mark.skipif(os.name == "nt", reason="signals are those of Unix")
def test_what_was_labelled_is_there_after_a_kill(running, folder):
    label = running.post("/v1/project/labels", {"text": "left"})["changes"][0][0].removeprefix("label/")
    video = first_video(running)
    for start in range(5):
        running.post("/v1/project/bouts", {"video": video, "label": label, "start": start, "end": start + 0.5})
    running.end(signal.SIGKILL)
    again = Running(folder)
    assert len(again.get(f"/v1/project/videos/{video}")["bouts"]) == 5
    assert again.end(signal.SIGINT) == 0
    assert len((folder / "labels.csv").read_text().splitlines()) == 6


@pytest.mark.skipif(os.name == "nt", reason="signals are those of Unix")
def test_an_open_window_does_not_keep_it_from_ending(running):
    with urllib.request.urlopen(f"{running.url}/v1/project/events", timeout=30) as events:
        assert events.readline() == b": hello\n"
        began = time.monotonic()
        assert running.end(signal.SIGINT) == 0
    assert time.monotonic() - began < 15  # the server would wait for twice as long


def test_a_second_studio_is_told_where_the_first_is(running, folder):
    with pytest.raises(DataError, match=f"another studio has this project open at {re.escape(running.url)}/"):
        gerund.studio(folder, backbone="pixels:8", browser=False)


def test_labels_that_lie_in_the_folder_come_in(folder):
    (folder / "labels.csv").write_text("path,label,start,end\none.mp4,left,0,3\n")
    studio = Running(folder)
    assert [each["text"] for each in studio.get("/v1/project")["labels"]] == ["left"]
    studio.end(signal.SIGTERM)
    assert "kept as labels-before.csv" in studio.log.read_text()
    assert (folder / "labels-before.csv").read_text() == "path,label,start,end\none.mp4,left,0,3\n"


def test_what_cannot_be_opened_is_refused_in_words(tmp_path, folder):
    with pytest.raises(DataError, match="not a folder; give the one that your videos are in"):
        gerund.studio(tmp_path / "nowhere", browser=False)
    with pytest.raises(UsageError, match="can be reached by others: set a token"):
        gerund.studio(folder, host="0.0.0.0", browser=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file.*: cannot be written"):
        open_project(folder, tmp_path / "file", "")


def test_where_the_folder_cannot_be_written_the_project_is_elsewhere(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with open_project(folder, None, "") as project:
        assert project.folder.parent == tmp_path / "home" / "gerund"
        assert project.folder.name.startswith("films-")
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "home")
    with open_project(folder, tmp_path / "chosen", "") as project:
        assert project.folder == tmp_path / "chosen"
    with project_in(folder):
        pass
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with open_project(folder, None, "") as project:
        assert project.folder == folder
