"""Which paths are videos: by their names, and by what lies in a folder. Nothing is decoded."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from gerund.core.errors import VideoError

VIDEO_SUFFIXES = frozenset(
    ".264 .265 .3g2 .3gp .3gpp .360 .amv .apng .asf .avi .avc .cine .dav .divx .dv .f4v .flv .gif .gxf .h264 .h265 .hevc .insv .ismv .ivf"
    " .m1v .m2p .m2t .m2ts .m2v .m4v .mjp .mjpeg .mjpg .mk3d .mkv .mod .mov .mp4 .mp4v .mpe .mpeg .mpeg4 .mpg .mpv .mqv .mts .mxf .nsv"
    " .nut .obu .ogm .ogv .qt .rm .rmvb .tod .tp .trp .ts .vob .vro .webm .wmv .wtv .xvid .y4m".split()
)

CAMERA_COPIES = frozenset(".lrf .lrv".split())
"""What cameras call the small copy that they write beside a clip: a video, but the same one again."""

OF_THE_SYSTEM = frozenset(("@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__macosx"))
"""Folders that file servers and systems make for themselves."""

IMAGE_SUFFIXES = frozenset(".bmp .jpeg .jpg .png .tif .tiff .webp".split())

MOVING_SUFFIXES = VIDEO_SUFFIXES | {".webp"}
"""What a list may call a video: a WebP may move."""

FRAME_FOLDER_FPS = 25.0
"""Frames per second of a folder of images, which carries no times of its own."""


def is_frame_folder(path: Path) -> bool:
    """Whether a folder holds frame images, and neither videos nor folders of its own."""
    if not path.is_dir():
        return False
    with os.scandir(path) as entries:
        return holds_frames(list(entries))


def holds_frames(entries: Sequence[os.DirEntry[str]]) -> bool:
    """Whether what lies in a folder makes it a video: images, and beside them neither videos (of which they are covers) nor folders."""
    seen = [entry for entry in entries if not is_hidden(entry.name)]
    suffixes = {".gif" if is_animated(Path(entry.path)) else Path(entry.name).suffix.lower() for entry in seen}
    return (
        bool(suffixes & IMAGE_SUFFIXES) and not suffixes & (VIDEO_SUFFIXES | CAMERA_COPIES) and not any(e.is_dir() for e in seen)
    )


def is_hidden(name: str) -> bool:
    """Whether a name says that what bears it is not for people: a dot in front (._clip.mp4 too), or a folder OF_THE_SYSTEM."""
    return name.startswith(".") or name.lower() in OF_THE_SYSTEM


def is_video(path: Path) -> bool:
    """Whether a path looks like a video: a file with a video suffix, an animated WebP, or a folder of frame images."""
    return path.suffix.lower() in VIDEO_SUFFIXES or is_animated(path) if path.is_file() else is_frame_folder(path)


def is_animated(path: Path) -> bool:
    """Whether a file named .webp holds moving pictures."""
    return path.suffix.lower() == ".webp" and bool(webp_durations(path, most=1))


def webp_durations(path: Path, *, most: int | None = None) -> list[float]:
    """For how many seconds each picture of an animated WebP is shown, of the first `most` only; [] for anything else.

    Up to 10 ms count as 100, as in browsers.
    """
    durations: list[float] = []
    if not path.is_file():
        return durations
    with path.open("rb") as file:
        head = file.read(30)
        if head[:4] != b"RIFF" or head[8:16] != b"WEBPVP8X" or not head[20] & 2:
            return durations
        while len(durations) != most and len(chunk := file.read(8)) == 8:
            size = int.from_bytes(chunk[4:], "little")
            size += size % 2
            if chunk[:4] == b"ANMF":
                milliseconds = int.from_bytes(file.read(16)[12:15], "little")
                durations.append((milliseconds if milliseconds > 10 else 100) / 1000)
                size -= 16
            file.seek(max(size, 0), os.SEEK_CUR)
    return durations


def frame_images(folder: Path) -> list[Path]:
    """The images of a frame folder in the order of the numbers in their names (frame2 before frame10), at least one."""
    images = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")]
    if not images:
        raise VideoError(f"{folder}: a folder without frame images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    if not is_frame_folder(folder):
        raise VideoError(f"{folder}: its images are no frames, since videos or folders lie beside them; name what lies in it")
    return sorted(images, key=natural_order)


def natural_order(path: Path) -> tuple[list[int | str], str]:
    """Sorts names by the numbers in them; frame1 and frame01, equal as numbers, by their letters."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)], path.name
