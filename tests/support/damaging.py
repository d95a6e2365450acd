"""Ways to spoil a copy of a video; shared by the doctor's tests and benchmarks/corruption.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from gerund import video
from gerund.core.types import Clip

Damage = Callable[[Path, Path], Path]
"""Takes a healthy video and a path without suffix; writes the spoiled copy and returns its path."""


def truncated(source: Path, target: Path) -> Path:
    data = source.read_bytes()
    return written(target, source.suffix, data[: len(data) * 7 // 10])


def zeroed(source: Path, target: Path) -> Path:
    data = bytearray(source.read_bytes())
    middle, length = len(data) // 2, len(data) // 50
    data[middle : middle + length] = bytes(length)
    return written(target, source.suffix, data)


def text(source: Path, target: Path) -> Path:
    return written(target, source.suffix, f"These are notes on {source.name}.\n".encode() * 50)


def empty(source: Path, target: Path) -> Path:
    return written(target, source.suffix, b"")


def audio_only(source: Path, target: Path) -> Path:
    path = target.with_suffix(".avi")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        tone = (8000 * np.sin(np.arange(32000) / 20)).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        frame.sample_rate = 16000
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
    return path


def header_only(source: Path, target: Path) -> Path:
    data = source.read_bytes()
    mark = data.find(b"movi")
    return written(target, source.suffix, data[: mark + 4 if mark > 0 else 600])


def wrong_extension(source: Path, target: Path) -> Path:
    return written(target, ".mp4" if source.suffix == ".avi" else ".avi", source.read_bytes())


def duplicate(source: Path, target: Path) -> Path:
    return written(target, source.suffix, source.read_bytes())


def mirrored(source: Path, target: Path) -> Path:
    return re_encoded(source, target, lambda frame: frame[:, ::-1])


def half_size(source: Path, target: Path) -> Path:
    def halved(frame: np.ndarray) -> np.ndarray:
        height, width = (side // 2 for side in frame.shape[:2])
        return frame[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3).mean(axis=(1, 3)).astype(np.uint8)

    return re_encoded(source, target, halved)


def re_encoded(source: Path, target: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    path = target.with_suffix(".mp4")
    frames = (np.ascontiguousarray(change(frame)) for block in video.read(source) for frame in block.data)
    video.write(path, frames, fps=video.probe(source).fps or 25, options={"preset": "veryfast"})
    return path


def written(target: Path, suffix: str, data: bytes | bytearray) -> Path:
    path = target.with_suffix(suffix)
    path.write_bytes(data)
    return path


TEN_WAYS: dict[str, tuple[Damage, set[str]]] = {
    "truncated": (truncated, {"truncated"}),
    "a span zeroed": (zeroed, {"damaged"}),
    "text, renamed": (text, {"not-video"}),
    "empty": (empty, {"empty"}),
    "audio only": (audio_only, {"no-video-stream"}),
    "header only": (header_only, {"truncated", "not-video"}),
    "wrong extension": (wrong_extension, {"wrong-extension"}),
    "duplicate, renamed": (duplicate, {"duplicate"}),
    "mirrored re-encode": (mirrored, {"near-duplicate"}),
    "half-size re-encode": (half_size, {"near-duplicate"}),
}
"""Kind of damage -> how it is done, and the kinds of finding that name it."""


def spoil(clips: list[Clip], folder: Path, damage: Damage, name: str) -> list[Clip]:
    """Spoiled copies of clips, in `folder`, beside which the originals are in use: same label, split and group."""
    slug = "".join(letter if letter.isalnum() else "_" for letter in name)
    copies = []
    for number, clip in enumerate(clips):
        path = damage(clip.path, folder / f"{slug}_{number}")
        copies.append(Clip(path=path, label=clip.label, split=clip.split, group=clip.group))
    return copies
