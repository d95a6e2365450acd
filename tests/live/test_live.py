"""Watching live: streams from another process, with stalls, cuts and changes, and what is said about them."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import pytest

import gerund
from gerund import video
from gerund.core.errors import UsageError, VideoError
from gerund.core.types import Clip
from gerund.heads.durations import Durations
from gerund.heads.semi_markov import SegmentPrior
from gerund.live.record import Recorder
from gerund.live.source import Newest, Reader, Seen, Source
from gerund.live.spotter import Look, Rolling, Spotter
from gerund.video.rate import at_rate
from gerund.video.stream import LiveClock
from support import sending as sender
from support.clocks import grey, with_sound
from support.command import run
from support.sending import BAR, picture

QUICK = {"window": 1.0, "min_duration": 0.2, "timeout": 60.0}


def pictures(*parts, size=(48, 64)):
    """Pictures of (label, number) pairs, as the sender makes them."""
    labels = [label for label, number in parts for _ in range(number)]
    return (picture(label, count, *size) for count, label in enumerate(labels))


def film(path, *parts, **options):
    video.write(path, pictures(*parts, **options), fps=25, options={"g": "10"})
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that tells day (a bar at the top) from night (at the bottom); in the middle is nothing."""
    folder = tmp_path_factory.mktemp("watch")
    for label in BAR:
        (folder / "clips" / label).mkdir(parents=True)
        for number in range(8):
            film(folder / "clips" / label / f"{number}.mp4", (label, 30 + 20 * number))
    gerund.train(folder / "clips", out=folder / "run", backbone="pixels:8", num_frames=4, val=0.2)
    list(gerund.watch(folder / "run", folder / "clips" / "day" / "0.mp4"))  # compiles the network: no stream waits for that
    return folder / "run"


@pytest.fixture
def recognizer(model):
    return gerund.Recognizer.load(model)


@contextmanager
def sending(target, *steps):
    """Another process that sends; a line to its stdin ends a `wait`."""
    command = [sys.executable, sender.__file__, target, *steps]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()


def go_on(process):
    process.stdin.write("\n")
    process.stdin.flush()


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def story(events):
    return [(event.kind, event.label) for event in events]


DAY_THEN_NIGHT = [("started", "day"), ("ended", "day"), ("started", "night"), ("ended", "night")]


# Streams from another process


def test_a_named_pipe_with_another_resolution_and_damaged_packets_in_mid_stream(recognizer, tmp_path):
    os.mkfifo(tmp_path / "camera pipé")
    steps = ("day:60", "size:96x80", "garbage", "day:60", "size:64x48", "night:75")
    with sending(str(tmp_path / "camera pipé"), *steps):
        events = list(recognizer.watch(tmp_path / "camera pipé", **QUICK))
    assert story(events) == DAY_THEN_NIGHT
    assert events[0].end is None
    assert events[1].start == events[0].start
    assert 1.0 < events[1].end <= events[2].start < 7.0


def test_a_cut_connection_is_opened_again(recognizer, capsys):
    url = f"tcp://127.0.0.1:{free_port()}"
    with sending(f"{url}?listen=1", "day:50", "wait", "again", "night:500") as sender:
        events = []
        for event in recognizer.watch(url, reconnect=60, **QUICK):
            events.append(event)
            if len(events) == 1:
                go_on(sender)
            if len(events) == 3:
                break
    assert story(events) == DAY_THEN_NIGHT[:3]
    assert events[0].seconds < events[1].seconds <= events[2].seconds
    assert "trying again in" in capsys.readouterr().err


def test_without_reconnection_the_end_of_a_connection_is_the_end(recognizer, tmp_path):
    with sending(str(tmp_path / "a.ts"), "day:75") as sender:
        sender.wait()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.sendall((tmp_path / "a.ts").read_bytes())

        thread = threading.Thread(target=serve)
        thread.start()
        watch = recognizer.watch(f"tcp://127.0.0.1:{server.getsockname()[1]}", reconnect=0.0, **QUICK)
        events = list(watch)
        thread.join()
    assert story(events) in ([], DAY_THEN_NIGHT[:2])  # all of it comes at once, and most frames are dropped
    assert watch.dropped > 0


@pytest.mark.slow
def test_a_stall_ends_what_is_going_on_and_the_stream_may_go_on(recognizer):
    url = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    with sending(f"{url}?pkt_size=1316", "day:75", "day:75", "wait", "night:1000") as sender:
        events = []
        for event in recognizer.watch(url, **QUICK | {"timeout": 3.0}):
            events.append(event)
            if event.kind == "ended":
                go_on(sender)
            if event.label == "night":
                break
    assert story(events) == DAY_THEN_NIGHT[:3]
    assert events[1].latency is None


def test_standard_input_through_the_command_line(model, tmp_path):
    path = film(tmp_path / "a.ts", ("day", 45), ("night", 45))
    command = [sys.executable, "-c", "from gerund.cli.app import main; main()", "watch", str(model), "-", "--realtime", "--json"]
    with path.open("rb") as file:
        done = subprocess.run([*command, "--window", "1"], stdin=file, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["kind"], line["label"]) for line in lines] == DAY_THEN_NIGHT
    assert set(lines[0]) == {"kind", "label", "score", "start", "end", "seconds", "time", "latency"}
    assert datetime.fromisoformat(lines[0]["time"]) <= datetime.now(UTC)
    assert "median" in done.stderr


def test_ctrl_c_ends_the_action_and_the_recording(model, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-c", "from gerund.cli.app import main; main()", "watch", str(model), str(tmp_path / "pipe")]
    options = ["--json", "--window", "1", "--record", str(tmp_path / "seen.mp4")]
    with sending(str(tmp_path / "pipe"), "day:2000"):
        process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert first["kind"] == "started"
    assert [json.loads(line)["kind"] for line in out.splitlines()] == ["ended"]
    assert process.returncode == 130
    assert "Traceback" not in err
    assert video.probe(tmp_path / "seen.mp4").num_frames > 10


# Files


def test_looks_are_what_offline_prediction_gives_for_the_same_span(recognizer, tmp_path):
    path = film(tmp_path / "a.mp4", ("day", 50), ("night", 50))
    features = recognizer.extractor.extract([path]).features[path]
    looks = list(recognizer.watch(path, window=1.0).looks())
    assert [look.seconds for look in looks] == pytest.approx([pts for pts in features.pts if pts >= 0.5])
    for look in looks:
        last = Clip(path=path, start=max(0.0, look.seconds - 1.0 + 1e-2), end=look.seconds + 1e-2)
        assert look.scores == pytest.approx(recognizer.window_scores(features, [last])[0], abs=2e-3)


def test_a_file_is_looked_at_frame_by_frame_and_its_actions_end_with_it(recognizer, tmp_path):
    path = film(tmp_path / "a.mp4", ("background", 50), ("day", 75), ("background", 75))
    watch = recognizer.watch(path, window=1.0)
    events = list(watch)
    assert story(events) == DAY_THEN_NIGHT[:2]
    assert events[0].start == pytest.approx(2.0, abs=0.5)
    assert events[1].end == pytest.approx(5.0, abs=0.5)
    assert watch.dropped == 0
    assert watch.playing is None
    assert not watch.reader.is_alive()


def test_at_its_own_pace_a_file_ends_at_the_duration_that_was_asked_for(recognizer, tmp_path):
    path = film(tmp_path / "a.mp4", ("day", 100))
    watch = recognizer.watch(path, realtime=True, duration=2.0, window=1.0)
    events = list(watch)
    assert story(events) == DAY_THEN_NIGHT[:2]
    assert events[1].end < 2.0
    assert watch.now.seconds < 2.0


def test_leaving_the_loop_stops_the_reader(recognizer, tmp_path):
    path = film(tmp_path / "a.mp4", ("day", 200))
    watch = recognizer.watch(path, window=1.0)
    for _ in watch:
        break
    assert watch.closed
    assert not watch.reader.is_alive()


def test_a_recording_has_every_frame_at_its_time_and_the_answer_below(recognizer, tmp_path):
    path = film(tmp_path / "a.mp4", ("day", 60))
    list(recognizer.watch(path, window=1.0, record=tmp_path / "seen.mkv"))
    given = [seconds for seconds, _ in video.decode(path)]
    kept = list(video.decode(tmp_path / "seen.mkv"))
    assert [seconds for seconds, _ in kept] == pytest.approx(given, abs=2e-3)
    assert kept[0][1].width == 320
    assert kept[0][1].height > 240


def test_a_recording_letterboxes_frames_of_another_size(tmp_path):
    recorder = Recorder(tmp_path / "seen.mp4", [("day", 0.5)], patient=True)
    recorder.start()
    for part, size in enumerate([(240, 320), (320, 320)]):
        path = film(tmp_path / f"{part}.mp4", ("day", 5), size=size)
        for seconds, frame in video.decode(path):
            recorder.add(Seen(0.0, part + seconds, frame))
    recorder.close()
    frames = [video.FrameConverter(None)(frame) for _, frame in video.decode(tmp_path / "seen.mp4")]
    assert len(frames) == 10
    assert len({frame.shape for frame in frames}) == 1
    assert frames[0][40, 5].mean() > 150
    assert frames[-1][40, 5].mean() < 30


@pytest.mark.slow
def test_memory_does_not_grow_with_the_stream(recognizer, tmp_path):
    path = film(tmp_path / "a.mp4", *[("day", 250), ("night", 250)] * 10)
    watch = recognizer.watch(path, window=2.0)
    resident = [int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") for _ in watch.looks()]
    assert len(resident) > 1000
    assert max(resident) - resident[200] < 16 * 2**20


# What cannot be


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--threshold", "1.5"], 2, "--threshold 1.5: a probability is between 0 and 1"),
        (["--threshold=-0.1"], 2, "--threshold -0.1: a probability is between 0 and 1"),
        (["--threshold", "nan"], 2, "--threshold. nan is not a finite number"),
        (["--window", "0.05"], 2, "--window 0.05: shorter than one step of 0.125 s"),
        (["--window", "0"], 2, "--window 0: more than 0 seconds"),
        (["--min-duration=-1"], 2, "--min-duration -1: at least 0"),
        (["--timeout", "0"], 2, "--timeout 0: more than 0 seconds"),
        (["--duration", "soon"], 2, "--duration soon: not a time span"),
        (["--record", "seen.gif"], 2, "--record seen.gif: .gif cannot hold it; choose one of .mp4, .mov, .mkv"),
        (["--record", "nowhere/seen.mp4"], 2, "there is no folder nowhere"),
    ],
)
def test_options_that_cannot_be_are_one_line(model, tmp_path, words, code, said):
    path = film(tmp_path / "a.mp4", ("day", 30))
    got, out, err = run("watch", model, path, *words)
    assert (got, out) == (code, "")
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("nowhere.mp4", 1, "nowhere.mp4: no such file; a source is a camera's number, a URL, a file, a named pipe, or -"),
        ("gopher://host/x", 2, "gopher://host/x: unknown protocol 'gopher'; choose one of http"),
        ("99", 1, "camera 99: the camera cannot be opened"),
        ("text.mp4", 1, "text.mp4: not readable as video"),
        ("pipe", 1, "pipe: no picture for 1 s (it sends no data)"),
        (".", 1, ".: a folder cannot be watched"),
    ],
)
def test_sources_that_give_nothing_are_one_line(model, tmp_path, monkeypatch, source, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.mp4").write_text("no video", encoding="utf-8")
    os.mkfifo("pipe")
    got, out, err = run("watch", model, source, "--timeout", 1)
    assert (got, out) == (code, "")
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_recording_never_overwrites_what_is_watched(model, tmp_path):
    path = film(tmp_path / "a.mp4", ("day", 30))
    before = path.read_bytes()
    code, _, err = run("watch", model, path, "--record", path)
    assert code == 2
    assert "this is the video that is watched" in err
    assert path.read_bytes() == before


def test_a_few_frames_are_too_little_to_look_at(model, tmp_path):
    code, out, err = run("watch", model, film(tmp_path / "a.mp4", ("day", 3)))
    assert (code, out) == (0, "")
    assert "ended before there was enough of it" in err


def test_sound_alone_is_said_to_be_no_video(recognizer, tmp_path):
    with av.open(tmp_path / "a.mp3", "w") as container:
        stream = container.add_stream("mp3", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4608), np.int16), format="s16", layout="stereo")
        frame.sample_rate = 44100
        container.mux([*stream.encode(frame), *stream.encode()])
    with pytest.raises(VideoError, match="no video stream"):
        list(recognizer.watch(tmp_path / "a.mp3"))


def test_a_stream_that_never_starts_is_given_up(recognizer, capsys):
    url = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(VideoError, match=r"no picture for 1 s \(not readable as video \(Connection refused\)\)"):
        list(recognizer.watch(url, timeout=1.0))
    assert f"{url}: not readable as video (Connection refused); trying again in 0.5 s" in capsys.readouterr().err
    url = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    with pytest.raises(VideoError, match="no picture for 1 s"):
        list(recognizer.watch(url, timeout=1.0))


def test_a_full_disk_ends_watching_with_its_reason(recognizer, tmp_path, monkeypatch):
    def full(*_):
        raise VideoError("seen.mp4: cannot be written as video (No space left on device)")

    monkeypatch.setattr(video.Writer, "add", full)
    with pytest.raises(VideoError, match="No space left"):
        list(recognizer.watch(film(tmp_path / "a.mp4", ("day", 100)), record=tmp_path / "seen.mp4"))


def test_a_window_without_a_display_is_refused(recognizer, tmp_path, monkeypatch):
    pytest.importorskip("tkinter")
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(UsageError, match="--show: there is no display"):
        recognizer.watch(film(tmp_path / "a.mp4", ("day", 10)), show=True)


# The parts


def test_who_is_slow_gets_the_newest_frame_and_the_rest_is_counted():
    newest = Newest()
    for number in range(5):
        newest.put(Seen(0.0, float(number), None))
    assert newest.take(1.0).seconds == 4.0
    assert newest.dropped == 4
    with pytest.raises(TimeoutError):
        newest.take(0.01)
    newest.end()
    assert newest.take(1.0) is None


def test_frames_that_are_due_are_those_that_offline_sampling_keeps(ramp_video):
    path = ramp_video(100, fps=25)
    reader = Reader(Source.named(path), fps=8.0, timeout=1.0, reconnect=False)
    kept, last = [], None
    for seconds, _ in video.decode(path):
        if reader.due(seconds, last):
            kept.append(seconds)
        last = seconds
    assert kept == [seconds for seconds, _ in at_rate(video.decode(path), 8.0)]


def test_the_clock_of_a_stream_rises_over_jumps_and_reconnections():
    clock = LiveClock()
    assert clock.time(1000.0, arrived=50.0) == 0.0
    assert clock.time(1000.5, arrived=50.0) == 0.5
    assert clock.time(3.0, arrived=51.0) == 1.5  # counts anew: the wall clock has gone on by 1 s
    assert clock.time(3.5, arrived=51.1) == 2.0
    assert clock.time(90_000.0, arrived=51.2) == pytest.approx(2.1)
    clock.restart()
    assert clock.time(7.0, arrived=55.2) == pytest.approx(6.1)
    assert clock.time(7.0, arrived=55.2) == pytest.approx(6.101)  # the same stamp again
    assert clock.time(37.0, arrived=85.2) > 36  # a stall as long by both clocks is believed


def test_the_window_keeps_the_last_seconds_only():
    rolling = Rolling(1.0)
    for step in range(100):
        rolling.add(step / 4, np.full(3, step, np.float16))
    features = rolling.features()
    assert features.pts.tolist() == [24.0, 24.25, 24.5, 24.75]
    assert features.data[:, 0].tolist() == [96, 97, 98, 99]


def spotted(scores, **options):
    options = {"threshold": 0.5, "min_duration": 0.5, "lag": 0.5} | options
    durations, free = Durations((math.log(2.0),) * 3, (0.5,) * 3), np.array([False, False, True])
    prior = SegmentPrior.of(durations, free, step=STEP, threshold=options["threshold"])
    spotter = Spotter(["night", "day", "background"], prior, step=STEP, **options)
    events = []
    for step, row in enumerate(scores):
        events += spotter.add(Look(seconds=step * STEP, scores=np.array(row), latency=0.0))
    return events, spotter


STEP = 0.25
NIGHT, DAY, NOTHING, UNSURE = (0.9, 0.1, 0.0), (0.1, 0.9, 0.0), (0.0, 0.1, 0.9), (0.4, 0.4, 0.2)


def test_a_flicker_shorter_than_the_least_duration_changes_nothing():
    events, spotter = spotted([NIGHT] * 8 + [DAY] + [NIGHT] * 8)
    assert story(events) == [("started", "night")]
    assert events[0].start == 0.0
    assert events[0].seconds == 0.5
    assert story(spotter.end()) == [("ended", "night")]


def test_a_new_action_starts_where_the_old_one_ended():
    events, _ = spotted([NIGHT] * 8 + [DAY] * 8)
    assert story(events) == [("started", "night"), ("ended", "night"), ("started", "day")]
    assert events[1].end == events[2].start == 8 * STEP - 0.5, "the first look at day, less the lag"
    assert 8 * STEP + 0.5 <= events[2].seconds <= 8 * STEP + 1.0


def test_an_action_goes_on_over_a_doubt_that_is_shorter_than_an_action_and_not_for_ever():
    events, _ = spotted([NIGHT] * 8 + [UNSURE] * 8)
    assert story(events) == [("started", "night")]
    events, _ = spotted([NIGHT] * 8 + [UNSURE] * 400)
    assert story(events) == [("started", "night"), ("ended", "night")]
    events, _ = spotted([UNSURE] * 20)
    assert events == []


def test_an_action_of_hours_is_one():
    events, _ = spotted([NOTHING] * 8 + [NIGHT] * 15_000 + [NOTHING] * 15_000)
    assert story(events) == [("started", "night"), ("ended", "night")]
    assert (events[1].start, events[1].end) == pytest.approx((8 * STEP - 0.5, 15_008 * STEP - 0.5), abs=STEP)


def test_looks_that_are_missing_are_time_that_passed():
    every, _ = spotted([NIGHT] * 12 + [DAY] * 12)
    durations, free = Durations((math.log(2.0),) * 3, (0.5,) * 3), np.array([False, False, True])
    spotter = Spotter(
        ["night", "day", "background"],
        SegmentPrior.of(durations, free, step=STEP, threshold=0.5),
        threshold=0.5,
        min_duration=0.5,
        step=STEP,
        lag=0.5,
    )
    some = []
    for step in range(0, 24, 3):
        some += spotter.add(Look(seconds=step * STEP, scores=np.array(NIGHT if step < 12 else DAY), latency=0.0))
    assert story(some) == story(every)
    assert [event.start for event in some] == pytest.approx([event.start for event in every], abs=2 * STEP), (
        "a look says what was before it"
    )


def test_background_is_no_action():
    events, _ = spotted([NOTHING] * 8 + [NIGHT] * 8 + [NOTHING] * 8)
    assert story(events) == [("started", "night"), ("ended", "night")]


def test_a_threshold_of_one_is_never_reached_and_zero_always():
    assert spotted([NIGHT] * 8, threshold=1.0)[0] == []
    assert story(spotted([UNSURE] * 8, threshold=0.0, min_duration=0.0)[0]) == [("started", "night")]


def test_camera_numbers_and_device_files_are_cameras():
    assert Source.named("0") == Source("0", "camera")
    assert Source.named("/dev/video3") == Source("3", "camera")
    assert Source.named("-").kind == "pipe"
    assert Source.named("rtsp://host/x").kind == "network"


def test_a_file_that_is_watched_counts_from_its_start(tmp_path):
    path = with_sound(tmp_path / "late.mp4", [grey(9 * index) for index in range(10)], late=2.0, seconds=4)
    reader = Reader(Source.named(path), fps=None, timeout=5.0, reconnect=False)
    reader.start()
    assert reader.newest.take(5.0).seconds == pytest.approx(2.0, abs=0.001)
    reader.stop()
