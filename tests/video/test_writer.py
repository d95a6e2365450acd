"""Writing video."""

from __future__ import annotations

from pathlib import Path

import pytest

from gerund import video
from gerund.core.errors import VideoError
from support.pictures import joined, ramp


def test_write_drops_the_odd_line_and_keeps_the_rate(tmp_path: Path) -> None:
    video.write(tmp_path / "odd.mp4", ramp(6, (33, 47)), fps=30000 / 1001)
    info = video.probe(tmp_path / "odd.mp4")
    assert (info.height, info.width) == (32, 46)
    assert info.fps == pytest.approx(30000 / 1001)


def test_nothing_to_write_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"none\.mp4: no frame to write"):
        video.write(tmp_path / "none.mp4", [], fps=25)
    assert not (tmp_path / "none.mp4").exists()


def test_a_place_that_cannot_be_written_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"missing.clip\.mp4: cannot be written as video"):
        video.write(tmp_path / "missing" / "clip.mp4", ramp(2), fps=25)
    with pytest.raises(VideoError, match=r"clip\.xyz: cannot be written as video"):
        video.write(tmp_path / "clip.xyz", ramp(2), fps=25)


def test_places_may_be_texts(tmp_path: Path) -> None:
    path = str(tmp_path / "été.mp4")
    video.write(path, ramp(6), fps=8)
    assert (
        len(joined(video.read(path, fps=8.0)).pts) == len(list(video.decode(path))) == len(list(video.wanted_frames(path))) == 6
    )
    assert video.probe(path).path == Path(path)
    assert video.frame_at(path, 0.1).shape == (32, 48, 3)
    with video.Writer(str(tmp_path / "again.mp4"), sound=path) as writer:
        writer.add(ramp(1)[0], 0.0)
    assert video.probe(tmp_path / "again.mp4").num_frames == 1
