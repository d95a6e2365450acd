"""Cuts hold the pictures and the sound of their span, at every rate and in every order of coding; copies say by how much they miss it."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from gerund import video
from gerund.core.errors import ClipError
from gerund.video.cutting import copy_span, pictures_between, write_span
from gerund.video.header import picture_span
from support.videos import RampVideo, encode

BITS = 8
"""A picture shows its number in black and white bars, which no encoder takes for another."""


def numbers(path: Path) -> list[int]:
    """Which pictures a film shows, in order."""
    bars = (frame.mean(axis=(0, 2)).reshape(BITS, -1).mean(axis=1) > 128 for block in video.read(path) for frame in block.data)
    return [int(sum(bit << place for place, bit in enumerate(each.tolist()))) for each in bars]


def times(path: Path) -> np.ndarray:
    return np.concatenate([block.pts for block in video.read(path)])


def ramp(count: int) -> list[np.ndarray]:
    bars = [np.repeat([255 * (number >> place & 1) for place in range(BITS)], 6) for number in range(count)]
    return [np.broadcast_to(each.astype(np.uint8)[None, :, None], (32, 48, 3)).copy() for each in bars]


def film(path: Path, fps: Fraction, options: dict[str, str], count: int = 80) -> Path:
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=fps, options={"sc_threshold": "0", **options})
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for picture in ramp(count):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001), Fraction(60)], ids=str)
@pytest.mark.parametrize(
    "options", [{"bf": "0", "g": "12"}, {"bf": "3", "g": "250"}, {"bf": "3", "b-pyramid": "normal", "g": "9"}], ids=str
)
def test_a_cut_has_exactly_the_pictures_of_its_span(tmp_path: Path, fps: Fraction, options: dict[str, str], suffix: str) -> None:
    source, rate = film(tmp_path / f"s{suffix}", fps, options), float(fps)
    for first, end in ((0, 7), (20, 41), (33, 34), (60, 80)):
        write_span(source, tmp_path / "cut.mp4", first / rate, end / rate)
        assert numbers(tmp_path / "cut.mp4") == list(range(first, end))
        np.testing.assert_allclose(times(tmp_path / "cut.mp4"), np.arange(end - first) / rate, atol=2e-3)
        assert picture_span(tmp_path / "cut.mp4")[1] == pytest.approx((end - first) / rate, abs=2e-3)


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".avi", "mpeg4"), (".webm", "libvpx-vp9"), (".mov", "libx264"), (".ts", "libx264")]
)
def test_cuts_out_of_other_containers_have_the_right_pictures(
    tmp_path: Path, ramp_video: RampVideo, suffix: str, codec: str
) -> None:
    video.write(tmp_path / f"s{suffix}", ramp(75), fps=25, codec=codec)
    write_span(tmp_path / f"s{suffix}", tmp_path / "cut.mp4", 1.2, 2.4)
    assert numbers(tmp_path / "cut.mp4") == list(range(30, 60))


@pytest.mark.parametrize("fps", [25, 30000 / 1001, 60])
def test_the_first_and_last_picture_of_a_grey_ramp_have_their_levels(tmp_path: Path, ramp_video: RampVideo, fps: float) -> None:
    write_span(ramp_video(80, fps=fps), tmp_path / "cut.mp4", 20 / fps, 70 / fps)
    levels = [float(frame.mean()) for block in video.read(tmp_path / "cut.mp4") for frame in block.data]
    assert levels[0] == pytest.approx(60, abs=2.5)
    assert levels[-1] == pytest.approx(207, abs=2.5)


def test_a_variable_rate_keeps_its_times_and_touching_cuts_share_no_picture(tmp_path: Path) -> None:
    stamps = [0, 40, 100, 500, 540, 1200, 1210, 1500, 2000, 2040]
    source = encode(tmp_path / "vfr.mkv", ramp(10), pts_ms=stamps)
    edges = [0.0, 0.1, 0.5, 1.2, 1.6, 2.04]
    shown = []
    for place, (start, end) in enumerate(pairwise(edges)):
        write_span(source, tmp_path / f"{place}.mp4", start, end)
        shown.append(numbers(tmp_path / f"{place}.mp4"))
        assert picture_span(tmp_path / f"{place}.mp4")[1] == pytest.approx(end - start, abs=2e-3)
    assert shown == [[0, 1], [2], [3, 4], [5, 6, 7], [7, 8]], "7 stands on screen as the last span begins, for long"
    np.testing.assert_allclose(times(tmp_path / "3.mp4"), [0, 0.01, 0.3], atol=1e-3)
    np.testing.assert_allclose(times(tmp_path / "4.mp4"), [0, 0.4], atol=1e-3)


def test_a_span_in_which_no_picture_comes_has_the_one_that_stands(tmp_path: Path) -> None:
    source = encode(tmp_path / "slow.mkv", ramp(3), pts_ms=[0, 2000, 4000])
    write_span(source, tmp_path / "cut.mp4", 2.5, 3.5)
    assert numbers(tmp_path / "cut.mp4") == [1]
    assert picture_span(tmp_path / "cut.mp4")[1] == pytest.approx(1.0)
    with pytest.raises(ClipError, match=r"gone\.mkv|no picture between"):
        list(pictures_between(encode(tmp_path / "late.mkv", ramp(2), pts_ms=[3000, 3040]), -2.0, -1.0))


def tones(path: Path, codec: str) -> Path:
    """Four seconds of pictures and sound; the sound of second n has the amplitude (n + 1) / 5."""
    with av.open(str(path), "w") as out:
        pictures: Any = out.add_stream("libx264", rate=25, options={"g": "10", "bf": "0", "sc_threshold": "0"})
        pictures.height, pictures.width, pictures.pix_fmt = 32, 48, "yuv420p"
        sound: Any = out.add_stream(codec, rate=48000, layout="mono")
        for index, picture in enumerate(ramp(80) + ramp(20)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index
            out.mux(pictures.encode(frame))
        out.mux(pictures.encode())
        for place in range(0, 4 * 48000, 960):
            wave = np.sin(2 * np.pi * 440 * np.arange(place, place + 960) / 48000) * (place // 48000 + 1) / 5
            frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, place, Fraction(1, 48000)
            converted = av.AudioResampler(sound.format.name, "mono", 48000).resample(frame)
            for each in converted:
                out.mux(sound.encode(each))
        out.mux(sound.encode())
    return path


def heard(path: Path) -> tuple[np.ndarray, float]:
    """The sound of a film (N,) and the seconds at which it begins after the pictures."""
    with av.open(str(path)) as film:
        frames = list(film.decode(audio=0))
        samples = np.concatenate([av_frame.to_ndarray().astype(np.float64).mean(axis=0) for av_frame in frames])
        scale = 1 if frames[0].format.is_planar or frames[0].format.name.startswith("flt") else 32768
        return samples / scale, float(frames[0].time or 0)


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "aac"), (".mkv", "pcm_s16le")])
@pytest.mark.parametrize("second", [0, 2])
def test_a_cut_keeps_its_sound(tmp_path: Path, suffix: str, codec: str, second: int) -> None:
    source = tones(tmp_path / f"tones{suffix}", codec)
    write_span(source, tmp_path / "cut.mp4", second, second + 1)
    samples, begin = heard(tmp_path / "cut.mp4")
    assert len(samples) / 48000 == pytest.approx(1.0, abs=0.08)
    assert begin == pytest.approx(0, abs=0.03)
    middle = samples[9600:-9600]
    assert np.sqrt((middle**2).mean()) == pytest.approx((second + 1) / 5 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_copy_begins_at_the_key_frame_before_and_says_by_how_much(tmp_path: Path, suffix: str) -> None:
    source = tones(tmp_path / f"tones{suffix}", "aac")
    start, end = copy_span(source, tmp_path / f"copy{suffix}", 1.3, 2.5)
    assert start == pytest.approx(1.2, abs=1e-3), "every tenth picture is a key frame"
    assert end == pytest.approx(2.52, abs=0.025)
    shown = numbers(tmp_path / f"copy{suffix}")
    assert (shown[0], len(shown)) == (30, round((end - start) * 25))
    samples, _ = heard(tmp_path / f"copy{suffix}")
    assert len(samples) / 48000 == pytest.approx(end - start, abs=0.08)


def test_a_copy_with_reordered_pictures_holds_all_of_its_span(tmp_path: Path) -> None:
    source = film(tmp_path / "s.mp4", Fraction(25), {"bf": "3", "g": "20"})
    start, end = copy_span(source, tmp_path / "copy.mp4", 1.0, 2.0)
    shown = numbers(tmp_path / "copy.mp4")
    assert start <= 1.0
    assert set(range(25, 50)) <= set(shown)
    assert shown == sorted(shown)
    assert end == pytest.approx(max(shown) / 25 + 0.04, abs=0.021)
