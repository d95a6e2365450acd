"""Archives of a few members, and what lies in a folder."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

MEMBERS = {"set/wave é/a 1.avi": b"hello", "set/list.txt": b"x" * 3000}


def make_zip(path: Path, members: dict[str, bytes] = MEMBERS) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def make_tar(path: Path, members: dict[str, bytes] = MEMBERS) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o6755
            file.addfile(info, io.BytesIO(data))
    return path


def block(kind: int, flags: int, body: bytes, data: bytes = b"") -> bytes:
    head = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
    return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head + data


def make_rar(path: Path, members: dict[str, bytes]) -> Path:
    """A RAR 4 archive whose members are stored as they are."""
    content = b"Rar!\x1a\x07\x00" + block(0x73, 0, bytes(6))
    for name, data in members.items():
        size, plain = len(data), name.replace("/", "\\").encode("ascii")
        sizes = struct.pack("<IIBIIBBHI", size, size, 3, zlib.crc32(data), 0x5A210000, 20, 0x30, len(plain), 0o100644)
        content += block(0x74, 0x8000, sizes + plain, data)
    path.write_bytes(content + block(0x7B, 0x4000, b""))
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def like_rar(path: Path, members: dict[str, bytes] = MEMBERS) -> Path:
    make_tar(path, members)
    path.write_bytes(b"Rar!\x1a\x07\x01\x00" + path.read_bytes())
    return path
