"""Heads in closed form: solved at once, which counts as one epoch."""

from __future__ import annotations

import time

import numpy as np

from gerund.core.errors import TrainingError
from gerund.core.recipes import Recipe
from gerund.heads import Head
from gerund.heads.ridge import smoothed_losses
from gerund.recognition.runs import Epoch
from gerund.recognition.token_set import TokenSet

CLIPS_MEASURED_AT_ONCE = 1024
UNSOLVABLE = "the features of some clips are too large to solve for the head's weights"


def solve(head: Head, train: TokenSet, val: TokenSet, recipe: Recipe) -> Epoch:
    """Set a head's weights from the plain tokens, and measure it as an epoch is; there is no learning rate. Raises TrainingError."""
    started = time.monotonic()
    solve_quietly(head, train)
    weights = class_weights(train.targets) if recipe.class_weights else np.ones(train.targets.max() + 1)
    losses, ranks = [], []
    for side in (train, val):
        parts = [slice(first, first + CLIPS_MEASURED_AT_ONCE) for first in range(0, len(side), CLIPS_MEASURED_AT_ONCE)]
        logits = np.concatenate([head(side.data[0, part].astype(np.float32), side.valid[0, part]) for part in parts])
        if not np.isfinite(logits).all():
            raise TrainingError(UNSOLVABLE)
        each = smoothed_losses(logits, side.targets, recipe.label_smoothing, weights)
        losses.append(float(each.sum() / weights[side.targets].sum()))
        ranks.append((-logits).argsort(1, kind="stable") == side.targets[:, None])
    return Epoch(
        epoch=1,
        time=time.monotonic() - started,
        train_loss=losses[0],
        val_loss=losses[1],
        top1=float(ranks[1][:, 0].mean()),
        top5=float(ranks[1][:, :5].any(1).mean()),
        lr=0.0,
        train_top1=float(ranks[0][:, 0].mean()),
    )


def solve_quietly(head: Head, train: TokenSet) -> np.ndarray | None:
    """Set a head's weights from the plain tokens; back come the scores of left-out groups (N, K), of a head that can tell.

    Raises TrainingError where there is no solution.
    """
    try:
        return head.solve(train.data[0], train.valid[0], train.targets, train.groups, parts=train.parts, windows=train.windows)
    except np.linalg.LinAlgError:
        raise TrainingError(UNSOLVABLE) from None


def class_weights(targets: np.ndarray) -> np.ndarray:
    """A weight per class (K,) with mean 1 over the clips (N,): the rarer the class, the heavier each of its clips."""
    counts = np.bincount(targets)
    return len(targets) / (len(counts) * counts)
