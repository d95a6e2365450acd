"""What is wrong with a file, judged by what was met while it was decoded: a kind and a sentence, or None.

Kinds: no-video-stream, not-video, truncated, damaged, wrong-extension, black, frozen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from gerund.core.errors import StreamError
from gerund.core.workers import reason
from gerund.video.decoder import Record
from gerund.video.lengths import picture_chunks, promised_bytes

STREAMED = frozenset("dv h264 hevc m4v mjpeg mpeg mpegts mpegvideo obu".split())
"""Formats that may be cut anywhere, and are by recorders: what is wrong with their last CUT packets only is no damage."""
CUT = 6
"""Packets that a cut may spoil: one block of an MPEG programme stream holds several pictures."""
BYTES_MISSING = 8
"""Bytes that a file may be shorter than it says: some writers count their own first header too."""
CORRUPTION = re.compile(r"error|invalid|corrupt|damag|crc|mismatch|overread|conceal|ended prematurely", re.IGNORECASE)
"""Words of the decoder library that mean damage; it says other things at the same level about healthy files."""

CONTAINERS: dict[str, str] = {
    ".avi .divx": "avi",
    ".mp4 .mov .qt .3gp .3g2 .f4v": "mov",
    ".m4v": "mov m4v",
    ".mkv .webm": "matroska",
    ".flv": "flv",
    ".mpg .mpeg .mpe .m2v .vob": "mpeg mpegvideo mpegts",
    ".ts .mts .m2ts": "mpegts",
    ".wmv .asf": "asf",
    ".ogv .ogm": "ogg",
    ".gif": "gif",
    ".apng": "apng",
    ".rm .rmvb": "rm",
    ".mxf": "mxf",
    ".nut": "nut",
    ".dv": "dv",
    ".y4m": "yuv4mpegpipe",
    ".h264 .264": "h264",
    ".h265 .265 .hevc": "hevc",
    ".mjpeg .mjpg": "mjpeg mjpeg_2000",
}
"""Suffixes and the FFmpeg formats that they may hold."""
CONTAINERS_OF = {suffix: set(formats.split()) for suffixes, formats in CONTAINERS.items() for suffix in suffixes.split()}

SIGNATURES = (
    (4, b"ftyp", "an MP4"),
    (4, b"moov", "a QuickTime movie"),
    (4, b"mdat", "a QuickTime movie"),
    (8, b"AVI ", "an AVI"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM"),
    (0, b"FLV", "an FLV"),
    (0, b"\x00\x00\x01\xba", "an MPEG"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "a WMV"),
    (0, b"OggS", "an Ogg"),
    (0, b"GIF8", "a GIF"),
)
"""How the files of known formats start: offset, bytes, name."""


def unreadable(path: Path, record: Record, failure: Exception | None) -> tuple[str, str] | None:
    """Kind and sentence for a file that could not be read to its end."""
    if failure is None:
        return None
    why = reason(path, failure).removeprefix(f"{path}: ")
    if isinstance(failure, StreamError):
        return "no-video-stream", why
    if not record.container:
        name = known_signature(path)
        return (
            ("truncated", f"starts like {name} file, but cannot be opened: cut off, or its index is lost")
            if name
            else ("not-video", why)
        )
    promised = record.promised_frames or 0
    if record.frames:
        return "truncated", f"reading breaks off after {record.frames} frames{f' of {promised}' if promised else ''}"
    if record.packets < max(promised, 1):
        return "truncated", f"a header{f' that promises {promised} frames' if promised else ''}, but not one frame behind it"
    return "damaged", f"none of its {record.packets} packets can be decoded"


def known_signature(path: Path) -> str | None:
    if path.is_dir():
        return None
    with path.open("rb") as file:
        start = file.read(16)
    return next((name for offset, sign, name in SIGNATURES if start[offset:].startswith(sign)), None)


def damaged(path: Path, record: Record, heard: Sequence[tuple[int, str]]) -> tuple[str, str] | None:
    """Kind and sentence for a file that was read to its end, but is not what was once written.

    `heard` is what the decoder complained about, each with the number of the packet that it had been given.
    """
    there, promised = (0, 0) if path.is_dir() else (path.stat().st_size, promised_bytes(path))
    cut = there < promised - BYTES_MISSING
    frames = record.promised_frames or 0
    if record.container == "avi" and frames > record.packets:
        chunks = max(picture_chunks(path), record.packets)
        if chunks < frames:
            return "truncated" if cut else "damaged", f"the header promises {frames} frames, {chunks} are there"
    if cut and record.container != "avi":
        return "truncated", f"by its own account the file is {promised} bytes long, {there} are there"
    first = min([record.damaged_from, *(number for number, _ in heard)])
    if record.container in STREAMED and not record.zeroed_packets and first > record.packets - CUT:
        return None
    counts = {
        "damaged packets": record.damaged_packets,
        "damaged frames": record.damaged_frames,
        "packets with a hole of zeros": record.zeroed_packets,
    }
    if any(counts.values()):
        sentence = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        return "damaged", f"{sentence} ({record.frames} frames decoded)"
    if heard:
        return "damaged", f"the decoder complains: {heard[0][1]}" + (f" (and {len(heard) - 1} more)" if len(heard) > 1 else "")
    return None


def misleading(path: Path, record: Record, *, shines: bool, moves: bool) -> tuple[str, str] | None:
    """Kind and sentence for a whole file that is not what it seems: another format, or no moving picture."""
    expected = CONTAINERS_OF.get(path.suffix.lower())
    found = set(record.container.split(","))
    if expected and path.is_file() and not expected & found:
        return "wrong-extension", f"named {path.suffix}, but its format is {record.container}"
    if not shines:
        return "black", f"black from the first frame to the last ({record.frames} frames)"
    if not moves:
        frames = f"{record.frames} frames without any movement" if record.frames > 1 else "a single frame"
        return "frozen", f"a still picture: {frames}"
    return None
