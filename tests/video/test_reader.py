"""Files that are short, broken or no video: what is there is read, the rest is named."""

from __future__ import annotations

import re
import shutil
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from gerund import video
from gerund.core.errors import StreamError, VideoError
from gerund.core.types import Frames, Resize
from gerund.core.workers import Finished
from gerund.diagnosis.inspection import inspect
from gerund.video.pool import DecodeJob, Reading, decode_here
from gerund.video.rate import at_rate
from gerund.video.skipping import plan_of
from gerund.video.stream import live
from support.pictures import RampVideo, joined, ramp, shown, with_sounds_first
from support.videos import encode


@pytest.mark.parametrize("fps", [None, 8, 1000])
def test_a_video_of_one_frame_is_one_frame(ramp_video: RampVideo, fps: float | None) -> None:
    frames = joined(video.read(ramp_video(1), fps=fps))
    assert frames.pts.tolist() == [0.0]


def test_raw_h264_has_no_times_of_its_own_and_gets_regular_ones(tmp_path: Path) -> None:
    path = encode(tmp_path / "raw.h264", ramp(50), codec="libx264", pix_fmt="yuv420p", options={"crf": "0"})
    assert video.probe(path).duration is None
    frames = joined(video.read(path))
    assert shown(frames) == list(range(50))
    np.testing.assert_allclose(frames.pts, np.arange(50) / 25, atol=1e-6)
    assert shown(joined(video.read(path, fps=8))) == [k * 25 // 8 for k in range(16)]


def drifting(num_frames: int) -> list[np.ndarray]:
    """Pictures for which an encoder finds B-frames: noise that moves to the left."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 96 + 2 * num_frames, 3), dtype=np.uint8)
    return [noise[:, 2 * step : 2 * step + 96] for step in range(num_frames)]


X265 = {"x265-params": "log-level=none:bframes=4:b-adapt=0"}


X264 = {"x264-params": "bframes=5:b-adapt=0:b-pyramid=normal:keyint=24:open-gop=1"}


@pytest.mark.parametrize("fps", [12, 30, 120])
@pytest.mark.parametrize(
    ("codec", "name", "options"),
    [
        ("libx264", "a.h264", X264),
        ("libx264", "a.264.bin", X264),
        ("libx265", "a.hevc", X265),
        ("mpeg4", "a.m4v", {"bf": "2"}),
        ("mpeg2video", "a.m2v", {"bf": "2"}),
    ],
)
def test_a_raw_stream_runs_at_the_rate_it_carries(
    tmp_path: Path, codec: str, name: str, options: dict[str, str], fps: int
) -> None:
    if codec == "mpeg2video":
        fps = {12: 24, 30: 30, 120: 60}[fps]  # it knows few rates
    formats = {"libx264": "h264", "libx265": "hevc", "mpeg4": "m4v", "mpeg2video": "mpeg2video"}
    with av.open(str(tmp_path / name), "w", format=formats[codec]) as out:
        stream: Any = out.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for picture in drifting(40):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    times = np.array([time for time, _ in video.decode(tmp_path / name)])
    np.testing.assert_allclose(times, np.arange(40) / fps, atol=1e-4)
    at_four = [time for time, _ in video.wanted_frames(tmp_path / name, fps=4)]
    np.testing.assert_allclose(at_four, [time for time, _ in at_rate(((t, None) for t in times), 4)], atol=1e-4)
    assert video.probe(tmp_path / name).fps == pytest.approx(fps)
    as_it_comes = [stamp for _, stamp, _ in live(str(tmp_path / name), name="a stream")]
    np.testing.assert_allclose(np.diff(as_it_comes), 1 / fps, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize(
    ("codec", "name", "options"),
    [
        ("libx264", "a.avi", X264),
        ("libx264", "a.avi", {"x264-params": "bframes=3:b-adapt=0:keyint=12"}),
        ("libx264", "a.wmv", X264),
        ("mpeg4", "a.avi", {"bf": "2"}),
        ("mpeg2video", "a.asf", {"bf": "2"}),
        ("mjpeg", "a.avi", {"strict": "-1"}),
    ],
)
def test_where_only_decoding_has_times_pictures_are_shown_in_order_one_step_apart(
    tmp_path: Path, codec: str, name: str, options: dict[str, str], threads: int
) -> None:
    """AVI and ASF say when a packet is decoded. Its B-frames are shown earlier than what was decoded before them."""
    path = tmp_path / name
    video.write(path, drifting(60), fps=30, codec=codec, options=options)
    expected = [frame.to_ndarray() for _, frame in video.decode(path)]
    times, pictures = zip(*video.decode(path, threads=threads), strict=True)
    np.testing.assert_allclose(times, np.arange(60) / 30, atol=0.0011)  # ASF counts milliseconds
    assert all(np.array_equal(one.to_ndarray(), other) for one, other in zip(pictures, expected, strict=True))
    found = [frame.to_ndarray() for _, frame in video.wanted_frames(path, fps=8, threads=threads)]
    shown_then = [int((k / 8 + 0.002) * 30) for k in range(16)]
    assert len(found) == 16
    assert all(np.array_equal(picture, expected[number]) for picture, number in zip(found, shown_then, strict=True))
    np.testing.assert_allclose([s for _, s, _ in live(str(path), name="a")], times, atol=0.0011)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_empty_chunks_at_the_start_of_an_avi_move_only_the_start(tmp_path: Path, codec: str) -> None:
    """Whoever copies B-frames to AVI begins with one packet and then, where times of decoding leave room, with chunks without any."""
    video.write(tmp_path / "a.mkv", drifting(30), fps=30, codec=codec, options={"bf": "2"})
    with av.open(str(tmp_path / "a.mkv")) as source, av.open(str(tmp_path / "b.avi"), "w") as out:
        given = source.streams.video[0]
        to = out.add_stream_from_template(given)
        to.codec_context.codec_tag = {"mpeg4": "XVID", "libx264": "H264"}[codec]
        stored = av.BitStreamFilterContext("h264_mp4toannexb" if codec == "libx264" else "null", given)
        for number, packet in enumerate(packet for packet in source.demux(given) if packet.size):
            for each in stored.filter(packet):
                each.stream, each.time_base, each.pts = to, Fraction(1, 30), None
                each.dts = number + 3 * (number > 0)
                out.mux(each)
    times = [time for time, _ in video.decode(tmp_path / "b.avi")]
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=0.0011)
    assert len(times) == 30


@pytest.mark.parametrize(("codec", "name", "options"), [("mpeg4", "a.avi", {"bf": "2", "g": "9"}), ("libx264", "a.avi", X264)])
def test_a_still_of_an_avi_is_the_picture_of_its_time(tmp_path: Path, codec: str, name: str, options: dict[str, str]) -> None:
    video.write(tmp_path / name, drifting(90), fps=30, codec=codec, options=options)
    frames = [frame.to_ndarray(format="rgb24") for _, frame in video.decode(tmp_path / name)]
    for number in (0, 1, 29, 31, 36, 37, 38, 60, 72, 89):
        assert np.array_equal(video.frame_at(tmp_path / name, (number + 0.5) / 30), frames[number])


@pytest.mark.parametrize("lost", [5, 6, 7, 8])
def test_a_packet_without_a_picture_moves_no_later_picture(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "a.avi"
    video.write(path, drifting(30), fps=30, codec="mpeg4", options={"bf": "2", "g": "12"})
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    position, size = packets[lost]
    data[position : position + size] = bytes(size)
    path.write_bytes(data)
    times = [[time for time, _ in video.decode(path, threads=threads)] for threads in (1, 8)]
    assert times[0] == times[1]
    assert 27 <= len(times[0]) <= 29  # a lost P-frame takes its two B-frames with it
    np.testing.assert_allclose(times[0][-18:], np.arange(12, 30) / 30, atol=1e-4)


def test_a_transport_stream_cut_out_of_the_middle_starts_at_zero_and_rises(tmp_path: Path, ramp_video: RampVideo) -> None:
    path = encode(tmp_path / "whole.ts", ramp(84), codec="libx264", pix_fmt="yuv420p", options={"crf": "0", "g": "10", "bf": "0"})
    content = path.read_bytes()
    packets = len(content) // 188
    (tmp_path / "cut.ts").write_bytes(content[packets // 3 * 188 : packets * 2 // 3 * 188 + 50])
    frames = joined(video.read(tmp_path / "cut.ts"))
    assert frames.pts[0] == 0
    assert (np.diff(frames.pts) > 0).all()
    assert 15 < len(frames) < 40
    numbers = shown(frames)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert numbers[0] > 20


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
def test_a_truncated_file_gives_the_frames_that_are_there(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 20, (32, 48, 3), np.uint8)
    pictures = [noise + np.uint8(index * 2) for index in range(100)]
    options = {"crf": "0", "g": "10", "bf": "0"} if suffix != ".avi" else {}
    codec = "libx264" if suffix != ".avi" else "ffv1"
    front = {"movflags": "faststart"} if suffix == ".mp4" else {}
    path = encode(tmp_path / f"whole{suffix}", pictures, codec=codec, pix_fmt="yuv420p", options=options, container=front)
    content = path.read_bytes()
    (tmp_path / f"half{suffix}").write_bytes(content[: len(content) * 6 // 10])
    frames = joined(video.read(tmp_path / f"half{suffix}"))
    assert 30 < len(frames) < 90
    whole = joined(video.read(path))
    intact = len(frames) - 2  # the very last may be half a picture
    assert np.array_equal(frames.data[:intact], whole.data[:intact])
    np.testing.assert_allclose(frames.pts[:intact], whole.pts[:intact], atol=1e-6)


def test_a_hole_in_the_middle_costs_only_what_was_in_it(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 20, (32, 48, 3), np.uint8)
    path = encode(
        tmp_path / "hole.mkv",
        [noise + np.uint8(index * 2) for index in range(100)],
        codec="libx264",
        pix_fmt="yuv420p",
        options={"crf": "0", "g": "10", "bf": "0"},
    )
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 1000] = bytes(1000)
    path.write_bytes(content)
    frames = joined(video.read(path))
    assert 70 < len(frames) <= 100
    assert (np.diff(frames.pts) > 0).all()
    assert frames.pts[-1] == pytest.approx(99 / 25, abs=0.05)


def first_frame(path: Path) -> Frames:
    return next(video.read(path))


@pytest.mark.parametrize("action", [video.probe, first_frame])
def test_what_is_no_video_is_named_with_the_reason(tmp_path: Path, action: Callable[[Path], Any], ramp_video: RampVideo) -> None:
    text = tmp_path / "letter.mp4"
    text.write_text("Dear Sir or Madam,\n" * 50)
    with pytest.raises(VideoError, match=r"letter\.mp4: not readable as video \(Invalid data"):
        action(text)
    (tmp_path / "empty.avi").touch()
    with pytest.raises(VideoError, match=r"empty\.avi: the file is empty"):
        action(tmp_path / "empty.avi")
    with pytest.raises(VideoError, match=r"none\.avi: no such file"):
        action(tmp_path / "none.avi")
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))
    (tmp_path / "sound.wav").rename(tmp_path / "sound.mp4")
    with pytest.raises(VideoError, match=r"sound\.mp4: no video stream \(found: audio\); is this an audio file\?"):
        action(tmp_path / "sound.mp4")
    (tmp_path / "no frames").mkdir()
    with pytest.raises(VideoError, match="no frames: a folder without frame images"):
        action(tmp_path / "no frames")
    whole = encode(tmp_path / "whole.mp4", ramp(30), codec="libx264", pix_fmt="yuv420p").read_bytes()
    (tmp_path / "head.mp4").write_bytes(whole[: len(whole) // 2])  # its index, at the end, is missing
    with pytest.raises(VideoError, match=r"head\.mp4: not readable as video"):
        action(tmp_path / "head.mp4")


def with_tag(path: Path, old: bytes, new: bytes) -> Path:
    """Give the pictures or the sound of a file another codec's name."""
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("suffix", "codec", "old", "new", "said"),
    [
        (".mp4", "libx264", b"avc1", b"zzzz", "are in a codec that is not known ('zzzz'); convert it to H.264"),
        (".mov", "libx264", b"avc1", b"encv", "are encrypted ('encv')"),
        (".avi", "mpeg4", b"FMP4", b"ZZZZ", "are in a codec that is not known ('ZZZZ'); convert it"),
        (".mkv", "libx264", b"V_MPEG4/ISO/AVC", b"V_ZZZZZ/ISO/AVC", "are in a codec that is not known; convert it"),
    ],
)
def test_pictures_in_an_unknown_codec_cost_their_own_file_and_the_codec_is_named(
    ramp_video: RampVideo, suffix: str, codec: str, old: bytes, new: bytes, said: str
) -> None:
    good, path = ramp_video(9, name="good"), with_tag(ramp_video(9, codec=codec, suffix=suffix), old, new)
    for look in (video.probe, first_frame, lambda path: list(video.decode(path)), lambda path: video.frame_at(path, 0.0)):
        for _ in range(2):
            with pytest.raises(StreamError, match=re.escape(f"{path}: its pictures {said}")):
                look(path)
    with pytest.raises(StreamError, match="its pictures are"):
        next(live(str(path), name="a stream"))
    assert plan_of(path, 8) is None
    inspection = inspect(path)
    assert inspection.problem == "no-video-stream"
    assert said in inspection.reason
    reading = Reading(fps=8, resize=Resize(height=8, width=8, fit="squeeze"))
    events = [*decode_here([DecodeJob(index=0, path=path), DecodeJob(index=1, path=good)], reading)]
    ends = {event.index: event.error for event in events if isinstance(event, Finished)}
    assert ends[1] is None
    assert said in ends[0]


def test_sound_in_an_unknown_codec_is_left_out(tmp_path: Path) -> None:
    path = with_tag(with_sounds_first(tmp_path / "a.mkv", 10, "libx264", 1), b"A_AAC", b"A_ZZZ")
    assert len([*video.decode(path)]) == 10
    with video.Writer(tmp_path / "out.mp4", sound=path) as out:
        for index, picture in enumerate(ramp(10)):
            out.add(picture, index / 10)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_a_video_whose_every_picture_is_damaged_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "noise.mkv", ramp(5, (64, 64)), codec="libx264", pix_fmt="yuv420p")
    content = path.read_bytes()
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    for packet in packets:
        content = content.replace(packet, b"\xff" * len(packet))
    path.write_bytes(content)
    with pytest.raises(VideoError, match=r"noise\.mkv: no frame could be decoded from its \d packets; is the file complete\?"):
        list(video.read(path))


@pytest.mark.parametrize(
    "name", ["Zähne putzen, früh.mp4", "100%.mp4", "a [b] {c} *.mp4", "12:30:00.mp4", "%03d.mp4", "#1 & co?.mp4"]
)
def test_any_file_name_is_read(ramp_video: RampVideo, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ramp_video(5)
    path.rename(tmp_path / name)
    assert shown(joined(video.read(tmp_path / name))) == list(range(5))
    monkeypatch.chdir(tmp_path)
    assert shown(joined(video.read(Path(name)))) == list(range(5))


@pytest.mark.real
def test_every_kind_of_real_clip_is_read_whole(real_data: Path, tmp_path: Path) -> None:
    clips = sorted((real_data / "ucf101" / "UCF-101").glob("*/*_g01_c01.avi"))
    assert len(clips) == 5
    for clip in clips:
        copy = shutil.copy(clip, tmp_path / clip.name)
        info = video.probe(copy)
        frames = joined(video.read(copy, resize=Resize(height=32, width=32)))
        assert len(frames) == info.num_frames
        assert (np.diff(frames.pts) > 0).all()
        assert np.median(np.diff(frames.pts)) == pytest.approx(1 / (info.fps or 0))
        assert frames.pts[-1] == pytest.approx(info.duration, abs=0.1)
