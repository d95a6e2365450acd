"""Films to practise on are films."""

from __future__ import annotations

import pytest

from gerund.labelling.practice import FILMS, PRACTICE_FPS, SIZE, practice_frames, practice_spans, write_practice
from gerund.video import probe


def test_the_films_are_of_the_figure_and_differ():
    first, second = (next(practice_frames(number)) for number in range(2))
    assert first.shape == (*SIZE, 3)
    assert (first != second).any()


@pytest.mark.slow
def test_they_are_written_once(tmp_path):
    paths = write_practice(tmp_path)
    assert len(paths) == FILMS
    ends = [practice_spans(number)[-1][2] for number in range(FILMS)]
    assert [probe(path).duration for path in paths] == pytest.approx(ends, abs=0.05)
    assert all(probe(path).fps == PRACTICE_FPS for path in paths)
    before = [path.stat().st_mtime_ns for path in paths]
    assert [path.stat().st_mtime_ns for path in write_practice(tmp_path)] == before
