"""`ucf101`: UCF-101 (Soomro et al. 2012, arXiv:1212.0402) in its own layout, with its official train/test lists."""

from __future__ import annotations

import re
from pathlib import Path

from gerund.errors import DataError, UsageError
from gerund.types import Clip

SPLITS = (1, 2, 3)
NAME = re.compile(r"(v_.+_g\d+)_c\d+$")


def load(path: Path, *, split: int | None = None) -> list[Clip]:
    """Clips of `path/UCF-101` under official split 1 (the default), 2 or 3 of `path/ucfTrainTestlist`.

    A label is the name of the folder that the list names: the set has HandstandPushups/v_HandStandPushups_g01_c01.avi. A group is one
    source video. Raises DataError when a list or a listed file is missing.
    """
    if (split := 1 if split is None else split) not in SPLITS:
        raise UsageError(f"--split {split}: UCF-101 has the official splits 1, 2 and 3")
    videos, lists = path / "UCF-101", path / "ucfTrainTestlist"
    for folder in (videos, lists):
        if not folder.is_dir():
            raise DataError(f"{folder}: missing; {path} must hold the folders UCF-101 and ucfTrainTestlist as published")
    clips = [
        Clip(path=videos / name, label=name.parts[0], split=side, group=group_of(name))
        for side in ("train", "test")
        for name in listed(lists / f"{side}list{split:02d}.txt")
    ]
    missing = [clip.path for clip in clips if not clip.path.exists()]
    if missing:
        raise DataError(
            f"{missing[0]}: listed but not there ({len(missing)} of {len(clips)} clips missing); is the download complete?"
        )
    return clips


def listed(path: Path) -> list[Path]:
    """The files that a list names, with or without the class number behind (train lists have it, test lists do not)."""
    if not path.is_file():
        raise DataError(f"{path}: missing; it is part of the published ucfTrainTestlist")
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Path(*line.split()[0].split("/")) for line in lines if line.strip()]


def group_of(name: Path) -> str:
    match = NAME.match(name.stem)
    if not match:
        raise DataError(f"{name}: not a UCF-101 name (v_Class_gNN_cNN.avi), so its group is unknown")
    return match[1]
