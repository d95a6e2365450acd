"""Run folders: runs/train, runs/train-2 ... and the plain files in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gerund.core.errors import DataError, UsageError
from gerund.core.files import check_name, is_abandoned, remove
from gerund.core.places import as_path

RUNS = Path("runs")
FIRST_FILES = ("clips.csv", "config.json", "comparison.json", "results.csv")
FINETUNE = "finetune"
"""Folder in a run for what the fine-tuning of the backbone leaves."""


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One row of results.csv. Losses are the training criterion (smoothed cross-entropy), accuracies 0..1, `time` seconds.

    `top1` and `top5` are of the validation clips; `train_top1` is measured while training, with dropout on.
    """

    epoch: int
    time: float
    train_loss: float
    val_loss: float
    top1: float
    top5: float
    lr: float
    train_top1: float

    def line(self, epochs: int, better: bool) -> str:
        """What is said of it while training goes on, out of so many epochs."""
        losses = f"train loss {self.train_loss:.3f}  val loss {self.val_loss:.3f}"
        return f"{self.epoch}/{epochs}  {losses}  top-1 {self.top1:.3f}  {self.time:.1f} s{'  best' if better else ''}"


def check_free(out: str | Path | None) -> None:
    """Raise UsageError when a given run folder is in use, or has a name that cannot be; to be called before hours of work."""
    out = as_path(out)
    if out is None:
        return
    check_name("--out", out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not is_false_start(out):
        raise UsageError(f"--out {out}: exists and is not empty; choose another folder")


def is_false_start(folder: Path) -> bool:
    """Whether all that a folder holds was left by work that ended before there was a model, an encoder or a checkpoint.

    Such a folder is written anew. One with any other file, or in which somebody has written since, is not.
    """
    if not folder.is_dir():
        return False
    kept = [path for path in folder.iterdir() if not is_abandoned(path)]
    if not kept:
        return any(folder.iterdir())
    files = {path for entry in kept for path in (entry, *entry.rglob("*")) if not path.is_dir() and not is_abandoned(path)}
    runs = {folder, *(path.parent for path in files if path.parent.parent == folder and path.parent.name != FINETUNE)}
    begun = [run for run in runs if is_begun(run)]
    known = {run / name for run in begun for name in (*FIRST_FILES, f"{FINETUNE}/results.csv")}
    return bool(begun) and files <= known and not any(path.is_symlink() for path in files)


def is_begun(run: Path) -> bool:
    """Whether a folder holds the clips and the settings that a training writes first, as it wrote them."""
    clips, config = run / "clips.csv", run / "config.json"
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
        edited = clips.stat().st_mtime_ns > config.stat().st_mtime_ns
    except (OSError, ValueError):
        return False
    return not edited and isinstance(values, dict) and values.keys() >= {"data", "backbone", "head_options", "seed"}


def make_run_folder(out: str | Path | None, name: str = "train") -> Path:
    """The given folder, or the next free one of runs/NAME, runs/NAME-2 ... Raises UsageError when the given one is in use."""
    check_free(out)
    out = as_path(out)
    try:
        if out is not None:
            if is_false_start(out):
                remove(out)
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


def find_checkpoint(resume: str | Path) -> Path:
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
    resume = Path(resume)
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
