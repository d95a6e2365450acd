"""Answers drawn into video: original timing, readable at any size, nothing piled up in memory."""

import av
import numpy as np
import pytest
from PIL import Image

from gerund import video
from gerund.core.errors import UsageError, VideoError
from gerund.core.types import Clip
from gerund.video import annotate as rendering
from support.clocks import grey, standing, with_sound
from support.videos import anamorphic

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


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_the_last_picture_stands_as_long_as_before(tmp_path, suffix):
    rendering.annotate(Clip(path=standing(tmp_path / "in.gif")), SCORES, tmp_path / f"out{suffix}")
    with av.open(str(tmp_path / f"out{suffix}")) as film:
        frames = list(film.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx(np.arange(31) / 10, abs=0.001)
    assert float(frames[-1].duration * frames[-1].time_base) == pytest.approx(5.0, abs=0.001)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_the_last_picture_of_an_animation_stands_as_long_as_before(tmp_path, suffix):
    rendering.annotate(Clip(path=standing(tmp_path / "in.gif")), SCORES, tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as film:
        durations = []
        for number in range(film.n_frames):
            film.seek(number)
            film.load()
            durations.append(film.info["duration"])
    assert durations[-1] == pytest.approx(5000, abs=10)
    assert sum(durations) == pytest.approx(8000, abs=10)


def test_a_clip_in_which_a_picture_stands_is_that_picture(tmp_path):
    rendering.annotate(Clip(path=standing(tmp_path / "in.gif"), start=4.0, end=6.5), SCORES, tmp_path / "out.mp4")
    ends = []
    ((time, frame),) = video.wanted_frames(tmp_path / "out.mp4", ended=ends.append)
    assert (time, ends) == (0, [pytest.approx(2.5)])
    assert frame.to_ndarray(format="rgb24")[10, 10].mean() == pytest.approx(250, abs=4)


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


def with_sound_of(path, codec, rate, layout):
    """One second of pictures at 10 fps, and a tone of 440 Hz."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(codec, rate=rate, layout=layout, options={"strict": "-2"})
        for _ in range(10):
            container.mux(pictures.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(pictures.encode())
        wave = (8000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.int16)
        channels = av.AudioLayout(layout).nb_channels
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, channels)[None], format="s16", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        for packet in [*sound.encode(frame), *sound.encode()]:
            container.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout", "suffix", "heard", "heard_rate"),
    [
        ("a.mkv", "pcm_s16le", 192000, "mono", ".mp4", "aac", 48000),
        ("a.mkv", "pcm_s16le", 176400, "stereo", ".mp4", "aac", 44100),
        ("a.mkv", "pcm_s16le", 5000, "mono", ".mp4", "aac", 48000),
        ("a.mkv", "pcm_s16le", 48000, "7.1", ".mp4", "aac", 48000),
        ("a.mkv", "flac", 96000, "5.1", ".mp4", "aac", 48000),
        ("a.mkv", "ac3", 32000, "stereo", ".mov", "aac", 32000),
        ("a.mkv", "libopus", 48000, "stereo", ".mov", "aac", 48000),
        ("a.mkv", "vorbis", 44100, "stereo", ".mp4", "aac", 44100),
        ("a.mkv", "libmp3lame", 8000, "mono", ".mp4", "aac", 8000),
        ("a.avi", "adpcm_ms", 22050, "mono", ".mkv", "aac", 22050),
        ("a.mkv", "libopus", 48000, "stereo", ".mkv", "opus", 48000),
        ("a.mp4", "aac", 44100, "5.1", ".mp4", "aac", 44100),
    ],
)
def test_sound_is_copied_or_becomes_what_the_format_holds(tmp_path, name, codec, rate, layout, suffix, heard, heard_rate):
    source, out = with_sound_of(tmp_path / name, codec, rate, layout), tmp_path / f"out{suffix}"
    rendering.annotate(Clip(path=source), SCORES, out)
    with av.open(str(out)) as container:
        sound = container.streams.audio[0]
        assert (sound.codec_context.codec.canonical_name, sound.rate) == (heard, heard_rate)
        wave = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    loudest = np.abs(np.fft.rfft(wave[: heard_rate // 2])).argmax() * 2
    assert loudest == pytest.approx(440, abs=5)
    assert len(wave) == pytest.approx(heard_rate, rel=0.2)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, out.name])


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_the_index_stands_in_front_of_the_pictures(source, tmp_path, suffix):
    rendering.annotate(Clip(path=source), SCORES, tmp_path / f"out{suffix}")
    data = (tmp_path / f"out{suffix}").read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


@pytest.mark.parametrize(
    ("size", "drawn"),
    [
        ((1, 1), (320, 320)),
        ((1200, 8), (3600, 320)),
        ((3, 5), (192, 320)),
        ((64, 16384), (16, 4096)),
        ((1, 5000), (2, 4096)),
        ((6000, 2), (4096, 320)),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".webp"])
def test_a_picture_of_any_shape_is_drawn_in_a_size_that_players_show(tmp_path, size, drawn, suffix):
    height, width = size
    picture = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    (tmp_path / "in").mkdir()
    for number in range(2):
        Image.fromarray(picture).save(tmp_path / "in" / f"{number}.png")
    rendering.annotate(Clip(path=tmp_path / "in"), SCORES, tmp_path / f"out{suffix}")
    shown = video.frame_at(tmp_path / f"out{suffix}", 0.0).shape[:2]
    if suffix == ".webp":
        drawn = rendering.shown_size(size, animation=True)
        drawn = drawn[0], max(drawn[1], 320)
    assert shown == (drawn[0] + len(rendering.answer_panel(drawn[1], SCORES)), drawn[1])


def test_a_file_that_fails_leaves_the_one_that_was_there(source, tmp_path, monkeypatch):
    out = tmp_path / "out.mp4"
    out.write_bytes(b"mine")
    monkeypatch.setattr(rendering, "answer_panel", lambda *_: np.zeros((20, 10, 3), np.uint8))
    with pytest.raises(VideoError, match=r"out\.mp4: cannot be written as video \(all the input array dimensions"):
        rendering.annotate(Clip(path=source), SCORES, out)
    assert out.read_bytes() == b"mine"
    with pytest.raises(VideoError, match=r"x\.mp4: cannot be written as video \(File name too long\)"):
        video.write(tmp_path / ("x" * 252 + ".mp4"), [np.zeros((8, 8, 3), np.uint8)], fps=5)
    rendering_name = tmp_path / ("x" * 251 + ".mp4")
    video.write(rendering_name, [np.zeros((8, 8, 3), np.uint8)], fps=5)
    assert {path.name for path in tmp_path.iterdir()} == {"out.mp4", source.name, rendering_name.name}


def test_a_long_label_gets_the_room_that_there_is():
    """The bar of a long label is shorter, so that more of the label is shown; a short one leaves it long."""

    def first_of_bar(label):
        panel = rendering.answer_panel(640, [(label, 1.0)])
        accent = [int(rendering.ACCENT[place : place + 2], 16) for place in (1, 3, 5)]
        return int(np.flatnonzero((panel == accent).all(axis=-1).any(axis=0))[0])

    assert first_of_bar("jump") == pytest.approx(0.55 * 640, abs=3)
    assert first_of_bar("throwing the ball over") > 0.65 * 640
    assert first_of_bar("x" * 200) < 640 - first_of_bar("jump") / 4
