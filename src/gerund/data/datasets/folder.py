"""`folder`: one folder per class, with videos or folders of frame images in it; train / val / test folders above or below are splits."""

from __future__ import annotations

from pathlib import Path

from gerund.core.errors import DataError
from gerund.core.files import readable
from gerund.core.progress import note
from gerund.core.types import Clip
from gerund.data.listing import Listing, Reason, list_videos

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
BESIDE = Reason("video beside the class folders", "videos beside the class folders")
LOOSE = Reason(
    "class folder whose images lie in no folder of their own", "class folders whose images lie in no folder of their own"
)
EMPTY = Reason("class folder without a video", "class folders without a video")
PLAIN_VIDEOS = Reason("video that is a file", "videos that are files")


def load(path: Path, *, split: int | None = None) -> list[Clip]:
    """One clip per video of `path/LABEL/...`; `path/train/LABEL/...` or `path/LABEL/train/...` and its like tell the split."""
    return clips_below(path)


def clips_below(path: Path, *, images_only: bool = False) -> list[Clip]:
    """The clips of a folder, without those that are files where `images_only`. Says what is left out.

    Raises DataError when there is none, and for what looks like a split but cannot be one.
    """
    if not path.is_dir():
        raise DataError(f"{path}: not a folder; give a folder with one sub-folder per class, or a .csv")
    listing = list_videos(path)
    if images_only:
        listing.keep(listing.image_folders, PLAIN_VIDEOS)
    depth = 2 if outer_splits(listing) else 1
    parts = {video: video.relative_to(path).parts for video in listing.videos}
    listing.keep((video for video in parts if len(parts[video]) != depth or video not in listing.image_folders), LOOSE)
    listing.keep((video for video in parts if len(parts[video]) > depth), BESIDE)
    leave_empty_classes(listing, depth)
    if not listing.videos:
        wanted = "VIDEO/000001.jpg" if images_only else "video.mp4"
        raise DataError(
            f"{path}: no clips found ({listing.left_out() or 'it is empty'}); expected {path.name}/LABEL/{wanted}, "
            "one sub-folder per class"
        )
    listing.tell()
    if depth == 2:
        return [
            Clip(path=each, label=readable(parts[each][1]), split=SPLIT_FOLDERS[parts[each][0].lower()])
            for each in listing.videos
        ]
    sides = inner_splits(path, listing.videos)
    return [Clip(path=each, label=readable(parts[each][0]), split=sides.get(each)) for each in listing.videos]


def outer_splits(listing: Listing) -> bool:
    """Whether the class folders lie in folders for the sides of a split. Raises DataError where others lie beside those."""
    folders = {each for each in (*listing.folders, *listing.image_folders) if each.parent == listing.folder}
    named = sorted(folder.name for folder in folders if folder.name.lower() in SPLIT_FOLDERS)
    other = next((folder.name for folder in sorted(folders) if folder.name not in named), None)
    if len(named) > 1 and other is not None:
        raise DataError(
            f"{listing.folder}: {' and '.join(named)} look like splits, but {other} beside them does not; move it elsewhere"
        )
    return bool(named) and other is None


def inner_splits(path: Path, videos: list[Path]) -> dict[Path, str]:
    """Video -> side, where folders in the class folders tell it of all videos; where they know one side only, that is no split."""
    found = {}
    for video in videos:
        for name in video.relative_to(path).parts[1:-1]:
            if name.lower() in SPLIT_FOLDERS:
                found[video] = SPLIT_FOLDERS[name.lower()]
    sides = sorted(set(found.values()))
    if len(sides) < 2:
        if sides:
            note(
                f"{path}: {next(iter(found)).parent} is not taken for the {sides[0]} side of a split, since there is no other side."
            )
        return {}
    outside = next((video for video in videos if video not in found), None)
    if outside is not None:
        raise DataError(
            f"{path}: folders in the class folders look like a split ({' and '.join(sides)}), but {outside} lies outside of them; "
            "move it into one, or rename them"
        )
    return found


def leave_empty_classes(listing: Listing, depth: int) -> None:
    """Count class folders, and folders of a side, in which no video was found."""
    filled = {folder for video in listing.videos for folder in video.parents}
    for folder in listing.folders:
        level = len(folder.relative_to(listing.folder).parts)
        if 0 < level <= depth and folder not in filled and (folder.parent in filled or level == 1):
            listing.leave(EMPTY, folder)
