"""Answers drawn into video: original timing, readable at any size, nothing piled up in memory."""

import av
import numpy as np
import pytest
from PIL import Image

from clocks import grey, with_sound
from gerund import rendering, video
from gerund.errors import UsageError, VideoError
from gerund.types import Clip
from test_video import anamorphic

SCORES = [("kicking", 0.75), ("jumping", 0.2), ("waving", 0.05)]


@pytest.fixture
def source(ramp_video):
    return ramp_video(30, fps=10)


def test_an_mp4_keeps_every_frame_and_its_time(source, tmp_path):
    rendering.annotate(Clip(path=source), SCORES, tmp_path / "out.mp4")
    before = [time for time, _ in video.decode(source)]
    after = list(video.decode(tmp_path / "out.mp4"))
    assert [time for time, _ in after] == pytest.approx(before, abs=1e-4)
    assert after[0][1].width >= rendering.LEAST_WIDTH


def test_uneven_times_survive(ramp_video, tmp_path):
    with video.Writer(tmp_path / "uneven.mp4") as writer:
        for seconds in (0.0, 0.1, 0.5, 0.55, 2.0):
            writer.add(np.full((32, 48, 3), round(100 * seconds), np.uint8), seconds)
    rendering.annotate(Clip(path=tmp_path / "uneven.mp4"), SCORES, tmp_path / "out.mp4")
    assert [time for time, _ in video.decode(tmp_path / "out.mp4")] == pytest.approx([0.0, 0.1, 0.5, 0.55, 2.0], abs=1e-4)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("late", [0.0, 0.7])
def test_pictures_and_sound_keep_their_places_beside_each_other(tmp_path, suffix, late):
    pictures = [grey(9 * index) for index in range(20)]
    source = with_sound(tmp_path / "in.mp4", pictures, late=late, seconds=3, sound_late=0.7 - late)
    rendering.annotate(Clip(path=source), SCORES, tmp_path / f"out{suffix}")
    places = []
    for path in (source, tmp_path / f"out{suffix}"):
        with av.open(str(path)) as container:
            heard = next(frame.time for frame in container.decode(audio=0) if np.abs(frame.to_ndarray()).max() > 0.01)
            container.seek(0)
            places.append([frame.time - heard for frame in container.decode(video=0)])
    assert len(places[1]) == 20
    priming = 0.023 if suffix == ".mkv" else 0.001  # sound that nobody hears, where the format does not mark it
    assert places[1] == pytest.approx(places[0], abs=priming)
    times = [time for time, _ in video.decode(tmp_path / f"out{suffix}")]
    assert times == pytest.approx(late + np.arange(20) / 10, abs=priming)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animations_run_for_ever_at_the_right_pace(source, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    rendering.annotate(Clip(path=source), SCORES, out)
    with Image.open(out) as animation:
        assert animation.info["loop"] == 0
        durations = []
        for number in range(animation.n_frames):  # frames that look alike may have become one
            animation.seek(number)
            animation.load()
            durations.append(animation.info["duration"])
    assert sum(durations) == pytest.approx(3000, abs=100)
    assert len(durations) > 5


def test_only_the_clips_own_span_is_drawn(source, tmp_path):
    rendering.annotate(Clip(path=source, start=1.0, end=2.0), SCORES, tmp_path / "out.mp4")
    times = [time for time, _ in video.decode(tmp_path / "out.mp4")]
    assert len(times) == 10
    assert times[0] == 0


def test_the_video_itself_is_not_covered(source, tmp_path):
    rendering.annotate(Clip(path=source), SCORES, tmp_path / "out.mp4")
    picture = video.frame_at(tmp_path / "out.mp4", 2.0)
    original = video.frame_at(source, 2.0)
    factor = picture.shape[1] // original.shape[1]
    shown = picture[: original.shape[0] * factor]
    assert np.abs(shown.astype(int) - int(original.mean())).max() < 12


@pytest.mark.parametrize(("suffix", "width"), [(".mp4", 48), (".gif", 48), (".mp4", 200)])
def test_an_anamorphic_video_is_drawn_as_a_player_shows_it(tmp_path, suffix, width):
    picture = np.zeros((60, width, 3), np.uint8)
    source = anamorphic(tmp_path / "dvd.mp4", [picture] * 3, "2")
    rendering.annotate(Clip(path=source), SCORES, tmp_path / f"out{suffix}")
    factor = 4 if width == 48 else 1  # 96 and 400 pixels wide on screen; the first is enlarged to be at least 320
    (height, shown), panel = (
        video.frame_at(tmp_path / f"out{suffix}", 0.0).shape[:2],
        rendering.answer_panel(2 * width * factor, SCORES),
    )
    assert (height, shown) == (60 * factor + len(panel), 2 * width * factor)


def test_the_panel_shows_longer_bars_for_higher_scores():
    def lit(score):
        strip = rendering.answer_panel(640, [("x", score)])
        return (np.abs(strip.astype(int) - np.array([0x38, 0xBD, 0xF8])).sum(-1) < 30).sum()

    assert lit(0.1) < lit(0.5) < lit(0.9)


@pytest.mark.parametrize("label", ["a very long label that cannot possibly fit " * 3, "Κολύμπι στο ποτάμι", "плавание", "été"])
@pytest.mark.parametrize("width", [320, 1920])
def test_any_label_fits(label, width):
    strip = rendering.answer_panel(width, [(label, 0.9), (label, 0.1)])
    assert strip.shape[1] == width
    assert strip.shape[0] % 2 == 0
    assert strip.max() > 200


def test_an_unknown_format_and_a_bad_place_are_named(source, tmp_path):
    with pytest.raises(UsageError, match=r"unknown format '.txt' for a video; choose one of \.mp4"):
        rendering.annotate(Clip(path=source), SCORES, tmp_path / "out.txt")
    with pytest.raises(VideoError, match="cannot be written as video"):
        rendering.annotate(Clip(path=source), SCORES, tmp_path / "missing" / "out.mp4")
