"""Timelines: windows, probabilities per step, segments; the command and the files it writes."""

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gerund import video
from gerund.backbones import load_backbone
from gerund.core import files
from gerund.core.errors import ClipError, DataError, UsageError
from gerund.core.places import files_for
from gerund.core.types import Clip, Features, Segment, Timeline
from gerund.data.datasets import activitynet, boris, elan, toy
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.features.tokens import Sampling
from gerund.heads.durations import Durations
from gerund.recognition.recognizer import Recognizer
from gerund.timelines import formats as timeline_files
from gerund.timelines import timeline as timelines
from gerund.timelines.evaluate import segments_of as true_segments_of
from gerund.timelines.observations import read_observations
from gerund.timelines.segments import segments_of_states, without_short_runs
from gerund.timelines.timeline import TimelineSettings, step_labels, step_scores, timeline_of, windows_for, windows_of
from support.clocks import standing
from support.command import one_line, run
from support.heads import drawn_head

STEP = 0.25
LABELS = ["a", "b", "c"]


def recognizer(labels=("a", "b"), clip_seconds=2.0, fps=4.0):
    backbone = load_backbone("pixels:8")
    sampling = Sampling(num_frames=4)
    dim = sampling.token_dim(backbone.feature_dim)
    head = drawn_head(dim, len(labels), 4)
    return Recognizer(
        labels=labels,
        extractor=Extractor(backbone, fps=fps, cache=FeatureCache()),
        sampling=sampling,
        head=head,
        head_name="prototype",
        head_options={},
        clip_seconds=clip_seconds,
    )


def features(rows=80, step=STEP, seed=0):
    data = np.random.default_rng(seed).normal(size=(rows, 64)).astype(np.float16)
    return Features(data, np.arange(rows) * step)


def scores_of(text, sure=0.9):
    """'aab.' as probabilities over the labels a, b and c; a dot is no more sure of one than of another."""
    return np.array(
        [[0.9 if letter == label else (1 - sure) / 2 if letter != "." else 0.1 for label in LABELS] for letter in text]
    )


def segments_of(text, **settings):
    """Segments that a model whose clips last 6 s finds in a video of one step a second with these probabilities."""
    model, scores, edges = recognizer(LABELS, clip_seconds=6.0, fps=1.0), scores_of(text), np.arange(len(text) + 1.0)
    still = Features(np.ones((len(text), 64), np.float16), edges[:-1], edges[-1])
    states = step_labels(model, still, scores, edges, TimelineSettings(window=3.0, **settings))
    return [(each.label, each.start, each.end) for each in segments_of_states(states, scores, edges, LABELS)]


def test_what_comes_after_what_decides_where_the_steps_leave_it_open():
    scores, edges = np.repeat([[0.9, 0.05, 0.05], [0.05, 0.48, 0.47]], 6, axis=0), np.arange(13.0)
    still = Features(np.ones((12, 64), np.float16), edges[:-1], 12.0)
    plain = Durations((np.log(6.0),) * 3, (0.3,) * 3)
    found = []
    for durations in (plain, plain.following([[0, 2]] * 20)):
        model = replace(recognizer(LABELS, clip_seconds=6.0, fps=1.0), durations=durations)
        found.append(step_labels(model, still, scores, edges, TimelineSettings(window=3.0)).tolist())
    assert found == [[0] * 6 + [1] * 6, [0] * 6 + [2] * 6]


def test_a_timeline_begins_with_the_pictures():
    plain, model = features(60), recognizer()
    late = Features(plain.data, plain.pts + 2.5)
    first, moved = (timeline_of(model, Path("x.mp4"), each, TimelineSettings(window=2.0)) for each in (plain, late))
    np.testing.assert_array_equal(moved.scores, first.scores)
    assert moved.duration == first.duration + 2.5
    assert [(each.start - 2.5, each.end - 2.5, each.label) for each in moved.segments] == [
        (each.start, each.end, each.label) for each in first.segments
    ]
    assert moved.segments[0].start == 2.5


def test_a_still_at_the_end_is_seen_for_as_long_as_it_stands(tmp_path):
    clip = standing(tmp_path / "still.gif")
    model = recognizer(fps=8.0)
    found = model.extractor.extract([clip]).features[clip]
    assert (found.end, len(found)) == (8.0, 25 + 40 - 1)
    timeline = timeline_of(model, clip, found, TimelineSettings(window=1.0))
    assert (timeline.duration, timeline.segments[-1].end) == (8.0, 8.0)
    still = timeline.pts >= 4.0
    assert still.sum() == 32  # no window there sees anything else
    np.testing.assert_allclose(timeline.scores[still], np.broadcast_to(timeline.scores[-1], (32, 2)), rtol=1e-5)
    assert not np.array_equal(timeline.scores[-1], timeline.scores[10])
    (alone,) = model.predict_clips([Clip(path=clip, start=4, end=8)])
    assert [score for _, score in sorted(alone.scores)] == pytest.approx(timeline.scores[-1].tolist(), rel=1e-4)


def test_runs_of_one_label_become_segments():
    assert segments_of(5 * "a" + 6 * "b" + 8 * "." + 7 * "c") == [("a", 0, 5), ("b", 5, 11), ("c", 19, 26)]


def test_time_in_which_no_label_is_likely_enough_is_a_gap():
    assert segments_of("aaaaaa........", threshold=0) == [("a", 0, 14)]
    assert segments_of("aaaaaa........", threshold=0.05) == [("a", 0, 14)]
    assert segments_of("aaaaaa........", threshold=0.3) == [("a", 0, 6)]


def test_background_is_a_gap(monkeypatch):
    monkeypatch.setattr(timelines, "BACKGROUND", "b")
    assert segments_of(6 * "a" + 6 * "b" + 6 * "a") == [("a", 0, 6), ("a", 12, 18)]


def test_what_is_much_shorter_than_the_labels_last_is_no_segment():
    assert segments_of("aaaabaaaa") == [("a", 0, 9)]
    assert segments_of("aaaa.aaaa") == [("a", 0, 9)]
    assert segments_of("aaaaabbaaaaa", min_duration=3) == [("a", 0, 12)]


def test_a_label_lasts_as_long_as_its_own_segments_did():
    text = 4 * "a" + 3 * "b" + 4 * "a"
    scores, edges = (
        0.05 + np.array([[0.7 if letter == label else 0.15 * (label != "c") for label in LABELS] for letter in text]),
        np.arange(12.0),
    )
    still = Features(np.ones((11, 64), np.float16), edges[:-1], 11.0)

    def found(seconds_of_b):
        durations = Durations((np.log(6.0), np.log(seconds_of_b), np.log(6.0)), (0.6, 0.3, 0.6))
        model = replace(recognizer(LABELS, clip_seconds=5.0, fps=1.0), durations=durations)
        return step_labels(model, still, scores, edges, TimelineSettings(window=3.0)).tolist()

    assert found(3.0) == [0] * 4 + [1] * 3 + [0] * 4
    assert found(60.0) == [0] * 11


def test_the_steps_of_a_short_run_go_where_they_are_likelier():
    scores = np.array([[0.9, 0.05, 0.05]] * 3 + [[0.4, 0.1, 0.5], [0.1, 0.4, 0.5]] + [[0.05, 0.9, 0.05]] * 3)
    states = without_short_runs(scores.argmax(1), scores, np.arange(9.0), 3.0, 0.2)
    assert states.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_step_scores_are_the_weighted_mean_over_all_windows_that_cover_a_step(monkeypatch):
    model, rows = recognizer(), features(61)
    settings = TimelineSettings(window=2.0, hop=0.7)
    monkeypatch.setattr(timelines, "WINDOWS_AT_ONCE", 5)
    found = step_scores(model, "x.mp4", rows, settings)
    clips = windows_of("x.mp4", rows, 2.0, 0.7)
    whole = model.window_scores(rows, clips)
    for index, time in enumerate(rows.pts):
        shares = [
            (max(0.02, 1 - abs(time - clip.start - 1.0)), scores)
            for clip, scores in zip(clips, whole, strict=True)
            if clip.start - 1e-3 <= time < (clip.end or 1e9) - 1e-3
        ]
        expected = sum(weight * scores for weight, scores in shares) / sum(weight for weight, _ in shares)
        assert found[index] == pytest.approx(expected, abs=1e-5)


def test_every_step_is_covered_and_scores_add_up_to_one():
    for window, hop in ((2.0, 2.0), (0.25, 0.25), (3.3, 0.1), (100.0, None)):
        found = step_scores(recognizer(), "x.mp4", features(), TimelineSettings(window=window, hop=hop))
        assert found.sum(axis=1) == pytest.approx(np.ones(80), abs=1e-4)


def test_a_hole_in_the_video_is_bridged_by_the_nearest_row():
    pts = np.concatenate([np.arange(20) * STEP, 30 + np.arange(20) * STEP])
    rows = Features(features(40).data, pts)
    assert np.isfinite(step_scores(recognizer(), "x.mp4", rows, TimelineSettings(window=1.0))).all()


def test_rows_are_read_a_portion_at_a_time(monkeypatch):
    most = 0

    class Watched:
        shape = (2000, 64)

        def __getitem__(self, rows):
            nonlocal most
            most = max(most, rows.stop - rows.start)
            return np.zeros((min(rows.stop, 2000) - rows.start, 64), np.float16)

    monkeypatch.setattr(timelines, "WINDOWS_AT_ONCE", 16)
    step_scores(recognizer(), "x.mp4", Features(Watched(), np.arange(2000) * STEP), TimelineSettings(window=2.0))
    assert 8 <= most < 40


def test_a_lone_frame_makes_a_segment_that_lasts():
    found = timeline_of(recognizer(), "x.mp4", features(1), TimelineSettings(window=2.0, threshold=0.0))
    assert [(each.start, each.end) for each in found.segments] == [(0.0, STEP)]
    assert found.duration == STEP


def test_a_video_without_rows_is_refused():
    with pytest.raises(ClipError, match="no frame was decoded"):
        timeline_of(recognizer(), "x.mp4", features(0), TimelineSettings(window=2.0))


def test_auto_window_is_half_the_length_of_the_training_clips(capsys):
    assert windows_for(recognizer(clip_seconds=9.0)).window == 4.5
    assert windows_for(recognizer(clip_seconds=3.0)).window == 2.0, "eight steps at 4 per second"
    assert windows_for(recognizer(clip_seconds=2.0)).window == 1.5, "but not more than three quarters of a clip"
    annotated = Durations.around(2.0, 2).following([[0, 1]])
    assert windows_for(replace(recognizer(clip_seconds=2.0), durations=annotated)).window == 1.0
    assert windows_for(recognizer(clip_seconds=0.1)).window == 0.25, "one step at 4 per second"
    assert capsys.readouterr().err == ""
    assert windows_for(recognizer(clip_seconds=None)).window == 0.75  # 4 steps at 4 per second
    assert "windows of 0.75 s" in capsys.readouterr().err


def test_windows_are_an_eighth_of_them_apart_but_a_step_of_the_features_at_least():
    assert TimelineSettings(window=4.0).step(8.0) == 0.5
    assert TimelineSettings(window=0.5).step(8.0) == 0.125
    assert TimelineSettings(window=0.05).step(8.0) == 0.05
    assert TimelineSettings(window=4.0, hop=0.1).step(8.0) == 0.1
    assert TimelineSettings(window=4.0).step(None) == 0.5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"window": 0.1}, "--window 0.1: shorter than one step of the features, 0.25 s"),
        ({"window": 0.0}, "--window 0: a number of seconds above 0"),
        ({"window": float("nan")}, "--window nan"),
        ({"window": 2.0, "hop": 3.0}, "--hop 3: longer than the window, 2 s"),
        ({"window": 2.0, "hop": 0.0}, "--hop 0: a number of seconds above 0"),
        ({"threshold": 1.5}, "--threshold 1.5: a probability from 0 to 1"),
        ({"threshold": -0.1}, "--threshold -0.1"),
        ({"min_duration": -1.0}, "--min-duration -1"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, message):
    with pytest.raises(UsageError, match=message):
        windows_for(recognizer(), **given)


@pytest.fixture
def shown(tmp_path):
    """A short real file and a timeline of it."""
    path = tmp_path / "v_été & co.mp4"
    video.write(path, (np.full((32, 48, 3), level, np.uint8) for level in range(100)), fps=10)
    segments = (
        Segment(start=0.5, end=2.25, label="serve <fast> & low", score=0.75),
        Segment(start=2.25, end=3.0, label="été", score=0.5),
        Segment(start=7.0, end=9.999, label="serve <fast> & low", score=0.9),
    )
    pts = np.arange(40) * STEP
    scores = np.random.default_rng(0).dirichlet([1, 1, 1], 40).astype(np.float32)
    return Timeline(
        path=path, labels=["serve <fast> & low", "été", "c"], pts=pts, scores=scores, segments=segments, duration=10.0
    )


@pytest.mark.parametrize(
    ("name", "suffix", "adapter"),
    [("activitynet", ".json", activitynet), ("elan", ".eaf", elan), ("boris", ".tsv", boris), ("boris", ".csv", boris)],
)
def test_what_is_written_for_a_tool_is_read_back(shown, name, suffix, adapter):
    target = shown.path.parent / f"out{suffix}"
    files.write_text(target, timeline_files.TIMELINE_FORMATS[name].text(shown, target))
    clips = sorted(adapter.load(target), key=lambda clip: clip.start)
    assert [(clip.label, clip.start, clip.end) for clip in clips] == [
        (each.label, pytest.approx(each.start, abs=1e-3), pytest.approx(each.end, abs=1e-3)) for each in shown.segments
    ]
    assert {clip.path.resolve() for clip in clips} == {shown.path.resolve()}


def test_subtitles_carry_times_and_labels(shown):
    srt = timeline_files.srt(shown, shown.path)
    assert srt.startswith("1\n00:00:00,500 --> 00:00:02,250\nserve <fast> & low\n\n2\n")
    vtt = timeline_files.vtt(shown, shown.path)
    assert vtt.startswith("WEBVTT\n\n00:00:00.500 --> 00:00:02.250\nserve &lt;fast&gt; &amp; low\n\n")
    assert timeline_files.clock(7384.0006, ",") == "02:03:04,001"


def test_ffmpeg_reads_the_subtitles(shown, tmp_path):
    av = pytest.importorskip("av")
    for name in ("srt", "vtt"):
        path = tmp_path / f"a.{name}"
        path.write_text(timeline_files.TIMELINE_FORMATS[name].text(shown, path), encoding="utf-8")
        with av.open(str(path)) as container:
            packets = [packet for packet in container.demux() if packet.size]
        assert [float(packet.pts * packet.time_base) for packet in packets] == [0.5, 2.25, 7.0]


@pytest.mark.parametrize(
    "label",
    [
        "00:00:00,000 --> 00:00:09,000",
        "a\n\n2\n00:00:05,000 --> 00:00:06,000\nb",
        "a\u2028\x0b-->",
        "<b>bold</b>",
        "<FONT size=9>",
        "{\\an8}up",
        "12",
    ],
)
@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_no_label_becomes_more_than_the_text_of_its_cue(shown, tmp_path, label, name):
    av = pytest.importorskip("av")
    segments = [Segment(start=1, end=2, label=label, score=1), Segment(start=3, end=4, label="next", score=1)]
    path = tmp_path / f"a.{name}"
    path.write_text(timeline_files.TIMELINE_FORMATS[name].text(replace(shown, segments=segments), path), encoding="utf-8")
    assert path.read_text(encoding="utf-8").count("-->") == 2
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux() if packet.size]
        assert [float(packet.pts * packet.time_base) for packet in packets] == [1.0, 3.0]
        cues = [cue.ass.decode() for packet in packets for cue in packet.decode()]
    assert cues[1].endswith(",next")
    assert "{\\b1}" not in cues[0]
    assert "{\\an8}" not in cues[0]
    assert "{\\fs" not in cues[0]


def test_a_label_that_xml_cannot_hold_is_refused(shown):
    bad = Timeline(path=shown.path, labels=["\x01"], segments=[Segment(start=0, end=1, label="bell \x07", score=1)], duration=1)
    with pytest.raises(DataError, match=r"XML cannot hold the character '\\x07'"):
        timeline_files.elan(bad, shown.path)


def test_several_videos_need_a_folder_and_get_names_of_their_own(tmp_path):
    videos = ["a", "A", "b"]
    with pytest.raises(UsageError, match=r"--srt .*a.srt: one file for 3 videos; give a folder"):
        files_for("--srt", tmp_path / "a.srt", (".srt",), videos)
    with pytest.raises(UsageError, match=r"--srt .*a.txt: a file ending in .srt, or a folder"):
        files_for("--srt", tmp_path / "a.txt", (".srt",), videos[:1])
    found = files_for("--srt", tmp_path / "subs", (".srt",), videos)
    assert [path.name for path in found] == ["a.srt", "A-2.srt", "b.srt"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="the folder cannot be made"):
        files_for("--srt", tmp_path / "file" / "subs", (".srt",), videos)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model that tells two toy actions apart, and a film of both with a known change: walking to 4 s, then waving."""
    folder = tmp_path_factory.mktemp("timelines")
    for performer in range(8):
        for action in ("walking", "waving"):
            path = folder / "clips" / action / f"p{performer}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            video.write(path, toy.perform(action, performer, size=(60, 80), fps=10), fps=10)
    words = ("--backbone", "pixels:16", "--num-frames", 8)
    code, _, err = run("train", folder / "clips", *words, "--out", folder / "run", "--quiet")
    assert code == 0, err
    parts = [toy.perform(action, 9, seconds=4.0, size=(60, 80), fps=10) for action in ("walking", "waving", "walking")]
    video.write(folder / "film é 1.mp4", np.concatenate(parts), fps=10)
    return folder


@pytest.fixture(scope="module")
def learned(trained):
    """The same with a head that is learned over epochs."""
    words = ("--backbone", "pixels:16", "--num-frames", 8, "--head", "transformer", "--epochs", 30)
    small = ("--head.width", 32, "--head.dense-width", 32)
    code, _, err = run("train", trained / "clips", *words, *small, "--out", trained / "learned", "--quiet")
    assert code == 0, err
    return trained / "learned"


def test_training_stores_how_long_its_clips_are(trained):
    found = json.loads((trained / "run" / "best" / "config.json").read_text())["clip_seconds"]
    assert found == Recognizer.load(trained / "run").clip_seconds
    assert 1.6 <= found <= 3.0


@pytest.mark.torch
def test_the_command_finds_the_changes_of_a_film(trained, learned, tmp_path):
    film = trained / "film é 1.mp4"
    targets = ("--srt", tmp_path / "a.srt", "--elan", tmp_path / "elan", "--plot", tmp_path / "p.png")
    code, out, err = run("timeline", learned, film, "--json", *targets)
    assert code == 0, err
    found = json.loads(out)
    assert [each["label"] for each in found["segments"]] == ["walking", "waving", "walking"]
    assert [each["end"] for each in found["segments"]] == pytest.approx([4.0, 8.0, 12.0], abs=0.5)
    assert (tmp_path / "a.srt").read_text().count("-->") == 3
    assert [clip.label for clip in elan.load(tmp_path / "elan")] == ["walking", "waving", "walking"]
    assert (tmp_path / "p.png").stat().st_size > 10_000
    code, out, _ = run("timeline", learned, film)
    assert "waving" in out
    code, out, _ = run("timeline", learned, film, "--csv")
    assert [row["label"] for row in csv.DictReader(io.StringIO(out))] == ["walking", "waving", "walking"]


def test_a_file_that_is_no_video_is_one_line_and_exit_code_3(trained, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    shutil.copy(trained / "film é 1.mp4", tmp_path / "good.mp4")
    code, out, _ = run("timeline", trained / "run", tmp_path, "--json", "--quiet", "--srt", tmp_path)
    assert code == 3
    lines = [json.loads(line) for line in out.splitlines()]
    assert [bool(line["error"]) for line in lines] == [False, True]
    assert "text.mp4: not readable as video" in lines[1]["error"]
    assert (tmp_path / "good.srt").is_file()
    assert not (tmp_path / "text.srt").exists()


def test_a_file_that_cannot_be_written_costs_itself_alone(trained, tmp_path, ramp_video):
    """Names that just fit are written; a folder in the way, or a name one letter too long, leaves the other files and videos."""
    names = ["long" + "x" * 247 + ".mp4", "good.mp4", "taken.mp4"]
    for name in names:
        ramp_video(12, fps=10).rename(tmp_path / name)
    (tmp_path / "out" / "taken.srt").mkdir(parents=True)
    videos = [tmp_path / name for name in names]
    targets = ("--srt", tmp_path / "out", "--activitynet", tmp_path / "out")
    code, out, err = run("timeline", trained / "run", *videos, *targets, "--json", "--quiet")
    assert code == 3
    assert [json.loads(line)["error"] for line in out.splitlines()] == [None, None, None]
    assert err.count("\n") == 2
    assert "taken.srt: cannot be written (Is a directory)" in err
    assert "x.json: cannot be written (File name too long)" in err
    written = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert written == {"long" + "x" * 247 + ".srt", "good.srt", "good.json", "taken.json"}


def test_a_project_of_boris_holds_all_videos_that_could_be_read(trained, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(trained / "film é 1.mp4", tmp_path / name)
    code, out, err = run("timeline", trained / "run", tmp_path, "--json", "--quiet", "--boris", tmp_path / "all.boris")
    assert code == 3, err
    found = [json.loads(line) for line in out.splitlines()]
    assert [bool(each["error"]) for each in found] == [False, False, True]
    project = json.loads((tmp_path / "all.boris").read_text(encoding="utf-8"))
    assert list(project["observations"]) == ["a", "b"]
    read = read_observations(tmp_path / "all.boris")
    assert [len(each.bouts) for each in read] == [len(each["segments"]) for each in found[:2]]


def test_a_file_without_a_picture_says_so(trained, tmp_path):
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 16000
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    code, _, err = run("timeline", trained / "run", tmp_path / "sound.mp4", "--quiet")
    assert code == 3
    assert "no video stream (found: audio)" in one_line(err)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--window", "0.01"), "--window 0.01: shorter than one step"),
        (("--hop", "9"), "--hop 9: longer than the window"),
        (("--threshold", "2"), "--threshold 2: a probability from 0 to 1"),
        (("--srt", "a.txt"), "--srt a.txt: a file ending in .srt"),
        (("--plot", "a.mp4"), "--plot a.mp4: a file ending in .png"),
        (("--window", "long"), "long"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(trained, words, message):
    code, _, err = run("timeline", trained / "run", trained / "film é 1.mp4", *words)
    assert code == 2
    assert message in one_line(err) or message in err


@pytest.fixture
def labelled(trained, tmp_path):
    """The film and its truth as a manifest, and a file that is no video."""
    shutil.copy(trained / "film é 1.mp4", tmp_path / "film.mp4")
    rows = ["path,label,start,end", "film.mp4,walking,0,4", "film.mp4,waving,4,8", "film.mp4,walking,8,12"]
    (tmp_path / "truth.csv").write_text("\n".join(rows))
    return tmp_path / "truth.csv"


@pytest.mark.torch
def test_evaluate_timeline_measures_against_a_manifest(learned, labelled):
    code, out, err = run("evaluate", learned, labelled, "--timeline", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["edit"] == found["f1@10"] == found["f1@50"] == found["map@0.5"] == 1.0
    assert found["frame_accuracy"] > 0.85
    assert found["boundary_error_seconds"] <= 0.5
    assert (found["num_videos"], found["num_segments"], found["failed"]) == (1, 3, {})
    code, out, _ = run("evaluate-timeline", learned, labelled)
    assert code == 0
    assert "frame accuracy" in out
    assert "(3 segments in 1 video)" in out


def test_a_video_that_cannot_be_read_counts_as_missed(trained, labelled):
    (labelled.parent / "text.mp4").write_text("no video")
    labelled.write_text(labelled.read_text() + "\ntext.mp4,walking,0,12\n")
    code, out, _ = run("evaluate-timeline", trained / "run", labelled, "--json", "--quiet")
    assert code == 3
    found = json.loads(out)
    assert found["edit"] == 0.5
    assert found["f1@50"] == pytest.approx(6 / 7)
    assert found["frame_accuracy"] < 0.51
    assert list(found["failed"]) == [str(labelled.parent / "text.mp4")]


def test_a_label_that_the_model_does_not_know_is_named(trained, labelled):
    labelled.write_text("path,label,start,end\nfilm.mp4,juggling,0,4\n")
    code, _, err = run("evaluate-timeline", trained / "run", labelled, "--quiet")
    assert code == 1
    assert "does not know the label 'juggling'" in one_line(err)


def test_true_clips_of_one_label_that_touch_are_one_segment():
    clips = [Clip(path=Path("x.mp4"), label=label, start=start, end=end) for label, start, end in TOUCHING]
    found = [(each.label, each.start, each.end) for each in true_segments_of(clips, duration=12.0)]
    assert found == [("a", 0, 4), ("b", 4, 6), ("a", 6, 7), ("a", 8, 12)]


TOUCHING = [("b", 4.0, 6.0), ("a", 0.0, 2.0), ("a", 2.0, 4.0), ("a", 6.0, 7.0), ("a", 8.0, None)]
