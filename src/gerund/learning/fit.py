"""Fitting a head to tokens over epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from gerund.core.errors import ModelError, TrainingError
from gerund.core.progress import note
from gerund.core.recipes import Recipe
from gerund.core.team import ALONE, Team
from gerund.heads.learned.base import TorchHead
from gerund.learning.batches import NO_CLIP, Batches
from gerund.learning.checkpoint import read_checkpoint, write_checkpoint
from gerund.learning.loop import Loader, Loop, cosine_schedule, sigterm_like_ctrl_c
from gerund.recognition.runs import Epoch
from gerund.recognition.token_set import TokenSet

CLIPS_AT_ONCE = 1024
"""Clips that a head is validated on at once."""


def balanced_weights(targets: Tensor) -> Tensor:
    """A weight per class (K,) with mean 1 over the clips (N,): the rarer the class, the heavier each of its clips."""
    counts = torch.bincount(targets).float()
    return len(targets) / (len(counts) * counts)


class Lesson:
    """What training on clips makes small: the loss of a batch, as `Loop` wants it, and on the way which clips were named rightly.

    `class_weights` (K,) makes the clips of some classes heavier.
    """

    def __init__(self, recipe: Recipe, class_weights: Tensor | None, processes: int = 1) -> None:
        self.recipe, self.class_weights, self.processes = recipe, class_weights, processes
        self.hits: list[Tensor] = []

    def __call__(self, head: nn.Module, x: Tensor, valid: Tensor, targets: Tensor, everyone: Tensor) -> Tensor:
        logits = head(x, valid)
        self.hits.append((logits.detach().argmax(1) == targets)[targets != NO_CLIP])
        return self.loss(logits, targets, everyone) * self.processes  # gradients are averaged over the processes

    def loss(self, logits: Tensor, targets: Tensor, everyone: Tensor) -> Tensor:
        """These rows' part in the mean loss over `everyone`, smoothed cross-entropy; the parts of all processes add up to it."""
        weights = None if self.class_weights is None else self.class_weights.to(logits.device)
        total = len(everyone) if weights is None else weights[everyone].sum()
        smoothing = self.recipe.label_smoothing
        return functional.cross_entropy(logits, targets, weights, label_smoothing=smoothing, reduction="sum") / total


class Journal:
    """The history of a training: which epoch is the best so far, whether it is time to stop."""

    def __init__(self, recipe: Recipe, history: Iterable[Epoch] = ()) -> None:
        self.recipe, self.history = recipe, list(history)
        self.earlier = self.history[-1].time if self.history else 0.0
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long this training has gone on, before it was stopped and since."""
        return self.earlier + time.monotonic() - self.started

    def enter(self, epoch: Epoch) -> bool:
        """Whether an epoch, now the last one, is better than all before."""
        better = all(epoch.val_loss < each.val_loss for each in self.history)
        self.history.append(epoch)
        return better

    def reason_to_stop(self) -> str | None:
        recipe, last = self.recipe, self.history[-1]
        if recipe.time is not None and last.time >= recipe.time:
            return f"The time of {recipe.time:g} s is up: stopped after epoch {last.epoch}."
        best = min(self.history, key=lambda each: each.val_loss)
        if recipe.patience and last.epoch - best.epoch >= recipe.patience:
            return f"No better validation loss for {recipe.patience} epochs: stopped."
        return None


def fit(
    head: TorchHead,
    train: TokenSet,
    val: TokenSet,
    recipe: Recipe,
    *,
    device: str,
    folder: Path | None,
    on_epoch: Callable[[Epoch, bool], None],
    checkpoint: Path | None = None,
    team: Team = ALONE,
) -> list[Epoch]:
    """Train a head and leave it with the weights of its last epoch; `on_epoch` hears of each epoch and whether it is the best yet.

    Checkpoints go to `folder`, without which nothing is written
    or said; `checkpoint` is one to go on from. Each process of a `team` calls this with the same clips. Raises TrainingError when
    the loss is no longer finite, and KeyboardInterrupt on Ctrl-C, with everything up to the last whole epoch on disk.
    """
    show_tokens(head, train)
    return run_epochs(
        head,
        Batches(train, recipe.batch_size, recipe.seed, team),
        Batches(val, CLIPS_AT_ONCE, None),
        lesson_on(torch.from_numpy(train.targets), recipe, team.size),
        parameters=head.parameters(),
        device=device,
        folder=folder,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
        team=team,
    )


def lesson_on(targets: Tensor, recipe: Recipe, processes: int = 1) -> Lesson:
    """What training on clips of these classes (N,) makes small."""
    return Lesson(recipe, balanced_weights(targets) if recipe.class_weights else None, processes)


def optimizer_of(recipe: Recipe, parameters: Any, steps_per_epoch: int) -> tuple[Optimizer, LambdaLR | None]:
    """The recipe's optimizer for parameters, or for groups of them, and its schedule; none where the learning rate is constant."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer]
    optimizer = kind(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
    if recipe.schedule == "constant":
        return optimizer, None
    return optimizer, cosine_schedule(optimizer, recipe.epochs * steps_per_epoch, recipe.warmup)


def run_epochs(
    head: TorchHead,
    batches: Loader,
    val: Loader,
    lesson: Lesson,
    *,
    parameters: Any,
    device: str,
    folder: Path | None,
    on_epoch: Callable[[Epoch, bool], None],
    checkpoint: Path | None,
    team: Team,
    precision: Literal["32-true", "bf16-mixed"] = "32-true",
) -> list[Epoch]:
    """Train a head's `parameters` over the epochs of the lesson's recipe, validating after each; gives and raises what `fit` does.

    In a team all processes decide alike, since they hear of each epoch from the first.
    """
    recipe = lesson.recipe
    optimizer, schedule = optimizer_of(recipe, parameters, len(batches))
    loop = Loop(head, lesson, batches, optimizer, schedule, seed=recipe.seed, device=device, team=team, precision=precision)
    history = read_checkpoint(checkpoint, head, loop) if checkpoint is not None else []
    journal = Journal(recipe, (Epoch(**row) for row in history))
    with sigterm_like_ctrl_c():
        for number, losses in loop.epochs(len(history), recipe.epochs):
            epoch = loop.fabric.broadcast(measured_epoch(number + 1, journal.seconds, loop, lesson, losses, val))
            better = journal.enter(epoch)
            try:
                on_epoch(epoch, better)
                if folder is not None and team.is_first:
                    save_state(folder, head, loop, journal)
            except OSError as error:
                raise ModelError(f"{folder}: cannot be written ({error.strerror}); what was there before is intact") from None
            if reason := journal.reason_to_stop():
                if folder is not None:
                    note(reason)
                break
    head.cpu().eval()
    return journal.history


def save_state(folder: Path, head: TorchHead, loop: Loop, journal: Journal) -> None:
    """Write last.ckpt, and a checkpoint that is kept if the recipe wants one of this epoch. Raises OSError."""
    rows, every = [asdict(each) for each in journal.history], journal.recipe.save_every
    write_checkpoint(folder / "last.ckpt", head, loop, rows)
    if every and len(rows) % every == 0:
        write_checkpoint(folder / f"epochs/{len(rows):04d}.ckpt", head, loop, rows)


def measured_epoch(number: int, seconds: float, loop: Loop, lesson: Lesson, losses: Tensor, val: Loader) -> Epoch:
    """The epoch that has just ended, the training clips of all processes taken together. Each process sees all validation clips.

    Raises TrainingError when its loss is not finite.
    """
    logits, targets = val_logits(loop, val)
    hits = torch.cat(lesson.hits)
    lesson.hits.clear()
    means = torch.stack([losses.mean(), hits.sum(), torch.tensor(float(len(hits)), device=hits.device)])
    train_loss, num_hits, num_clips = loop.fabric.all_reduce(means, reduce_op="mean").tolist()
    if not math.isfinite(train_loss) or not bool(torch.isfinite(logits).all()):
        raise TrainingError(f"the loss is not finite in epoch {number}; try a lower --lr (now {lesson.recipe.lr:g})")
    ranked = logits.argsort(1, descending=True)
    return Epoch(
        epoch=number,
        time=seconds,
        train_loss=train_loss,
        val_loss=float(lesson.loss(logits, targets, targets)),
        top1=float((ranked[:, 0] == targets).float().mean()),
        top5=float((ranked[:, :5] == targets[:, None]).any(1).float().mean()),
        lr=float(loop.optimizer.param_groups[0]["lr"]),
        train_top1=num_hits / num_clips,
    )


@torch.inference_mode()
def val_logits(loop: Loop, val: Loader) -> tuple[Tensor, Tensor]:
    """Logits (M, K) of the validation clips, and their classes (M,)."""
    loop.module.eval()
    found = []
    for batch in val:
        x, valid, targets, _ = loop.fabric.to_device(batch)
        real = targets != NO_CLIP
        found.append((loop.module(x, valid).float()[real], targets[real]))
    logits, classes = zip(*found, strict=True)
    return torch.cat(logits), torch.cat(classes)


def show_tokens(head: TorchHead, train: TokenSet) -> None:
    """Let a head look at the plain training tokens."""
    head.prepare(torch.from_numpy(train.data[0]).float(), torch.from_numpy(train.valid[0]))


def fit_quietly(head: TorchHead, train: TokenSet, recipe: Recipe, targets: np.ndarray, *, epochs: int, device: str) -> None:
    """Train a head as `fit` does, for the first `epochs` of the recipe's, with nothing validated, written or told.

    Classes are weighed, where the recipe weighs them, by how often they are in `targets`.
    """
    show_tokens(head, train)
    batches = Batches(train, recipe.batch_size, recipe.seed)
    optimizer, schedule = optimizer_of(recipe, head.parameters(), len(batches))
    lesson = lesson_on(torch.from_numpy(targets), recipe)
    loop = Loop(head, lesson, batches, optimizer, schedule, seed=recipe.seed, device=device)
    for _ in loop.epochs(0, epochs):
        lesson.hits.clear()
    head.cpu().eval()
