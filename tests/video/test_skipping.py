"""Decoding only what is wanted."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gerund import video
from gerund.video.rate import PACKET_UNUSED, at_rate
from gerund.video.skipping import plan_of


@pytest.fixture(scope="module")
def long_gop(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write moving H.264 pictures with B-frames and long groups of pictures."""
    folder = tmp_path_factory.mktemp("gop")

    def write(name: str, count: int = 130, **options: str) -> Path:
        path = folder / name
        if path.is_file():
            return path
        noise = np.random.default_rng(0).integers(0, 255, (64, 400, 3), dtype=np.uint8)
        pictures = (noise[:, step * 2 : step * 2 + 96] for step in range(count))
        video.write(path, pictures, fps=25, options={"crf": "30", "bf": "3", **options})
        return path

    return write


WAYS = {
    "one group": {"g": "250"},
    "short groups": {"g": "12", "keyint_min": "12"},
    "open groups": {"x264-params": "open-gop=1:keyint=24:min-keyint=24"},
    "no B-frames": {"g": "250", "bf": "0"},
}


@cache
def fully_decoded(path: Path, fps: float) -> list[tuple[float, np.ndarray]]:
    return [(time, frame.to_ndarray(format="rgb24")) for time, frame in at_rate(video.decode(path), fps)]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("fps", [8.0, 4.0, 0.7])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("way", WAYS)
def test_skipping_gives_the_very_frames_of_full_decoding(
    long_gop: Callable[..., Path], way: str, suffix: str, fps: float, threads: int
) -> None:
    path = long_gop(f"{way}{suffix}", **WAYS[way])
    expected = fully_decoded(path, fps)
    found = [(time, frame.to_ndarray(format="rgb24")) for time, frame in video.wanted_frames(path, fps=fps, threads=threads)]
    assert [time for time, _ in found] == [time for time, _ in expected]
    assert all(np.array_equal(one, other) for (_, one), (_, other) in zip(found, expected, strict=True))


def test_skipping_does_leave_packets_out(long_gop: Callable[..., Path]) -> None:
    plan = plan_of(long_gop("short groups.mp4", **WAYS["short groups"]), 0.7)
    assert plan is not None
    assert (plan.needs == PACKET_UNUSED).sum() > 60
    assert plan_of(long_gop("one group.mp4", **WAYS["one group"]), 20.0) is None


def test_a_cut_off_video_gives_what_is_there_when_skipping_too(long_gop: Callable[..., Path], tmp_path: Path) -> None:
    whole = long_gop("one group.ts", **WAYS["one group"])
    path = tmp_path / "cut.ts"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    times = [time for time, _ in video.wanted_frames(path, fps=4.0)]
    assert 3 < len(times) < 21
    assert times == sorted(times)


def test_a_frame_in_the_middle_is_the_one_of_full_decoding(long_gop: Callable[..., Path]) -> None:
    for way in ("one group", "short groups"):
        path = long_gop(f"{way}.mp4", **WAYS[way])
        frames = [(time, frame.to_ndarray(format="rgb24")) for time, frame in video.decode(path)]
        for seconds in (0.0, 1.3, 2.5, 99.0):
            expected = next((picture for time, picture in reversed(frames) if time <= seconds), None)
            assert np.array_equal(video.frame_at(path, seconds), expected)
