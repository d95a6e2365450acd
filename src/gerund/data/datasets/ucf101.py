"""`ucf101`: UCF-101 (Soomro et al. 2012, arXiv:1212.0402) in its own layout, with its official train/test lists.

`ucf101-top5`: five of its classes, the sample of the Keras video classification examples.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from gerund.core.errors import DataError, UsageError
from gerund.core.texts import named_file, read_lines, read_table
from gerund.core.types import Clip
from gerund.data.datasets.files import tell_used
from gerund.data.listing import list_videos

UCF_SPLITS = (1, 2, 3)
TOP5 = frozenset("CricketShot PlayingCello Punch ShavingBeard TennisSwing".split())
UCF_NAME = re.compile(r"(v_.+_g\d+)_c\d+$")


def load(path: Path, *, split: int | None = None) -> list[Clip]:
    """Clips of `path/UCF-101` under official split 1 (the default), 2 or 3 of `path/ucfTrainTestlist`.

    A label is the name of the folder that the list names: the set has HandstandPushups/v_HandStandPushups_g01_c01.avi. A group is one
    source video. Raises DataError when a list is missing.
    """
    return told(path / "UCF-101", listed_clips(path, split))


def told(folder: Path, clips: list[Clip]) -> list[Clip]:
    """The clips, once it was said which videos of the folder they leave out."""
    if clips:
        tell_used(list_videos(folder), clips)
    return clips


def listed_clips(path: Path, split: int | None) -> list[Clip]:
    if (split := 1 if split is None else split) not in UCF_SPLITS:
        raise UsageError(f"--split {split}: UCF-101 has the official splits 1, 2 and 3")
    videos, lists = path / "UCF-101", path / "ucfTrainTestlist"
    for folder in (videos, lists):
        if not folder.is_dir():
            raise DataError(f"{folder}: missing; {path} must hold the folders UCF-101 and ucfTrainTestlist as published")
    return [
        Clip(path=videos / name, label=name.parent.name, split=side, group=group)
        for side in ("train", "test")
        for name, group in ucf_listed(lists / f"{side}list{split:02d}.txt")
    ]


def load_top5(path: Path, *, split: int | None = None) -> list[Clip]:
    """Clips of the classes TOP5: of the sample as published (train, test, train.csv, test.csv), or of the whole UCF-101.

    The sample is official split 1: 594 clips to train on, 224 to test.
    """
    sample = next((folder for folder in (path, path / "ucf101_top5") if (folder / "train.csv").is_file()), None)
    if sample is None:
        return told(path / "UCF-101", [clip for clip in listed_clips(path, split) if clip.label in TOP5])
    if split not in (None, 1):
        raise UsageError(f"--split {split}: the sample {sample} is split 1; the others need the whole UCF-101")
    clips = [
        Clip(
            path=named_file(sample / side, name),
            label=label,
            split=side,
            group=ucf_group(Path(name), str(sample / f"{side}.csv")),
        )
        for side in ("train", "test")
        for name, label in sample_rows(sample / f"{side}.csv")
    ]
    return told(sample, clips)


def sample_rows(path: Path) -> list[tuple[str, str]]:
    """(file name, label) of a CSV with the columns video_name and tag."""
    if not path.is_file():
        raise DataError(f"{path}: missing; it is part of the published sample")
    table = read_table(path, ("video_name", "tag"))
    if not {"video_name", "tag"} <= set(table.columns):
        raise DataError(f"{path}:1: expected the columns video_name and tag, found {', '.join(table.columns) or 'nothing'}")
    rows = []
    for line, row in table.rows:
        if not row.get("video_name") or row.get("tag") not in TOP5:
            raise DataError(f"{path}:{line}: {row.get('tag')!r} is not one of {', '.join(sorted(TOP5))}, or the name is empty")
        rows.append((row["video_name"], row["tag"]))
    return rows


def ucf_listed(path: Path) -> list[tuple[Path, str]]:
    """The files that a list names, with their groups; train lists have a class number behind each, test lists do not."""
    if not path.is_file():
        raise DataError(f"{path}: missing; it is part of the published ucfTrainTestlist")
    names = [(line, Path(PurePosixPath(text.split()[0].replace("\\", "/")))) for line, text in read_lines(path)]
    if not names:
        raise DataError(f"{path}: the list is empty")
    return [(name, ucf_group(name, f"{path}:{line}")) for line, name in names]


def ucf_group(name: Path, where: str) -> str:
    match = UCF_NAME.match(name.stem)
    if not match:
        raise DataError(f"{where}: {name} is not a UCF-101 name (v_Class_gNN_cNN.avi), so its group is unknown")
    return match[1]
