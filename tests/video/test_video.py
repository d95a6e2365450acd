"""Reading and writing video: which picture at which time, upright, of the right size, from any file a person may have."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from gerund import video
from gerund.core.errors import StreamError, VideoError
from gerund.core.types import Frames, Resize
from gerund.core.workers import Finished
from gerund.data.listing import list_videos
from gerund.diagnosis.inspection import inspect
from gerund.video import reader
from gerund.video.container import Trust, complaints
from gerund.video.decoder import Record
from gerund.video.formats import frame_images, is_frame_folder, is_video, webp_durations
from gerund.video.header import picture_span
from gerund.video.pool import DecodeJob, Reading, decode_here
from gerund.video.rate import PACKET_UNUSED, at_rate
from gerund.video.skipping import plan_of
from gerund.video.stream import live
from support.clocks import grey, standing, with_sound
from support.videos import MATRICES, anamorphic, encode, turned

RampVideo = Callable[..., Path]
RED, GREEN, BLUE, WHITE = (220, 0, 0), (0, 200, 0), (0, 0, 220), (255, 255, 255)


def joined(blocks: Iterator[Frames]) -> Frames:
    parts = list(blocks)
    return Frames(np.concatenate([part.data for part in parts]), np.concatenate([part.pts for part in parts]))


def shown(frames: Frames, step: int = 3) -> list[int]:
    """Which frame of a ramp each picture is; a grey level comes back up to 2 darker."""
    return [round((float(picture.mean()) + 1) / step) for picture in frames.data]


def ramp(num_frames: int, size: tuple[int, int] = (32, 48), step: int = 3) -> list[np.ndarray]:
    return [np.full((*size, 3), index * step, np.uint8) for index in range(num_frames)]


def quadrants(height: int = 64, width: int = 96) -> np.ndarray:
    """Red above left, green above right, blue below left, white below right."""
    picture = np.zeros((height, width, 3), np.uint8)
    for (top, left), colour in zip(((0, 0), (0, 1), (1, 0), (1, 1)), (RED, GREEN, BLUE, WHITE), strict=True):
        picture[top * height // 2 : (top + 1) * height // 2, left * width // 2 : (left + 1) * width // 2] = colour
    return picture


def corners(picture: np.ndarray) -> list[tuple[int, ...]]:
    """The colours a quarter in from each corner: above left, above right, below left, below right."""
    height, width = picture.shape[:2]
    return [
        tuple(int(value) for value in picture[y, x]) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)
    ]


def assert_corners(picture: np.ndarray, *colours: tuple[int, int, int]) -> None:
    np.testing.assert_allclose(corners(picture), colours, atol=8)


@pytest.fixture
def quadrant_video(tmp_path: Path) -> Path:
    return encode(tmp_path / "quadrants.mkv", [quadrants()] * 3)


# --- which frame, when


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


SOUNDS = {".webm": "libopus", ".mpg": "mp2"}


def with_sounds_first(path: Path, num_frames: int, codec: str, sounds: int) -> Path:
    """Write a ramp at 10 fps behind `sounds` streams of silence: the picture is stream number `sounds`."""
    with av.open(str(path), "w") as out:
        heard = [out.add_stream(SOUNDS.get(path.suffix, "aac"), rate=48000) for _ in range(sounds)]
        seen: Any = out.add_stream(codec, rate=10, options={"bf": "2"} if codec in ("libx264", "mpeg4", "mpeg2video") else {})
        seen.height, seen.width, seen.pix_fmt = 32, 48, "yuv420p"
        for stream in heard:
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 48000 * num_frames // 10), np.float32), "fltp", "stereo")
            frame.sample_rate, frame.pts = 48000, 0
            fifo = av.AudioFifo()
            fifo.write(frame)
            for part in fifo.read_many(stream.codec_context.frame_size or 960):
                out.mux(stream.encode(part))
            out.mux(stream.encode())
        for picture in ramp(num_frames):
            out.mux(seen.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(seen.encode())
    return path


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


# --- what kinds of pictures


@pytest.mark.parametrize("size", [(33, 47), (1, 1), (2, 7), (101, 64)])
def test_odd_sizes_are_read_as_they_are(tmp_path: Path, size: tuple[int, int]) -> None:
    frames = joined(video.read(encode(tmp_path / "odd.mkv", ramp(5, size))))
    assert frames.data.shape == (5, *size, 3)
    assert shown(frames) == [0, 1, 2, 3, 4]
    assert joined(video.read(tmp_path / "odd.mkv", resize=Resize(height=16, width=16))).data.shape == (5, 16, 16, 3)


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "source"),
    [
        ("yuv420p10le", "ffv1", "rgb24"),
        ("yuv420p10le", "libx265", "rgb24"),
        ("gray", "ffv1", "rgb24"),
        ("gray10le", "ffv1", "rgb24"),
        ("yuva420p", "ffv1", "rgb24"),
        ("yuv422p", "ffv1", "rgb24"),
        ("bgr0", "ffv1", "rgb24"),
        ("yuvj420p", "mjpeg", "rgb24"),
    ],
)
def test_any_pixel_format_gives_the_same_grey_levels(tmp_path: Path, pix_fmt: str, codec: str, source: str) -> None:
    options = {"x265-params": "lossless=1:log-level=none"} if codec == "libx265" else {}
    path = encode(tmp_path / "clip.mkv", ramp(20, (64, 64), step=10), codec=codec, pix_fmt=pix_fmt, options=options)
    frames = joined(video.read(path))
    assert frames.data.shape == (20, 64, 64, 3)
    np.testing.assert_allclose(frames.data.mean(axis=(1, 2, 3)), np.arange(20) * 10, atol=2)


@pytest.mark.parametrize("codec", ["png", "qtrle"])
def test_transparency_is_left_out(tmp_path: Path, codec: str) -> None:
    opaque = np.full((32, 32, 4), 255, np.uint8)
    opaque[..., :3] = RED
    half = opaque.copy()
    half[..., 3] = 90
    format_name = "rgba" if codec == "png" else "argb"
    path = encode(tmp_path / "alpha.mov", [opaque, half], codec=codec, pix_fmt=format_name, source="rgba")
    frames = joined(video.read(path))
    np.testing.assert_allclose(frames.data.mean(axis=(1, 2)), [RED, RED], atol=2)


"""a, b, c, d of a display matrix by the number of the EXIF orientation that means the same."""


def upright(picture: np.ndarray, way: int) -> np.ndarray:
    """What Pillow makes of a picture with an EXIF orientation."""
    image = Image.fromarray(picture)
    image.getexif()[0x0112] = way
    return np.array(ImageOps.exif_transpose(image))


@pytest.mark.parametrize("way", MATRICES)
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_video_turned_or_mirrored_in_its_header_gives_an_upright_picture(tmp_path: Path, suffix: str, way: int) -> None:
    path = tmp_path / f"phone{suffix}"
    video.write(path, [quadrants()] * 3, fps=25)
    turned(path, way)
    expected = upright(quadrants(), way)
    plain = joined(video.read(path)).data
    assert plain.shape == (3, *expected.shape)
    assert_corners(plain[0], *corners(expected))
    assert_corners(video.frame_at(path, 0.0), *corners(expected))
    wide = joined(video.read(path, resize=Resize(height=24, width=40, fit="squeeze"))).data
    assert wide.shape == (3, 24, 40, 3)
    assert_corners(wide[0], *corners(expected))
    assert_corners(joined(video.read(path, fps=8)).data[0], *corners(expected))


@pytest.mark.parametrize("way", MATRICES)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_an_image_turned_or_mirrored_by_its_exif_gives_an_upright_picture(tmp_path: Path, suffix: str, way: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = way
    options = {"lossless": True} if suffix == ".webp" else {}
    for name in ("1", "2"):
        Image.fromarray(quadrants()).save(tmp_path / f"{name}{suffix}", exif=exif, **options)
    frames = joined(video.read(tmp_path))
    expected = upright(quadrants(), way)
    assert frames.data.shape == (2, *expected.shape)
    assert_corners(frames.data[0], *corners(expected))


@pytest.mark.parametrize(("said", "way"), [("rotate=270", 6), ("rotate=0:flip=horizontal", 2), ("rotate=0:flip=vertical", 4)])
def test_a_turn_that_stands_in_the_pictures_themselves_is_followed(tmp_path: Path, said: str, way: int) -> None:
    """H.264 may carry its orientation in a message between its pictures, whatever the container says."""
    plain, path = tmp_path / "plain.h264", tmp_path / "a.h264"
    with av.open(str(plain), "w") as out:
        stream: Any = out.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        out.mux([*stream.encode(av.VideoFrame.from_ndarray(quadrants(), format="rgb24")), *stream.encode()])
    with av.open(str(plain)) as container, path.open("wb") as file:
        adding = av.BitStreamFilterContext(f"h264_metadata=display_orientation=insert:{said}", container.streams.video[0])
        for packet in container.demux(video=0):
            for each in adding.filter(packet if packet.size else None):
                file.write(bytes(each))
    assert_corners(joined(video.read(path)).data[0], *corners(upright(quadrants(), way)))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "area"])
def test_squeeze_keeps_every_corner(quadrant_video: Path, interpolation: Any) -> None:
    picture = next(
        video.read(quadrant_video, resize=Resize(height=32, width=32, fit="squeeze", interpolation=interpolation))
    ).data[0]
    assert picture.shape == (32, 32, 3)
    assert_corners(picture, RED, GREEN, BLUE, WHITE)
    assert_corners(picture[:4, :4], RED, RED, RED, RED)
    assert_corners(picture[-4:, -4:], WHITE, WHITE, WHITE, WHITE)


def test_letterbox_keeps_the_whole_picture_between_black_bars(quadrant_video: Path) -> None:
    picture = next(video.read(quadrant_video, resize=Resize(height=48, width=48, fit="letterbox"))).data[0]
    assert picture.shape == (48, 48, 3)  # 64 x 96 becomes 32 x 48, 8 black lines above and below
    assert not picture[:8].any()
    assert not picture[-8:].any()
    assert_corners(picture[8:40], RED, GREEN, BLUE, WHITE)
    assert_corners(picture[8:12, :4], RED, RED, RED, RED)


def test_letterbox_of_a_tall_picture_has_its_bars_at_the_sides(tmp_path: Path) -> None:
    path = encode(tmp_path / "tall.mkv", [quadrants(96, 64)])
    picture = next(video.read(path, resize=Resize(height=48, width=48, fit="letterbox"))).data[0]
    assert not picture[:, :8].any()
    assert not picture[:, -8:].any()
    assert_corners(picture[:, 8:40], RED, GREEN, BLUE, WHITE)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_crop_cuts_the_middle_out_of_the_short_side_over_scale(tmp_path: Path, scale: float) -> None:
    column = np.arange(96, dtype=np.uint8)[None, :] * 2
    picture = np.broadcast_to(column[..., None], (64, 96, 3))
    path = encode(tmp_path / "columns.mkv", [np.ascontiguousarray(picture)], pix_fmt="bgr0")
    side = round(64 * scale)
    cropped = next(video.read(path, resize=Resize(height=side, width=side, fit="crop", scale=scale))).data[0]
    left = (96 - side) // 2  # the short side becomes side / scale = 64: nothing is scaled, so columns come back exactly
    assert cropped.shape == (side, side, 3)
    np.testing.assert_allclose(cropped[0, :, 0], column[0, left : left + side], atol=1)


def test_crop_leaves_the_quadrants_where_they_belong(quadrant_video: Path) -> None:
    picture = next(video.read(quadrant_video, resize=Resize(height=32, width=32, fit="crop"))).data[0]
    assert_corners(picture, RED, GREEN, BLUE, WHITE)
    tall = next(video.read(quadrant_video, resize=Resize(height=64, width=16, fit="crop"))).data[0]
    assert_corners(tall, RED, GREEN, BLUE, WHITE)


def test_a_picture_enlarged_is_of_the_size_asked_for(quadrant_video: Path) -> None:
    for fit in ("crop", "squeeze", "letterbox"):
        assert next(video.read(quadrant_video, resize=Resize(height=224, width=160, fit=fit))).data.shape == (3, 224, 160, 3)


@pytest.mark.parametrize("size", [(3, 1000), (1000, 3)])
@pytest.mark.parametrize("fit", ["crop", "squeeze", "letterbox"])
def test_extreme_shapes_have_the_size_asked_for(tmp_path: Path, size: tuple[int, int], fit: Any) -> None:
    path = encode(tmp_path / "strip.mkv", [np.full((*size, 3), 100, np.uint8)])
    assert next(video.read(path, resize=Resize(height=20, width=30, fit=fit, scale=0.9))).data.shape == (1, 20, 30, 3)


# --- pixels that are not square


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", ".mp4"), ("libx264", ".mkv"), ("libx264", ".ts"), ("mpeg4", ".avi")])
@pytest.mark.parametrize("fps", [None, 8])
def test_pixels_that_are_not_square_are_read_square(tmp_path: Path, codec: str, suffix: str, fps: float | None) -> None:
    path = anamorphic(tmp_path / f"dvd{suffix}", [quadrants()] * 9, "3/2", codec)
    pictures = joined(video.read(path, fps=fps)).data
    assert pictures.shape == ((9 if fps is None else 3), 64, 144, 3)
    for picture in pictures:
        assert_corners(picture, RED, GREEN, BLUE, WHITE)


@pytest.mark.parametrize("fit", ["crop", "letterbox", "squeeze"])
@pytest.mark.parametrize(("aspect", "axis"), [("2", 1), ("1/2", 0)])
def test_every_fit_sees_an_anamorphic_video_as_a_player_shows_it(tmp_path: Path, fit: Any, aspect: str, axis: int) -> None:
    shape = Resize(height=32, width=32, fit=fit, interpolation="area")
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[24:40, 24:40] = WHITE
    stored = next(video.read(anamorphic(tmp_path / "stored.mp4", [picture], aspect), resize=shape)).data[0]
    shown = next(video.read(anamorphic(tmp_path / "shown.mp4", [picture.repeat(2, axis)], "1"), resize=shape)).data[0]
    np.testing.assert_allclose(stored, shown, atol=20)
    squeezed = next(video.read(anamorphic(tmp_path / "square.mp4", [picture], "1"), resize=shape)).data[0]
    assert np.array_equal(stored, squeezed) == (fit == "squeeze")


@pytest.mark.parametrize("way", MATRICES)
def test_a_turned_anamorphic_picture_is_stretched_along_its_own_rows(tmp_path: Path, way: int) -> None:
    path = turned(anamorphic(tmp_path / "phone.mp4", [quadrants()], "2"), way)
    expected = upright(quadrants(64, 192), way)
    picture = joined(video.read(path)).data[0]
    assert picture.shape == expected.shape
    assert_corners(picture, *corners(expected))
    assert video.frame_at(path, 0.0).shape == expected.shape


def test_every_frame_of_a_stream_keeps_the_shape_of_its_pixels(tmp_path: Path) -> None:
    path = anamorphic(tmp_path / "broadcast.ts", [quadrants()] * 20, "16/11")
    arrived = [frame for _, _, frame in live(str(path), name="broadcast")]
    convert = video.FrameConverter(None)
    while len(arrived) > 1:  # what one frame knows must not end with another
        arrived.pop(0)
        assert {convert(frame).shape for frame in arrived} == {(64, 140, 3)}


@pytest.mark.parametrize("aspect", ["1", "1280/1281", "1/60", "60"])
def test_a_shape_of_pixels_that_cannot_be_seen_or_believed_changes_nothing(tmp_path: Path, aspect: str) -> None:
    path = anamorphic(tmp_path / "clip.mp4", [quadrants()], aspect)
    assert joined(video.read(path)).data.shape == (1, 64, 96, 3)


# --- files that are short, broken, or no video


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


# --- folders of frame images


def frame_folder(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True)
    for index, name in enumerate(names):
        Image.new("RGB", (20, 10), (index * 10,) * 3).save(folder / name)
    return folder


def test_a_folder_of_images_is_a_video_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    names = [f"frame{number}.png" for number in range(8, 13)]
    folder = frame_folder(tmp_path / "Ordner mit Bildern é", names)
    (folder / ".hidden.png").write_text("no picture")
    (folder / "notes.txt").write_text("no picture")
    frames = joined(video.read(folder))
    assert frames.data.shape == (5, 10, 20, 3)
    assert shown(frames, step=10) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(frames.pts, np.arange(5) / 25)
    assert shown(joined(video.read(folder, fps=10)), step=10) == [0, 2]
    assert is_video(folder)


@pytest.mark.parametrize(
    "names", [["1.png", "2.png", "10.png"], ["a1b2.png", "a1b10.png", "a2b1.png"], ["m²_1.png", "m²_2.png", "m²_11.png"]]
)
def test_numbers_in_names_count_as_numbers(tmp_path: Path, names: list[str]) -> None:
    assert [path.name for path in frame_images(frame_folder(tmp_path / "frames", names))] == names


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    folder = frame_folder(tmp_path / "frames", ["1.png", "2.png"])
    (folder / "2.png").write_text("no picture")
    with pytest.raises(VideoError, match=r"2\.png: not readable as video"):
        list(video.read(folder))


def test_images_of_several_sizes_come_in_blocks_of_their_own(tmp_path: Path) -> None:
    folder = frame_folder(tmp_path / "frames", ["1.png", "2.png"])
    Image.new("RGB", (30, 30)).save(folder / "3.jpg")
    assert [block.data.shape for block in video.read(folder)] == [(2, 10, 20, 3), (1, 30, 30, 3)]


def test_what_counts_as_a_video(tmp_path: Path, ramp_video: RampVideo) -> None:
    folder = frame_folder(tmp_path / "above" / "frames", ["1.jpg", "2.jpg"])
    assert is_video(ramp_video(2, suffix=".MP4"))
    assert is_video(folder)
    assert not is_video(folder / "1.jpg")
    assert not is_video(tmp_path / "above")
    assert not is_video(tmp_path / "none.mp4")
    (folder / "more").mkdir()
    assert not is_video(folder)


# --- the header, and writing


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


def test_write_drops_the_odd_line_and_keeps_the_rate(tmp_path: Path) -> None:
    video.write(tmp_path / "odd.mp4", ramp(6, (33, 47)), fps=30000 / 1001)
    info = video.probe(tmp_path / "odd.mp4")
    assert (info.height, info.width) == (32, 46)
    assert info.fps == pytest.approx(30000 / 1001)


def test_nothing_to_write_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"none\.mp4: no frame to write"):
        video.write(tmp_path / "none.mp4", [], fps=25)
    assert not (tmp_path / "none.mp4").exists()


def test_a_place_that_cannot_be_written_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"missing.clip\.mp4: cannot be written as video"):
        video.write(tmp_path / "missing" / "clip.mp4", ramp(2), fps=25)
    with pytest.raises(VideoError, match=r"clip\.xyz: cannot be written as video"):
        video.write(tmp_path / "clip.xyz", ramp(2), fps=25)


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


# Decoding only what is wanted


@pytest.fixture(scope="module")
def long_gop(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write moving H.264 pictures with B-frames and long groups of pictures."""
    folder = tmp_path_factory.mktemp("gop")

    def write(name: str, count: int = 130, **options: str) -> Path:
        path = folder / name
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


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fps", [8.0, 4.0, 0.7])
@pytest.mark.parametrize("threads", [1, 2])
def test_skipping_gives_the_very_frames_of_full_decoding(
    long_gop: Callable[..., Path], way: str, suffix: str, fps: float, threads: int
) -> None:
    path = long_gop(f"{way}{suffix}", **WAYS[way])
    expected = [(time, frame.to_ndarray(format="rgb24")) for time, frame in at_rate(video.decode(path), fps)]
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


def test_a_record_counts_what_decoding_met(tmp_path: Path) -> None:
    whole = tmp_path / "whole.avi"
    noise = np.random.default_rng(0).integers(0, 256, (40, 32, 48, 3), np.uint8)
    video.write(whole, noise, fps=25, codec="mpeg4")
    data = bytearray(whole.read_bytes())
    zeroed, cut = tmp_path / "zeroed.avi", tmp_path / "cut.avi"
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    zeroed.write_bytes(data)
    cut.write_bytes(whole.read_bytes()[: len(data) // 2])
    records = {}
    for path in (whole, zeroed, cut):
        records[path.stem] = record = Record()
        assert sum(1 for _ in video.decode(path, record=record)) == record.frames
        assert (record.container, record.codec, record.promised_frames) == ("avi", "mpeg4", 40)
        assert (record.width, record.height) == (48, 32)
    healthy, zero, short = records["whole"], records["zeroed"], records["cut"]
    assert (healthy.packets, healthy.frames, healthy.damaged_packets, healthy.damaged_frames) == (40, 40, 0, 0)
    assert zero.damaged_packets + zero.damaged_frames + 40 - zero.packets > 0
    assert short.packets < 30


def test_grey_pictures_are_the_luma_of_the_colour_ones(ramp_video: RampVideo) -> None:
    size = Resize(height=16, width=16, fit="squeeze")
    grey, colour = video.FrameConverter(size, grey=True), video.FrameConverter(size)
    for _, frame in video.decode(ramp_video(10, step=20)):
        assert grey(frame).shape == (16, 16)
        assert np.abs(grey(frame).astype(int) - colour(frame).mean(axis=2)).max() <= 2


def test_the_library_is_heard_only_while_it_is_listened_to(tmp_path: Path) -> None:
    video.write(tmp_path / "a.mkv", (np.full((32, 48, 3), 9 * i, np.uint8) for i in range(10)), fps=25, codec="ffv1")
    data = bytearray((tmp_path / "a.mkv").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "a.mkv").write_bytes(data)
    with complaints() as said:
        list(video.decode(tmp_path / "a.mkv"))
        assert any("CRC" in message for _, _, message in said)
        said.clear()
    list(video.decode(tmp_path / "a.mkv"))
    assert said == []


@pytest.mark.parametrize("side", [20, 32, 40])
def test_a_video_that_has_the_size_already_is_read_whole(tmp_path, side):
    pictures = np.random.default_rng(0).integers(0, 255, (3, side, side, 3), dtype=np.uint8)
    video.write(tmp_path / "a.mp4", list(pictures), fps=8)
    resize = Resize(height=side, width=side, fit="squeeze")
    plain, resized = (
        np.concatenate([block.data for block in video.read(tmp_path / "a.mp4", resize=each)]) for each in (None, resize)
    )
    assert np.array_equal(plain, resized)


@pytest.mark.parametrize(("codec", "suffix", "fps"), [("mpeg4", ".m4v", None), ("libx264", ".ts", None), ("libx264", ".ts", 4)])
def test_a_stream_that_grows_beyond_the_limit_of_pixels_is_refused(
    ramp_video: RampVideo, tmp_path: Path, codec: str, suffix: str, fps: float | None
) -> None:
    def raw(path: Path) -> bytes:
        with av.open(str(path)) as source, av.open(str(tmp_path / "raw"), "w", format="m4v") as out:
            out.add_stream_from_template(source.streams.video[0])
            out.mux([packet for packet in source.demux(video=0) if packet.size])
        return (tmp_path / "raw").read_bytes()

    small, large = (
        ramp_video(30, name=name, codec=codec, suffix=".mkv" if suffix == ".m4v" else suffix, size=size)
        for name, size in (("small", (32, 48)), ("large", (96, 160)))
    )
    path = tmp_path / f"grows{suffix}"
    path.write_bytes(b"".join(raw(each) if suffix == ".m4v" else each.read_bytes() for each in (small, large)))
    assert {frame.width for _, frame in video.wanted_frames(path, fps=fps)} == {48, 160}
    small_only = Trust(pixels=5000)
    assert len(list(video.decode(small, trust=small_only))) == 30
    with pytest.raises(VideoError, match="160 x 96 pixels; at most 5,000 are taken"):
        list(video.wanted_frames(path, fps=fps, trust=small_only))


def animated(path: Path, milliseconds: list[int], **options: Any) -> Path:
    """Write moving pictures that hold theirs for so long: a ramp, frame i with the grey level 20 i."""
    images = [Image.new("RGB", (48, 32), (20 * index,) * 3) for index in range(len(milliseconds))]
    images[0].save(path, save_all=True, append_images=images[1:], duration=milliseconds, **options)
    return path


@pytest.mark.parametrize(("suffix", "options"), [(".webp", {"lossless": True}), (".apng", {"format": "PNG"}), (".gif", {})])
def test_moving_images_are_videos_with_times_of_their_own(tmp_path: Path, suffix: str, options: dict[str, Any]) -> None:
    path = animated(tmp_path / f"a{suffix}", [100, 200, 300, 1000], **options)
    assert is_video(path)
    record = Record()
    found = list(video.decode(path, record=record))
    np.testing.assert_allclose([time for time, _ in found], [0.0, 0.1, 0.3, 0.6], atol=1e-9)
    assert float(found[-1][1].duration * found[-1][1].time_base) == pytest.approx(1.0)
    assert (record.packets, record.frames) == (4, 4)
    frames = joined(video.read(path))
    assert shown(frames, 20) == [0, 1, 2, 3]
    assert video.probe(path).width == 48
    assert len(list(video.wanted_frames(path, fps=4))) == 4  # one each is on screen at 0, 0.25, 0.5 and 0.75 s
    assert shown(Frames(video.frame_at(path, 0.5)[None], np.zeros(1)), 20) == [2]
    assert inspect(path).problem is None


def test_the_header_of_an_animated_webp_tells_its_length(tmp_path: Path) -> None:
    info = video.probe(animated(tmp_path / "a.webp", [100, 200, 300, 1000]))
    assert (info.num_frames, info.duration, info.fps) == (4, pytest.approx(1.6), pytest.approx(2.5))
    assert webp_durations(animated(tmp_path / "b.webp", [0, 40, 40])) == pytest.approx([0.1, 0.04, 0.04])


def test_a_folder_of_animated_webp_holds_clips_and_one_of_still_webp_is_a_clip(tmp_path: Path) -> None:
    moving, still = tmp_path / "set" / "wave", tmp_path / "set" / "still"
    moving.mkdir(parents=True)
    for name in ("a.webp", "b.webp"):
        animated(moving / name, [100, 100])
    frame_folder(still, ["1.webp", "2.webp"])
    assert not is_frame_folder(moving)
    assert not is_video(still / "1.webp")
    assert list_videos(tmp_path / "set").videos == [still, moving / "a.webp", moving / "b.webp"]


def test_an_animated_png_among_frames_gives_its_first_picture(tmp_path: Path) -> None:
    frame_folder(tmp_path / "frames", ["1.png", "3.png"])
    animated(tmp_path / "frames" / "2.png", [100, 100, 100])
    times = [time for time, _ in video.decode(tmp_path / "frames")]
    np.testing.assert_allclose(times, [0.0, 0.04, 0.08])


def test_a_webp_that_is_damaged_or_beyond_the_limits_is_refused(tmp_path: Path) -> None:
    path = animated(tmp_path / "a.webp", [100, 100, 100])
    cut = tmp_path / "cut.webp"
    cut.write_bytes(path.read_bytes()[:60])
    with pytest.raises(VideoError, match=r"cut\.webp: not readable as video"):
        list(video.decode(cut))
    small = Trust(pixels=1000)
    for look in (lambda path: video.probe(path, trust=small), lambda path: list(video.decode(path, trust=small))):
        with pytest.raises(VideoError, match="48 x 32 pixels; at most 1,000 are taken"):
            look(path)
