"""What decoding meets, and what it is held to."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from gerund import video
from gerund.core.errors import VideoError
from gerund.core.types import Resize
from gerund.video.container import Trust, complaints
from gerund.video.decoder import Record
from support.pictures import RampVideo


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
