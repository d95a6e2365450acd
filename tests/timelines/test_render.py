"""A video with its timeline drawn in: times and sound kept, one picture at a time, readable at any size."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gerund import video
from gerund.core import progress
from gerund.core.errors import UsageError
from gerund.core.types import Segment, Timeline
from gerund.video import annotate
from gerund.video.annotate import annotate_timeline, moment_panel, strip
from gerund.video.draw import ink_on, label_colours
from support.command import one_line, run

av = pytest.importorskip("av")
LABELS = ["kicking", "waving", "очень длинное название действия, которое не помещается"]


def timeline_of(path, seconds=6.0):
    scores = np.repeat(np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], np.float32), int(seconds * 2), axis=0)
    segments = (
        Segment(start=0, end=seconds / 2, label=LABELS[0], score=0.7),
        Segment(start=seconds / 2, end=seconds, label=LABELS[2], score=0.6),
    )
    pts = np.arange(len(scores)) / 4
    return Timeline(path=path, labels=LABELS, pts=pts, scores=scores, segments=segments, duration=seconds)


def with_sound(source: Path, path: Path, codec: str, seconds: float) -> Path:
    """The video with one click per second on its sound track."""
    with av.open(str(source)) as given, av.open(str(path), "w") as out:
        pictures = out.add_stream_from_template(given.streams.video[0])
        sound = out.add_stream(codec, rate=16000, layout="mono")
        for packet in given.demux(given.streams.video[0]):
            if packet.size:
                packet.stream = pictures
                out.mux(packet)
        times = np.arange(int(seconds * 16000)) / 16000
        wave = (0.5 * np.sin(2 * np.pi * 440 * times) * (times % 1 < 0.1)).astype(np.float32)
        for first in range(0, len(wave) - 1024, 1024):
            frame = av.AudioFrame.from_ndarray(wave[None, first : first + 1024], format="fltp", layout="mono")
            frame.rate, frame.pts, frame.time_base = 16000, first, Fraction(1, 16000)
            for packet in sound.encode(frame):
                out.mux(packet)
        for packet in sound.encode():
            out.mux(packet)
    return path


def loudness(path):
    """Root mean square of each tenth of a second of a video's sound."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=16000)
        frames = [each for frame in container.decode(audio=0) for each in resampler.resample(frame)]
    wave = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return np.sqrt(np.square(wave[: len(wave) // 1600 * 1600].reshape(-1, 1600)).mean(axis=1))


@pytest.mark.parametrize(("codec", "suffix", "kept"), [("aac", ".mp4", "aac"), ("pcm_s16le", ".mkv", "aac")])
def test_sound_is_copied_or_made_aac_and_stays_in_time(ramp_video, tmp_path, codec, suffix, kept):
    source = with_sound(ramp_video(60, fps=10), tmp_path / f"sound{suffix}", codec, 6.0)
    annotate_timeline(timeline_of(source), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264", kept]
    before, after = loudness(source), loudness(tmp_path / "out.mp4")
    loud = [set(np.flatnonzero(each > 0.1) // 10 * 10) for each in (before, after)]
    assert loud[0] == loud[1] == {0, 10, 20, 30, 40, 50}
    assert [time for time, _ in video.decode(tmp_path / "out.mp4")] == pytest.approx(
        [time for time, _ in video.decode(source)], abs=1e-4
    )


def test_pictures_and_sound_lie_side_by_side(ramp_video, tmp_path):
    source = with_sound(ramp_video(60, fps=10), tmp_path / "sound.mp4", "aac", 6.0)
    annotate_timeline(timeline_of(source), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        reached = {"video": 0.0, "audio": 0.0}
        for packet in container.demux():
            if packet.size:
                reached[packet.stream.type] = float(packet.pts * packet.time_base)
                if all(reached.values()):
                    assert abs(reached["video"] - reached["audio"]) < 4.5  # what x264 holds back for its B-frames


def test_uneven_times_survive(tmp_path):
    times = (0.0, 0.1, 0.5, 0.55, 2.0, 5.0)
    with video.Writer(tmp_path / "uneven.mp4") as writer:
        for seconds in times:
            writer.add(np.full((32, 48, 3), round(40 * seconds), np.uint8), seconds)
    annotate_timeline(timeline_of(tmp_path / "uneven.mp4"), tmp_path / "out.mp4")
    assert [time for time, _ in video.decode(tmp_path / "out.mp4")] == pytest.approx(times, abs=1e-4)


def test_only_a_few_pictures_are_alive_at_once(ramp_video, tmp_path, monkeypatch):
    alive, most = 0, 0
    original = video.Writer.add

    def counted(self, picture, seconds):
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        original(self, picture, seconds)
        alive -= 1

    monkeypatch.setattr(video.Writer, "add", counted)
    annotate_timeline(timeline_of(ramp_video(60, fps=10)), tmp_path / "out.mp4")
    assert most == 1


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animations_are_small_and_keep_their_pace(tmp_path, suffix):
    source = tmp_path / "wide.mp4"
    video.write(source, (np.full((360, 640, 3), 4 * number, np.uint8) for number in range(50)), fps=25)
    out = tmp_path / f"out{suffix}"
    annotate_timeline(timeline_of(source, seconds=2.0), out)
    with Image.open(out) as animation:
        assert animation.width == annotate.ANIMATION_WIDTH
        assert animation.n_frames <= 26
        total = 0
        for number in range(animation.n_frames):
            animation.seek(number)
            animation.load()
            total += animation.info["duration"]
    assert total == pytest.approx(2000, abs=120)


def test_a_long_animation_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"out.gif: 7200 s are too long for .gif \(at most 300 s\); write an .mp4"):
        annotate_timeline(timeline_of(tmp_path / "x.mp4", seconds=7200.0), tmp_path / "out.gif")


def test_a_change_of_size_in_mid_video_is_scaled(tmp_path, ramp_video, monkeypatch):
    pictures = [
        *video.decode(ramp_video(5, fps=10, size=(32, 48))),
        *video.decode(ramp_video(5, name="b", fps=10, size=(64, 64))),
    ]
    monkeypatch.setattr(
        annotate, "wanted_frames", lambda path, **_: ((number / 10, each) for number, (_, each) in enumerate(pictures))
    )
    annotate_timeline(timeline_of(tmp_path / "ramp.mp4"), tmp_path / "out.mp4")
    assert sum(1 for _ in video.decode(tmp_path / "out.mp4")) == 10


def colour_at(picture, x, y):
    return "#{:02x}{:02x}{:02x}".format(*picture[y, x])


@pytest.mark.parametrize("width", [320, 1920])
def test_the_strip_moves_along_with_a_mark_at_the_moment(width):
    colours = label_colours(LABELS)
    short = timeline_of(Path("x.mp4"), seconds=6.0)
    for seconds in (1.0, 5.0):
        row = strip(width, short, seconds, colours)[1]
        white = np.flatnonzero((row == 255).all(axis=1)).mean()
        pad = max(6, width // 40)
        assert white == pytest.approx(pad + (width - 2 * pad) * seconds / 6.0, abs=2)
    assert colour_at(strip(width, short, 1.0, colours), width // 40 + 6, 1) == colours["kicking"]
    long = timeline_of(Path("x.mp4"), seconds=100.0)
    row = strip(width, long, 80.0, colours)[1]
    assert np.flatnonzero((row == 255).all(axis=1)).mean() == pytest.approx(width / 2, abs=2)
    assert colour_at(strip(width, long, 80.0, colours), width // 8, 1) == colours[LABELS[2]]


def test_the_bar_has_the_colour_of_its_label_only_while_a_segment_is_on():
    colours = label_colours(LABELS)
    found = timeline_of(Path("x.mp4"))

    def pixels(timeline, colour):
        channels = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
        return int((moment_panel(640, timeline, 2, colours) == channels).all(axis=-1).sum())

    assert pixels(found, colours["kicking"]) > 200
    without = Timeline(path=found.path, labels=LABELS, pts=found.pts, scores=found.scores, duration=6.0)
    assert pixels(without, colours["kicking"]) == 0


def test_labels_keep_their_colour_and_neighbours_differ():
    names = [f"label {number}" for number in range(30)]
    colours = label_colours(names)
    assert len(set(colours.values())) == 30
    assert label_colours(names[:10]) == {name: colours[name] for name in names[:10]}
    assert {ink_on("#ffffff"), ink_on("#000000")} == {"#1b2430", "#ffffff"}


def test_progress_within_one_long_video_tells_the_time_left(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.progress("Extracting features", 1, "videos", seconds=100.0) as bar:
        now = 20.0
        bar.advance(0, seconds=25.0)
    assert "0/1 videos" in capsys.readouterr().err.splitlines()[0]
    with progress.progress("Extracting features", 1, "videos", seconds=100.0) as bar:
        now = 40.0
        bar.advance(0, seconds=25.0)
    assert "60 s left" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("film.mp4", "out.txt"), 2, "out.txt: a file ending in .mp4 or .mov or .mkv or .gif or .webp, or a folder, is needed"),
        (("film.mp4", "film.mp4"), 2, "film.mp4: is the video itself"),
        (("film.mp4", "text.mp4/out.mp4"), 1, "out.mp4: the folder cannot be made"),
        (("clips/dark", "out.mp4"), 2, "out.mp4: one file for 6 videos; give a folder"),
        (("clips/dark", "clips/dark/"), 2, "clips/dark/0.mp4: is the video itself; choose another name or folder"),
        (("film.mp4", "out.mp4", "--hop", "100"), 2, "--hop 100: longer than the window"),
        (("text.mp4", "out.mp4"), 1, "text.mp4: not readable as video"),
        (("none.mp4", "out.mp4"), 1, "none.mp4: no such file"),
    ],
)
def test_a_mistake_is_one_line(model_folder, words, code, message):
    places = [model_folder / word if "." in word or "/" in word else word for word in words]
    found, _, err = run("render", model_folder / "run", *places, "--quiet")
    assert found == code, err
    assert message in one_line(err)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A model of two kinds of grey clips, a film, and a text that calls itself a film."""
    folder = tmp_path_factory.mktemp("overlays")
    for label, low in (("dark", 0), ("bright", 200)):
        for number in range(6):
            path = folder / "clips" / label / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            video.write(path, (np.full((32, 32, 3), low + number, np.uint8) for _ in range(10)), fps=10)
    words = ("--backbone", "pixels:8", "--num-frames", 4, "--head.kind", "mean")
    code, _, err = run("train", folder / "clips", *words, "--out", folder / "run", "--quiet")
    assert code == 0, err
    video.write(folder / "film.mp4", (np.full((32, 48, 3), 200 * (number > 40), np.uint8) for number in range(80)), fps=10)
    (folder / "text.mp4").write_text("no video")
    return folder


def test_the_command_draws_what_it_found(model_folder, tmp_path):
    code, out, err = run("render", model_folder / "run", model_folder / "film.mp4", tmp_path / "out é.mp4")
    assert code == 0, err
    assert "film.mp4  (8.0 s, 1 segments)" in out
    assert sum(1 for _ in video.decode(tmp_path / "out é.mp4")) == 80


def test_a_folder_of_videos_becomes_a_folder_of_films(model_folder, tmp_path):
    (tmp_path / "in" / "more").mkdir(parents=True)
    for name in ("a.mp4", "more/a.mp4", "b.mp4"):
        (tmp_path / "in" / name).symlink_to(model_folder / ("text.mp4" if name == "b.mp4" else "film.mp4"))
    code, out, err = run("render", model_folder / "run", tmp_path / "in", tmp_path / "films")
    assert code == 3, err
    assert sorted(path.name for path in (tmp_path / "films").iterdir()) == ["a-2.mp4", "a.mp4"]
    assert out.count("Written: ") == 2
    assert "not drawn: " in out
    assert "b.mp4: not readable as video" in out
