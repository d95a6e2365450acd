"""Writing video."""

from __future__ import annotations

from pathlib import Path

import pytest

from gerund import video
from gerund.core.errors import VideoError
from support.pictures import ramp


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
