"""Which picture at which time, from any file a person may have."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from gerund import video
from gerund.video import reader
from gerund.video.decoder import Record
from gerund.video.header import picture_span
from gerund.video.rate import at_rate
from gerund.video.stream import live
from support.clocks import grey, standing, with_sound
from support.pictures import RampVideo, frame_folder, joined, ramp, shown, with_sounds_first
from support.videos import encode


@pytest.mark.parametrize(
    ("codec", "suffix"), [("libx264", ".mp4"), ("mpeg4", ".avi"), ("ffv1", ".mkv"), ("libvpx-vp9", ".webm"), ("libx264", ".ts")]
)
def test_at_8_frames_per_second_the_frame_on_screen_at_each_eighth_is_read(
    ramp_video: RampVideo, codec: str, suffix: str
) -> None:
    frames = joined(video.read(ramp_video(50, codec=codec, suffix=suffix), fps=8))
    expected = [k * 25 // 8 for k in range(16)]
    assert shown(frames) == expected
    np.testing.assert_allclose(frames.pts, np.array(expected) / 25, atol=0.001)


def test_without_a_rate_every_frame_is_read_in_order(ramp_video: RampVideo) -> None:
    frames = joined(video.read(ramp_video(60)))
    assert shown(frames) == list(range(60))
    np.testing.assert_allclose(frames.pts, np.arange(60) / 25)


def test_a_video_slower_than_wanted_gives_each_frame_once(ramp_video: RampVideo) -> None:
    assert shown(joined(video.read(ramp_video(20, fps=5), fps=8))) == list(range(20))


LATE = [
    (".mp4", "libx264"),
    (".mov", "libx264"),
    (".mkv", "libx264"),
    (".ts", "libx264"),
    (".flv", "libx264"),
    (".webm", "libvpx"),
]


@pytest.mark.parametrize(("suffix", "codec"), LATE)
@pytest.mark.parametrize("sound_first", [True, False])
def test_times_count_from_the_start_of_the_file_where_the_sound_comes_first(
    tmp_path: Path, suffix: str, codec: str, sound_first: bool
) -> None:
    pictures = [grey(3 * index) for index in range(20)]
    path = with_sound(tmp_path / f"late{suffix}", pictures, late=2.0, seconds=6, codec=codec, sound_first=sound_first)
    sound, first = starts_of(path)
    assert first - sound == pytest.approx(2.0, abs=0.15)  # priming of the sound takes some
    late = first - sound
    every = [time for time, _ in video.decode(path)]
    np.testing.assert_allclose(every, late + np.arange(20) / 10, atol=0.0011)
    wanted = [
        time for time in every if np.ceil((time - 1e-3) * 3) < (time + 0.1 - 1e-3) * 3
    ]  # an instant k / 3 s meets the picture
    assert [time for time, _ in video.wanted_frames(path, fps=3)] == pytest.approx(wanted)  # at this rate frames are skipped
    assert shown(joined(video.read(path, fps=3))) == [every.index(time) for time in wanted]
    assert video.probe(path).start == pytest.approx(late, abs=0.0011)
    levels = [video.frame_at(path, seconds).mean() for seconds in (0.5, late + 0.51, late + 1.95, 9.0)]
    np.testing.assert_allclose(levels, [0, 15, 57, 57], atol=2.5)


@pytest.mark.parametrize(("suffix", "codec"), LATE)
def test_times_begin_at_0_where_the_pictures_do(tmp_path: Path, suffix: str, codec: str) -> None:
    pictures = [grey(3 * index) for index in range(20)]
    together = with_sound(tmp_path / f"late{suffix}", pictures, late=2.0, seconds=3, sound_late=2.5, codec=codec)
    first = next(video.decode(together))[0]
    assert first == 0
    assert next(time for time, _ in video.wanted_frames(together, fps=3)) == 0
    assert video.probe(together).start == 0


def starts_of(path: Path) -> tuple[float, float]:
    """The first time stamps of sound and picture in a file, as its packets have them; sound before 0 is priming that nobody hears."""
    first = {"audio": np.inf, "video": np.inf}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.pts is not None:
                first[packet.stream.type] = min(first[packet.stream.type], float(packet.pts * packet.time_base))
    return max(first["audio"], 0.0), first["video"]


def test_a_video_that_no_instant_meets_gives_its_last_frame() -> None:
    assert list(at_rate([(0.02, "a"), (0.06, "b")], 8)) == [(0.06, "b")]
    assert list(at_rate([(0.02, "a"), (0.06, "b"), (0.1, "c")], 8)) == [(0.1, "c")]


def test_a_film_without_sound_is_black_until_its_first_picture(tmp_path: Path) -> None:
    with video.Writer(tmp_path / "late.mp4") as writer:
        for index in range(3):
            writer.add(grey(60 * index + 60), 2.0 + index / 10)
    times, frames = zip(*video.decode(tmp_path / "late.mp4"), strict=True)
    assert times == pytest.approx([0, 2.0, 2.1, 2.2], abs=0.001)
    assert [round(float(frame.to_ndarray(format="rgb24").mean()), -1) for frame in frames] == [0, 60, 120, 180]


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_is_black_until_its_first_picture(tmp_path: Path, suffix: str) -> None:
    palette = np.repeat(np.arange(256, dtype=np.uint8)[::-1, None], 3, axis=1) if suffix == ".gif" else None
    with video.Writer(tmp_path / f"late{suffix}", palette=palette) as writer:
        for index in range(3):
            picture = grey(60 * index + 60)
            writer.add(picture if palette is None else 255 - picture[..., 0], 2.0 + index / 10)
    with Image.open(tmp_path / f"late{suffix}") as film:
        assert film.n_frames == 4
        film.load()
        assert film.info["duration"] == 2000
        assert np.asarray(film.convert("L")).max() <= 2


@pytest.mark.parametrize("suffix", [".gif", ".mp4", ".mkv", ".mov"])
def test_a_video_ends_when_its_last_picture_does(tmp_path: Path, suffix: str) -> None:
    path = standing(tmp_path / f"still{suffix}")
    for fps in (None, 8.0, 3.0):  # at the last one, frames are skipped
        ends: list[float] = []
        assert [time for time, _ in video.wanted_frames(path, fps=fps, ended=ends.append)][-1] == pytest.approx(3.0)
        assert ends == [pytest.approx(8.0)]
    with av.open(str(path)) as container:
        *_, last = container.decode(video=0)
    assert (last.time, float(last.duration * last.time_base)) == (pytest.approx(3.0), pytest.approx(5.0))
    assert video.probe(path).duration == pytest.approx(8.0)
    assert picture_span(path) == (0, pytest.approx(8.0))


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", ".mp4"), ("mpeg4", ".avi"), ("ffv1", ".mkv"), ("libx264", ".ts")])
@pytest.mark.parametrize("fps", [None, 8.0])
def test_a_video_of_a_constant_rate_ends_a_step_after_its_last_picture(
    ramp_video: RampVideo, codec: str, suffix: str, fps: float | None
) -> None:
    ends: list[float] = []
    list(video.wanted_frames(ramp_video(49, codec=codec, suffix=suffix), fps=fps, ended=ends.append))
    assert ends == [pytest.approx(49 / 25, abs=0.0011)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_pictures_reordered_at_an_uneven_rate_end_with_the_last_ones_own_duration(tmp_path: Path, suffix: str) -> None:
    path, moments = tmp_path / f"uneven{suffix}", [0, 1, 3, 6, 9, 11, 12]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "2", "b-adapt": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        for number, moment in enumerate(moments):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * number, np.uint8)).reformat(format="yuv420p")
            frame.pts, frame.duration, frame.time_base = moment, 1, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        assert [packet.pts for packet in container.demux(video=0) if packet.size][-1] < 12 / 25 / container.streams.video[
            0
        ].time_base
    for fps in (None, 8.0, 3.0):
        ends: list[float] = []
        list(video.wanted_frames(path, fps=fps, ended=ends.append))
        assert ends == [pytest.approx(13 / 25, abs=0.0011)]
    assert picture_span(path) == (0, pytest.approx(13 / 25, abs=0.0011))


def test_a_folder_of_images_ends_a_step_after_its_last_one(tmp_path: Path) -> None:
    ends: list[float] = []
    list(video.wanted_frames(frame_folder(tmp_path / "folder", [f"{index}.png" for index in range(5)]), fps=8, ended=ends.append))
    assert ends == [pytest.approx(5 / 25)]


@pytest.mark.parametrize("fps", [None, 3.0])
def test_a_last_picture_that_claims_hours_its_file_knows_nothing_of_is_not_believed(tmp_path: Path, fps: float | None) -> None:
    path = standing(tmp_path / "still.mp4", still=0.5)
    data, last = path.read_bytes(), struct.pack(">II", 1, 45_000)
    assert data.count(last) == 1
    path.write_bytes(data.replace(last, struct.pack(">II", 1, 36_000 * 90_000)))
    ends: list[float] = []
    list(video.wanted_frames(path, fps=fps, ended=ends.append))
    assert ends[0] < 4


def test_blocks_have_one_size_but_the_last(ramp_video: RampVideo) -> None:
    path = ramp_video(50)
    blocks = list(video.read(path, block=20))
    assert [len(block) for block in blocks] == [20, 20, 10]
    assert all(block.data.dtype == np.uint8 and block.pts.dtype == np.float64 for block in blocks)
    assert shown(joined(iter(blocks))) == list(range(50))
    assert [len(block) for block in video.read(path, block=25)] == [25, 25]


def test_a_block_is_handed_out_before_the_rest_is_decoded(ramp_video: RampVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    original = video.wanted_frames

    def counting(path: Path, **options: Any) -> Iterator[tuple[float, av.VideoFrame]]:
        for item in original(path, **options):
            decoded.append(item[0])
            yield item

    monkeypatch.setattr(reader, "wanted_frames", counting)
    blocks = video.read(ramp_video(100), block=4)
    assert len(next(blocks)) == 4
    assert len(decoded) <= 5
    next(blocks)
    assert len(decoded) <= 9


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("libx264", s) for s in (".mp4", ".mov", ".mkv", ".ts", ".avi", ".flv")]
    + [("mpeg4", ".avi"), ("mpeg2video", ".mpg"), ("libvpx-vp9", ".webm"), ("ffv1", ".mkv")],
)
@pytest.mark.parametrize("sounds", [0, 1, 2])
def test_every_picture_is_read_wherever_its_stream_stands_and_with_any_number_of_threads(
    tmp_path: Path, codec: str, suffix: str, sounds: int
) -> None:
    path = with_sounds_first(tmp_path / f"a{suffix}", 12, codec, min(sounds, 1) if suffix == ".flv" else sounds)
    for threads in (1, 2, 8):
        record = Record()
        recorded = list(video.decode(path, threads=threads, record=record))
        assert (len(recorded), record.frames) == (12, 12)
        assert [time for time, _ in video.wanted_frames(path, threads=threads)] == [time for time, _ in recorded]
        assert len(list(video.wanted_frames(path, fps=2, threads=threads))) == 3
    assert len([*live(str(path), name="a stream")]) == 12


def test_several_threads_read_the_same_pictures(ramp_video: RampVideo) -> None:
    path = ramp_video(40)
    one, two = joined(video.read(path)), joined(video.read(path, threads=2))
    assert np.array_equal(one.data, two.data)
    assert np.array_equal(one.pts, two.pts)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_variable_frame_rate_keeps_its_times(tmp_path: Path, suffix: str) -> None:
    times = [0, 40, 80, 500, 1000, 1010, 1020, 1500, 2600]
    path = encode(tmp_path / f"vfr{suffix}", ramp(9), codec="libx264", pix_fmt="yuv420p", pts_ms=times, options={"crf": "0"})
    frames = joined(video.read(path))
    assert shown(frames) == list(range(9))
    np.testing.assert_allclose(frames.pts, np.array(times) / 1000, atol=1e-3)
    assert shown(joined(video.read(path, fps=2))) == [0, 3, 4, 7]  # at 0, .5, 1, 1.5, (2 and 2.5: still 7); it ends at 2.64 s


def test_times_count_from_the_first_frame_wherever_the_container_starts(tmp_path: Path) -> None:
    path = encode(tmp_path / "late.mkv", ramp(4), pts_ms=[5000, 5040, 5080, 5120])
    np.testing.assert_allclose(joined(video.read(path)).pts, [0, 0.04, 0.08, 0.12])
