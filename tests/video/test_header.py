"""What a header tells before anything is decoded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from gerund import video
from support.pictures import RampVideo, frame_folder, ramp


def test_probe_tells_what_the_container_says(ramp_video: RampVideo) -> None:
    info = video.probe(ramp_video(50, size=(32, 48)))
    assert (info.width, info.height, info.fps, info.num_frames) == (48, 32, 25.0, 50)
    assert info.duration == pytest.approx(2.0)
    assert (info.codec, info.pixel_format) == ("h264", "yuv420p")


def test_probe_does_not_tell_the_number_of_a_first_fragment(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w", options={"movflags": "frag_keyframe"}) as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"g": "5"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for picture in ramp(20, (32, 32)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    info = video.probe(tmp_path / "a.mp4")
    assert (info.fps, info.duration, info.num_frames) == (25.0, pytest.approx(0.8), None)
    assert len(list(video.wanted_frames(tmp_path / "a.mp4"))) == 20


GROWS = """
import os, sys, numpy as np
from pathlib import Path
from gerund import video
with video.Writer(Path(sys.argv[1]), growing=True) as writer:
    for i in range(1500):
        writer.add(np.full((32, 32, 3), i % 250, np.uint8), i / 25)
    if sys.argv[2] == "killed":
        os._exit(9)
"""


@pytest.mark.parametrize("suffix", [".mp4", *(pytest.param(each, marks=pytest.mark.slow) for each in (".mov", ".mkv"))])
def test_of_a_growing_file_all_but_the_last_seconds_are_kept_when_its_process_is_killed(tmp_path: Path, suffix: str) -> None:
    killed, closed = tmp_path / f"killed{suffix}", tmp_path / f"closed{suffix}"
    for path in (killed, closed):
        subprocess.run([sys.executable, "-c", GROWS, path, path.stem], check=False)
    times = [float(pts) for block in video.read(killed, fps=None) for pts in block.pts]
    assert 50 * 25 < len(times) < 1500
    np.testing.assert_allclose(times, np.arange(len(times)) / 25, atol=1e-6)
    assert sum(len(block.pts) for block in video.read(closed, fps=None)) == 1500


def test_probe_of_a_frame_folder_counts_its_images(tmp_path: Path) -> None:
    info = video.probe(frame_folder(tmp_path / "frames", ["1.png", "2.png", "3.png"]))
    assert (info.width, info.height, info.fps, info.num_frames) == (20, 10, 25.0, 3)
    assert info.duration == pytest.approx(3 / 25)
