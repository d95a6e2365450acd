"""Files of many kinds give each picture, once, upright, at its time; however many threads read them, alone or among others.

Every picture has a grey level of its own and one bright corner. `benchmarks/fidelity.py` asks the same of many more kinds, and of ffmpeg.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from gerund import video
from gerund.core.types import Resize
from gerund.core.workers import Finished
from gerund.diagnosis.inspection import inspect
from gerund.video.pool import Decoded, DecodeJob, DecodePool, Reading

COUNT, FPS, STEP = 24, 24, 8
HEIGHT, WIDTH = 48, 64
B_FRAMES = {"crf": "4", "preset": "veryfast", "x264-params": "bframes=3:b-adapt=0:keyint=12:open-gop=1"}

KINDS: dict[str, dict[str, Any]] = {
    "b-frames.mp4": {"codec": "libx264", "options": B_FRAMES},
    "b-frames, sound first.mp4": {"codec": "libx264", "options": B_FRAMES, "sound": "aac"},
    "b-frames, sound first.mkv": {"codec": "libx264", "options": B_FRAMES, "sound": "aac"},
    "b-frames, sound first.ts": {"codec": "libx264", "options": B_FRAMES, "sound": "mp2"},
    "b-frames.avi": {"codec": "libx264", "options": B_FRAMES},
    "raw.h264": {"codec": "libx264", "options": B_FRAMES},
    "mpeg-4 b-frames, sound first.avi": {"codec": "mpeg4", "options": {"bf": "2", "b": "4M"}, "sound": "mp2"},
    "mpeg-2.mpg": {"codec": "mpeg2video", "options": {"bf": "2", "b": "8M"}, "sound": "mp2"},
    "vp9, sound first.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "b": "2M"}, "sound": "libopus"},
    "motion jpeg.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {"qmin": "1", "qmax": "2"}, "sound": "pcm_s16le"},
    "prores, sound first.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le", "sound": "pcm_s16le"},
    "ffv1.mkv": {"codec": "ffv1", "pix_fmt": "yuv420p"},
}


def card(number: int) -> np.ndarray:
    """Picture `number`, (H, W, 3) uint8: a grey level of its own, and white in the corner above left."""
    picture = np.full((HEIGHT, WIDTH, 3), 20 + STEP * number, np.uint8)
    picture[: HEIGHT // 4, : WIDTH // 4] = 255
    return picture


def numbers(pictures: np.ndarray) -> list[int]:
    """Which card each picture is; a corner that is not above left makes it none."""
    corners = pictures[:, [2, 2, -3, -3], [2, -3, 2, -3], 0].astype(int)
    upright = (corners[:, 0] > 230) & (corners[:, 1:].max(axis=1) < 230)
    levels = np.rint((pictures[:, HEIGHT // 2 :, WIDTH // 2 :].mean(axis=(1, 2, 3)) - 19) / STEP).astype(int)
    return np.where(upright, levels, -1).tolist()


def encode(
    path: Path, *, codec: str, pix_fmt: str = "yuv420p", options: dict[str, str] | None = None, sound: str | None = None
) -> Path:
    """Write the cards, and in front of them in the file, if it is asked for, a sound of the same length."""
    with av.open(str(path), "w") as out:
        tone: Any = out.add_stream(sound, rate=48000, layout="mono") if sound else None
        stream: Any = out.add_stream(codec, rate=FPS, options=options or {})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, pix_fmt
        stream.codec_context.time_base = Fraction(1, FPS)
        for number in range(COUNT):
            if tone is not None:
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 48000 // FPS), np.int16), format="s16", layout="mono")
                silence.sample_rate, silence.pts, silence.time_base = 48000, number * 48000 // FPS, Fraction(1, 48000)
                out.mux(tone.encode(silence))
            frame = av.VideoFrame.from_ndarray(card(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            out.mux(stream.encode(frame))
        for each in (tone, stream):
            if each is not None:
                out.mux(each.encode())
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("kinds")
    return {name: encode(folder / name, **kind) for name, kind in KINDS.items()}


def read(path: Path, *, fps: float | None = None, threads: int = 1) -> tuple[list[int], np.ndarray]:
    """Which cards a file gives, and when."""
    blocks = list(video.read(path, fps=fps, threads=threads))
    return numbers(np.concatenate([block.data for block in blocks])), np.concatenate([block.pts for block in blocks])


@pytest.mark.parametrize("name", KINDS)
def test_every_picture_is_read_once_at_its_time_whatever_the_number_of_threads(files: dict[str, Path], name: str) -> None:
    for threads in (1, 2, 8):
        shown, times = read(files[name], threads=threads)
        assert shown == list(range(COUNT))
        np.testing.assert_allclose(times - times[0], np.arange(COUNT) / FPS, atol=0.0011)
        assert times[0] < 0.06  # the sound may begin some milliseconds earlier


@pytest.mark.parametrize("name", KINDS)
def test_at_a_rate_the_pictures_on_screen_at_its_instants_are_read(files: dict[str, Path], name: str) -> None:
    _, times = read(files[name])
    instants = np.arange(0, times[-1] + 1 / FPS - 0.001, 1 / 8) + 0.001
    expected = [number for number in np.searchsorted(times, instants, side="right") - 1 if number >= 0]
    for threads in (1, 8):
        shown, at = read(files[name], fps=8, threads=threads)
        assert shown == expected
        np.testing.assert_allclose(at, times[expected], atol=0.0011)


def test_a_pool_reads_the_same_pictures_among_many_files(files: dict[str, Path]) -> None:
    paths = list(files.values())
    found: dict[int, list[np.ndarray]] = {index: [] for index in range(len(paths))}
    with DecodePool(Reading(fps=None, resize=Resize(height=HEIGHT, width=WIDTH, fit="squeeze")), 2) as pool:
        for event in pool.run(DecodeJob(index=index, path=path) for index, path in enumerate(paths)):
            if isinstance(event, Decoded):
                found[event.index].append(event.frames.copy())
                event.release()
            elif isinstance(event, Finished):
                assert event.error is None
    for index, path in enumerate(paths):
        assert numbers(np.concatenate(found[index])) == list(range(COUNT)), path.name


@pytest.mark.parametrize("name", KINDS)
def test_the_doctor_calls_each_of_them_healthy(files: dict[str, Path], name: str) -> None:
    assert (inspect(files[name]).problem, inspect(files[name]).reason) == (None, "")


@pytest.mark.parametrize("name", [*KINDS, "raw.m2v"])
def test_the_picture_on_screen_at_a_time_is_found(files: dict[str, Path], tmp_path: Path, name: str) -> None:
    path = files.get(name) or encode(tmp_path / name, codec="mpeg2video", options={"bf": "2", "b": "8M", "g": "12"})
    _, times = read(path)
    for number in (5, 14, 20):
        assert numbers(video.frame_at(path, times[number] + 0.5 / FPS)[None]) == [number]


def test_turned_files_are_read_upright_and_mirrored_ones_mirrored(files: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(files["b-frames.mp4"].read_bytes())
    at = data.index(b"tkhd") + 44
    for matrix, corner in {
        (1, 0, 0, 1): (2, 2),
        (-1, 0, 0, -1): (-3, -3),
        (0, 1, -1, 0): (2, -3),
        (0, -1, 1, 0): (-3, 2),
        (-1, 0, 0, 1): (2, -3),
        (1, 0, 0, -1): (-3, 2),
        (0, 1, 1, 0): (2, 2),
        (0, -1, -1, 0): (-3, -3),
    }.items():
        a, b, c, d = (value << 16 for value in matrix)
        struct.pack_into(">9i", data, at, a, b, 0, c, d, 0, 0, 0, 1 << 30)
        (tmp_path / "turned.mp4").write_bytes(data)
        picture = next(video.read(tmp_path / "turned.mp4")).data[0]
        assert picture.shape[:2] == ((WIDTH, HEIGHT) if a == 0 else (HEIGHT, WIDTH))
        bright = [(y, x) for y in (2, -3) for x in (2, -3) if picture[y, x, 0] > 230]
        assert bright == [corner], matrix


def exp_golomb(value: int) -> str:
    """The bits of a number as H.264 writes it: as many zeros in front as bits follow the first one."""
    return f"{value + 1:b}".rjust(2 * (value + 1).bit_length() - 1, "0")


def unit(kind: int, bits: str) -> bytes:
    bits += "1"
    bits += "0" * (-len(bits) % 8)
    return b"\0\0\0\1" + bytes([kind]) + int(bits, 2).to_bytes(len(bits) // 8, "big")


def pairs_of_fields(path: Path, pictures: np.ndarray) -> Path:
    """H.264 as broadcasters and AVCHD camcorders write it: grey pictures (N, H, W) uint8 of two fields, each a packet of its own.

    No encoder at hand writes such streams, so this is one: all blocks are I_PCM, the pixels as they are (ITU-T H.264, 7.3).
    """
    ue = exp_golomb
    height, width = pictures.shape[1:]
    size = ue(width // 16 - 1) + ue(height // 32 - 1)
    stream = unit(0x67, f"{77:08b}{0:08b}{30:08b}" + ue(0) + ue(0) + ue(2) + ue(1) + "0" + size + "00100")
    stream += unit(0x68, ue(0) + ue(0) + "00" + 3 * ue(0) + "000" + 3 * ue(0) + "000")
    for number, picture in enumerate(pictures):
        for bottom in (0, 1):
            first = number == 0 and not bottom
            bits = ue(0) + ue(7) + ue(0) + f"{number % 16:04b}1{bottom}" + (ue(0) + "00" if first else "0") + ue(0)
            for top in range(bottom, height, 32):
                for left in range(0, width, 16):
                    bits += ue(25)
                    bits += "0" * (-len(bits) % 8)
                    block = picture[top : top + 32 : 2, left : left + 16]
                    bits += "".join(f"{value:08b}" for value in block.ravel()) + f"{128:08b}" * 128
            stream += unit(0x65 if first else 0x21, bits)
    raw = path.with_suffix(".h264")
    raw.write_bytes(stream)
    with av.open(str(raw)) as source, av.open(str(path), "w") as out:
        copied = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(packet for packet in source.demux() if packet.size):
            packet.stream, packet.time_base = copied, Fraction(1, 2 * FPS)
            packet.pts = packet.dts = number
            out.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".mp4"])
def test_pictures_of_two_fields_in_packets_of_their_own_are_all_read_and_healthy(tmp_path: Path, suffix: str) -> None:
    levels = 20 + STEP * np.arange(COUNT, dtype=np.uint8)
    pictures = np.broadcast_to(levels[:, None, None], (COUNT, 32, 32)).copy()
    pictures[:, :8, :8] = 235
    path = pairs_of_fields(tmp_path / f"fields{suffix}", pictures)
    for threads in (1, 8):
        for fps, wanted in ((None, range(COUNT)), (10, [0, 2, 4, 7, 9, 12, 14, 16, 19, 21])):
            times = np.concatenate([block.pts for block in video.read(path, fps=fps, threads=threads)])
            np.testing.assert_allclose(times, np.array(wanted) / FPS, atol=0.0011)
    seen = inspect(path)
    assert (seen.problem, seen.record.packets, seen.record.frames) == (None, 2 * COUNT, COUNT)
