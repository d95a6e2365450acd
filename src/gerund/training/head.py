"""The head of a run: trained on its clips, one row of results.csv per epoch, the best one kept."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gerund.core.errors import TrainingError, UsageError
from gerund.core.files import append_row
from gerund.core.progress import note, progress
from gerund.core.types import Clip, Features
from gerund.data.manifest import labels_of
from gerund.features.extractor import Extraction
from gerund.heads.durations import Durations
from gerund.recognition.recognizer import Recognizer
from gerund.recognition.runs import Epoch
from gerund.recognition.token_set import TokenSet, token_set
from gerund.training.run import Run
from gerund.training.solve import solve


def fit_head(recognizer: Recognizer, views: list[Extraction], run: Run) -> list[Epoch]:
    """Train the head on the clips whose features are there, and keep the best one by validation loss in the run's model folder."""
    settings, in_closed_form = run.settings, recognizer.head.in_closed_form
    train_clips, val_clips = run.usable(views[0], "train"), run.usable(views[0], "val")
    lost = sorted(set(recognizer.labels) - set(labels_of(train_clips)))
    if lost:
        raise TrainingError(f"no training clip of {', '.join(lost)} can be used; see the lines above for the reasons")
    if not val_clips:
        note("No validation clips: the last epoch is kept, and the curve shows the training clips twice.")
    recognizer = with_durations(recognizer, train_clips, views[0].features)
    draws = 0 if in_closed_form else settings.draws
    train_set = token_set(recognizer, views, train_clips, draws=draws, rng=np.random.default_rng(settings.seed))
    val_set = token_set(recognizer, views[:1], val_clips or train_clips)
    note(
        f"Training {settings.head} on {len(train_clips)} clips, {len(recognizer.labels)} classes, {len(val_clips)} validation clips"
    )
    log = scalar_log(run.folder) if settings.loggers and run.team.is_first else None
    epochs = 1 if in_closed_form else settings.epochs
    if run.head_checkpoint is not None and run.team.is_first:
        forget_later_epochs(run.folder, run.head_checkpoint)

    def on_epoch(epoch: Epoch, better: bool) -> None:
        if not run.team.is_first:
            return
        row = results_row(epoch)
        append_row(run.folder / "results.csv", row)
        bar.advance(epoch.epoch - bar.done, said=f"epoch {epoch.line(epochs, better)}")
        if log is not None:
            for name in ("train/loss", "val/loss", "metrics/accuracy_top1", "metrics/accuracy_top5", "lr"):
                log.add_scalar(name, float(row[name]), epoch.epoch)
            log.flush()
        if better or not val_clips:
            recognizer.save(run.model, bundle=settings.bundle, portable=False)

    with progress("Training", epochs, "epochs") as bar:
        if not in_closed_form:
            return fit_learned(recognizer, train_set, val_set, run, on_epoch)
        history = [solve(recognizer.head, train_set, val_set, settings)]
        on_epoch(history[0], True)
        return history


def fit_learned(
    recognizer: Recognizer, train_set: TokenSet, val_set: TokenSet, run: Run, on_epoch: Callable[[Epoch, bool], None]
) -> list[Epoch]:
    """Train a head over epochs, in torch."""
    from gerund.heads.learned.base import module_behind
    from gerund.learning.fit import fit

    return fit(
        module_behind(recognizer.head),
        train_set,
        val_set,
        run.settings,
        device=recognizer.device,
        folder=run.folder,
        on_epoch=on_epoch,
        checkpoint=run.head_checkpoint,
        team=run.team,
    )


def with_durations(recognizer: Recognizer, clips: Sequence[Clip], features: Mapping[Path, Features]) -> Recognizer:
    """A recogniser that knows how long its training clips are, as far as their videos have pictures."""
    seconds = [seconds_of(clip, features[clip.path]) for clip in clips]
    targets = np.array([recognizer.labels.index(clip.label or "") for clip in clips])
    by_video: dict[Path, list[tuple[float, int]]] = defaultdict(list)
    for clip, target in zip(clips, targets.tolist(), strict=True):
        by_video[clip.path].append((clip.start, target))
    annotated = max(map(len, by_video.values())) > 1  # people have said where each ends, and what comes next
    durations = Durations.measured(seconds, targets, len(recognizer.labels), by_label=annotated)
    if annotated:
        durations = durations.following([[target for _, target in sorted(spans)] for spans in by_video.values()])
    return replace(recognizer, clip_seconds=round(float(np.median(seconds)), 3), durations=durations)


def seconds_of(clip: Clip, features: Features) -> float:
    return min(clip.end or math.inf, features.end) - max(clip.start, float(features.pts[0]))


def results_row(epoch: Epoch) -> dict[str, Any]:
    return {
        "epoch": epoch.epoch,
        "time": f"{epoch.time:.2f}",
        "train/loss": f"{epoch.train_loss:.6g}",
        "val/loss": f"{epoch.val_loss:.6g}",
        "metrics/accuracy_top1": f"{epoch.top1:.6g}",
        "metrics/accuracy_top5": f"{epoch.top5:.6g}",
        "lr": f"{epoch.lr:.6g}",
        "train/accuracy_top1": f"{epoch.train_top1:.6g}",
    }


def forget_later_epochs(folder: Path, checkpoint: Path) -> None:
    """Cut results.csv back to the epochs that a checkpoint knows: a killed run may have written one more."""
    from gerund.learning.checkpoint import recorded_epochs

    (folder / "results.csv").unlink(missing_ok=True)
    for epoch in recorded_epochs(checkpoint):
        append_row(folder / "results.csv", results_row(Epoch(**epoch)))


def scalar_log(folder: Path) -> Any:
    """A TensorBoard writer for the run. Raises UsageError when the package is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError("--loggers tensorboard: the package is not installed; pip install tensorboard") from None
    return SummaryWriter(str(folder / "tensorboard"))
