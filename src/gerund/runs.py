"""Run folders: runs/train, runs/train-2 ... and the plain files in them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from gerund.errors import DataError, UsageError
from gerund.files import LENIENT, check_name, whole, write_bytes
from gerund.printing import json_text

RUNS = Path("runs")
FINETUNE = "finetune"
"""Folder in a run for what the fine-tuning of the backbone leaves."""


def check_free(out: Path | None) -> None:
    """Raise UsageError when a given run folder is in use, or has a name that cannot be; to be called before hours of work."""
    if out is None:
        return
    check_name("--out", out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out}: exists and is not empty; choose another folder")


def make_run_folder(out: Path | None, name: str = "train") -> Path:
    """The given folder, or the next free one of runs/NAME, runs/NAME-2 ... Raises UsageError when the given one is in use."""
    check_free(out)
    try:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            return out
        number = 1
        while True:
            run = RUNS / (name if number == 1 else f"{name}-{number}")
            try:
                run.mkdir(parents=True)
                return run
            except FileExistsError:
                number += 1
    except OSError as error:
        where = out or RUNS.absolute()
        raise DataError(f"{where}: the run folder cannot be made ({error.strerror}); choose one with --out") from None


def find_checkpoint(resume: Path) -> Path:
    """The checkpoint that `--resume` means: a .ckpt file, the last one of a run folder, or for `last` the one of the newest run.

    While a run is still fine-tuning, its last one is that of the fine-tuning. One that is not there means that the run, stopped before
    its first epoch was over or solved at once, has to begin anew.
    """
    if str(resume) == "last":
        found = sorted(
            [*RUNS.glob("train*/last.ckpt"), *RUNS.glob(f"train*/{FINETUNE}/last.ckpt")], key=lambda path: path.stat().st_mtime
        )
        if not found:
            raise UsageError(f"--resume: no run to go on with in {RUNS.absolute()}; name a run folder")
        return found[-1]
    path = resume / "last.ckpt" if resume.is_dir() else resume
    if not path.is_file() and resume.is_dir() and (resume / FINETUNE / "last.ckpt").is_file():
        return resume / FINETUNE / "last.ckpt"
    if not path.is_file() and not (resume / "config.json").is_file():
        raise UsageError(f"--resume {resume}: no checkpoint there (looked for {path})")
    return path


def run_of(checkpoint: Path) -> Path:
    """The run folder that a checkpoint belongs to. Raises UsageError when its config.json or clips.csv is gone."""
    for run in islice(checkpoint.parents, 3):
        if (run / "config.json").is_file() and (run / "clips.csv").is_file():
            return run
    raise UsageError(f"--resume {checkpoint}: config.json and clips.csv of its run are missing beside it")


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a row to a CSV; the first one brings the header."""
    new = not path.exists()
    with path.open("a", encoding="utf-8", errors=LENIENT, newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def write_rows(path: Path, header: list[str], rows: Iterable[Iterable[Any]]) -> None:
    with whole(path) as temporary, temporary.open("w", encoding="utf-8", errors=LENIENT, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def write_json(path: Path, value: Any) -> None:
    write_bytes(path, (json_text(value, indent=2) + "\n").encode())
