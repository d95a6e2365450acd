"""Pictures upright, of the right shape and size, in the right colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from gerund import video
from gerund.core.types import Resize
from gerund.video.stream import live
from support.pictures import joined, ramp, shown
from support.videos import MATRICES, anamorphic, encode, turned

RED, GREEN, BLUE, WHITE = (220, 0, 0), (0, 200, 0), (0, 0, 220), (255, 255, 255)


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
