"""Looks into videos: small pictures and headers, from a process that may die without harm."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading

import pytest
from PIL import Image

from gerund.core.errors import VideoError
from gerund.core.workers import Worker
from gerund.labelling.pictures import Looker


@pytest.fixture
def looker():
    opened = Looker()
    yield opened
    opened.close()


def test_a_header_and_a_picture_at_its_time(looker, films):
    assert looker.header(films / "one.mp4") == (pytest.approx(24.0), 10.0)
    seen = Image.open(io.BytesIO(looker.picture(films / "one.mp4", 4.5)))
    assert seen.size == (144, 108)
    left, right = seen.getpixel((22, 54)), seen.getpixel((115, 54))  # the square is at the right from 3 to 6 s
    assert min(right) > 150 > 80 > max(left)


def test_a_file_that_is_no_video_is_named(looker, tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(VideoError, match=r"a\.mp4: "):
        looker.header(tmp_path / "a.mp4")


def test_a_process_that_died_while_idle_is_started_anew(looker, films):
    looker.header(films / "one.mp4")
    os.kill(looker.workers[0].process.pid, signal.SIGKILL)
    looker.workers[0].process.wait()
    assert looker.header(films / "two.mp4")[0] == pytest.approx(15.0)


def test_a_process_that_dies_over_a_question_costs_that_answer_alone(films, monkeypatch):
    looker = Looker()
    try:
        looker.header(films / "one.mp4")
        given = Worker.give

        def dies(worker, job):
            given(worker, job)
            worker.process.kill()

        os.kill(looker.workers[0].process.pid, getattr(signal, "SIGSTOP", signal.SIGTERM))  # so that it has no time to answer
        monkeypatch.setattr(Worker, "give", dies)
        with pytest.raises(VideoError, match=r"one\.mp4: the decoder crashed \(signal 9\)"):
            looker.header(films / "one.mp4")
        monkeypatch.setattr(Worker, "give", given)
        assert looker.header(films / "one.mp4")[1] == 10.0
    finally:
        looker.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGSTOP")
def test_closing_does_not_wait_for_an_answer(films):
    looker = Looker()
    looker.header(films / "one.mp4")
    os.kill(looker.workers[0].process.pid, signal.SIGSTOP)
    said: list[str] = []

    def ask() -> None:
        try:
            looker.header(films / "one.mp4")
        except VideoError as error:
            said.append(str(error))

    asking = threading.Thread(target=ask)
    asking.start()
    while not looker.workers[0].jobs:
        pass
    looker.close()
    asking.join(10)
    assert ["one.mp4: the decoder crashed" in each for each in said] == [True]
