"""How long a file is by its own account: containers are made of parts that each say how long they are."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO

PICTURES = (b"dc", b"db")
"""How the names of AVI chunks with pictures end: compressed, and not; in front stands the number of the stream."""


def promised_bytes(path: Path) -> int:
    """Where the last part of a file ends as the parts say themselves; 0 for a format whose parts do not say it, or are not known."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        end = next((end_of_parts(file, size, length_of) for knows, length_of in WALKS if knows(head)), 0)
        return max(end, flv_size(file)) if head.startswith(b"FLV") else end


def end_of_parts(file: IO[bytes], size: int, length_of: Callable[[bytes, int], int]) -> int:
    """Go from part to part until one ends at the end of the file, or beyond; stop where no part begins."""
    at = 0
    while at < size:
        file.seek(at)
        length = length_of(file.read(20), at)
        if not length:
            break
        at += length
    return at


def box_length(head: bytes, _: int) -> int:
    """MP4 and QuickTime: 4 bytes length, 4 letters; a length of 1 stands for 8 more bytes, of 0 for the rest of the file."""
    length, name = int.from_bytes(head[:4], "big"), head[4:8]
    if len(name) < 4 or not name.isascii() or not name.isalnum():
        return 0
    return int.from_bytes(head[8:16], "big") if length == 1 else length if length >= 8 else 0


def element_length(head: bytes, _: int) -> int:
    """Matroska and WebM: the file is an EBML header and segments. All ones is a length that nobody knew when the file was begun."""
    names = [name for name in (b"\x1aE\xdf\xa3", b"\x18S\x80g", b"\xec", b"\xbf") if head.startswith(name)]
    if not names or len(head) <= len(names[0]) or not head[len(names[0])]:
        return 0
    start = len(names[0])
    width = 9 - head[start].bit_length()
    value = int.from_bytes(head[start : start + width], "big") & ((1 << 7 * width) - 1)
    return 0 if value == (1 << 7 * width) - 1 else start + width + value


def riff_length(head: bytes, _: int) -> int:
    """AVI and WebP: one RIFF chunk, of a large AVI several."""
    return 8 + int.from_bytes(head[4:8], "little") if head.startswith(b"RIFF") and len(head) >= 8 else 0


def tag_length(head: bytes, at: int) -> int:
    """FLV: a header of 9 bytes, then tags of sound (8), pictures (9) and words (18), each followed by 4 bytes."""
    if at == 0:
        return 9 + 4
    return 11 + int.from_bytes(head[1:4], "big") + 4 if head[0] in (8, 9, 18) and len(head) >= 4 else 0


def flv_size(file: IO[bytes]) -> int:
    """What the words in front of an FLV say of its size, which most have: a cut between two tags is seen by it alone."""
    file.seek(0)
    words, name = file.read(4096), b"filesize\0"  # a zero announces a number of 8 bytes
    at = words.find(name) + len(name)
    if at < len(name) or len(words) < at + 8:
        return 0
    (value,) = struct.unpack(">d", words[at : at + 8])
    return int(value) if 0 < value < 2**62 else 0


WALKS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes, int], int]], ...] = (
    (lambda head: head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"), box_length),
    (lambda head: head.startswith(b"\x1aE\xdf\xa3"), element_length),
    (lambda head: head.startswith(b"RIFF"), riff_length),
    (lambda head: head.startswith(b"FLV"), tag_length),
)


def picture_chunks(path: Path) -> int:
    """How many chunks of pictures an AVI holds, the empty ones too: those stand for the picture before them, and no decoder sees them."""
    size, at, count = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            name, length = file.read(4), int.from_bytes(file.read(4), "little")
            if name in (b"RIFF", b"LIST"):
                inside = file.read(4) in (b"AVI ", b"AVIX", b"movi", b"rec ")
                at += 12 if inside else 8 + length + length % 2
            elif not name.isalnum():
                break
            else:
                count += name[2:] in PICTURES
                at += 8 + length + length % 2
    return count
