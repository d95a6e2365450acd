"""Folders of images and images that move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gerund import video
from gerund.core.errors import VideoError
from gerund.core.types import Frames
from gerund.data.listing import list_videos
from gerund.diagnosis.inspection import inspect
from gerund.video.container import Trust
from gerund.video.decoder import Record
from gerund.video.formats import frame_images, is_frame_folder, is_video, webp_durations
from support.pictures import RampVideo, frame_folder, joined, shown


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
