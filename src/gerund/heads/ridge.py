"""The head without epochs: its weights come in closed form from all training clips at once. Usable from one clip per class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gerund.core.errors import UsageError
from gerund.heads.base import Head
from gerund.heads.statistics import STATISTICS, block_moments, mixed_moments, row_moments, token_statistics

SCALES = np.logspace(-1, 3, 161)
SCALE_SPREAD = 0.7
"""Standard deviation of ln(scale) around that of `usual_scale`, before any left-out score is seen."""
CLIPS_POOLED_AT_ONCE = 1024
FLAT = 1e-6
"""The least mean eigenvalue that a penalty is a share of."""
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)
USUAL_STRENGTH = 1
"""Place in STRENGTHS of what is taken where no left-out group says otherwise."""
WINDOWS_HELP_BELOW = 30
"""Clips a class from which the windows inside them tell the readout nothing that the clips do not."""
CHANGING, UNCHANGING = 0.3, 0.15
"""Where windows of one clip differ by more than the first share of what clips differ by, the change is the action; below their
difference, windows count in full."""
WINDOW_SHARE = 0.5
"""Of the scale that left-out clips ask for, which windows of a timeline get: they see less of an action than a clip does."""
MOST_SOLVED_ROWS = 4000
"""Rows, of clips and of windows inside them, that are solved for together."""

Moments = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Readout:
    """A linear readout of statistics (N, W): logits are ((statistics - mean) / std) weight' + bias.

    `mean` and `std` (W,), `weight` (K, W), `bias` (K,) float32. `left_out` (N, K) has the score of every training clip had its group been
    left out; logits are `scale` times scores.
    """

    mean: np.ndarray
    std: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    scale: float
    left_out: np.ndarray

    def logits(self, statistics: np.ndarray) -> np.ndarray:
        """Logits (N, K) of statistics (N, W)."""
        return (statistics - self.mean) / self.std @ self.weight.T + self.bias


class PrototypeHead(Head):
    """What a clip's tokens do over time, in four statistics for each dimension, then linear.

    The tokens' signed square roots (Perronnin et al. 2010, doi:10.1007/978-3-642-15561-1_11) give mean, standard deviation, maximum and
    trend; the trend tells an action from its reverse. `kind` ridge is regression on the classes (Hoerl & Kennard 1970,
    doi:10.1080/00401706.1970.10488634), `strength` its penalty as a share of the mean eigenvalue, 0 for the share that groups left out
    speak for; `kind` mean is the cosine to each class's mean (Mensink et al. 2013, doi:10.1109/TPAMI.2013.83). Either gives scores; what
    each training clip would score if its group were left out says by how much to multiply them for logits.

    Windows of a timeline are read out by a second ridge on the same clips, whose scales are those of whole blocks, and half as surely.
    """

    in_closed_form = True
    optional = frozenset({"timeline.std", "timeline.weight", "timeline.bias", "classify.scale"})

    def __init__(
        self,
        dim: int,
        num_classes: int,
        num_frames: int,
        *,
        kind: Literal["ridge", "mean"] = "ridge",
        strength: float = 0.0,
    ) -> None:
        if kind not in ("ridge", "mean"):
            raise UsageError(f"--head.kind {kind}: choose ridge or mean")
        if not strength >= 0:
            raise UsageError(f"--head.strength {strength:g}: must be above 0, or 0 for what left-out groups speak for")
        self.kind, self.strength = kind, strength
        width = STATISTICS * dim
        self.mean, self.std = np.zeros(width, np.float32), np.ones(width, np.float32)
        self.weight, self.bias = np.zeros((num_classes, width), np.float32), np.zeros(num_classes, np.float32)
        self.timeline = self.std.copy(), self.weight.copy(), self.bias.copy()
        self.scale = np.ones(1, np.float32)

    def state(self) -> dict[str, np.ndarray]:
        names = ("timeline.std", "timeline.weight", "timeline.bias") if self.kind == "ridge" else ()
        return {
            "standardize.mean": self.mean,
            "standardize.std": self.std,
            "classify.weight": self.weight,
            "classify.bias": self.bias,
            "classify.scale": self.scale,
            **dict(zip(names, self.timeline, strict=False)),
        }

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Take the weights of a model folder, whose names and shapes are those of `state`; folders of before have no second readout."""
        self.mean, self.std = state["standardize.mean"], state["standardize.std"]
        self.weight, self.bias = state["classify.weight"], state["classify.bias"]
        self.scale = state.get("classify.scale", self.scale)
        own = {"std": self.std, "weight": self.weight, "bias": self.bias}
        self.timeline = tuple(state.get(f"timeline.{name}", usual) for name, usual in own.items())  # type: ignore[assignment]

    def __call__(self, x: np.ndarray, valid: np.ndarray) -> np.ndarray:
        return self.embed(token_statistics(x, valid)) @ self.weight.T + self.bias

    def window_logits(self, x: np.ndarray, valid: np.ndarray) -> np.ndarray:
        if self.kind == "mean":
            return self(x, valid)
        std, weight, bias = self.timeline
        return (token_statistics(x, valid) - self.mean) / std @ weight.T + bias

    def embed(self, pooled: np.ndarray) -> np.ndarray:
        """Statistics of clips (B, 4 D) as the classifier takes them."""
        z = (pooled - self.mean) / self.std
        return unit_rows(z) if self.kind == "mean" else z

    def solve(
        self,
        x: np.ndarray,
        valid: np.ndarray,
        targets: np.ndarray,
        groups: np.ndarray,
        *,
        parts: int = 1,
        windows: np.ndarray | None = None,
    ) -> np.ndarray:
        portions = [slice(first, first + CLIPS_POOLED_AT_ONCE) for first in range(0, len(x), CLIPS_POOLED_AT_ONCE)]
        pooled = np.concatenate([token_statistics(x[part].astype(np.float32), valid[part]) for part in portions])
        classes = len(self.bias)
        if self.kind == "mean":
            found = mean_readout(pooled, targets, groups, classes)
        else:
            found = ridge_readout(pooled, targets, groups, classes, parts=parts, windows=windows, strength=self.strength)
            second = ridge_readout(pooled, targets, groups, classes, parts=parts, moments=block_moments, strength=self.strength)
            share = np.float32(WINDOW_SHARE)
            self.timeline = second.std, share * second.weight, share * second.bias
        self.mean, self.std, self.weight, self.bias = found.mean, found.std, found.weight, found.bias
        self.scale = np.array([found.scale], np.float32)
        return found.left_out


def ridge_readout(
    pooled: np.ndarray,
    targets: np.ndarray,
    groups: np.ndarray,
    num_classes: int,
    *,
    parts: int = 1,
    windows: np.ndarray | None = None,
    moments: Moments = mixed_moments,
    strength: float = 0.0,
) -> Readout:
    """Solve for a readout of clips' statistics (N, W), classes (N,) and groups (N,); whoever keeps statistics can solve again at once.

    `parts` is how many features of equal width a token joins, 2 with motion. `windows` (N, V, W) has the statistics of windows inside
    each clip, the three of half its length first, and is worth giving below WINDOWS_HELP_BELOW clips a class: directions in which windows
    of one clip differ are penalised, unless they differ as much as clips do. `moments` says how statistics are scaled: `mixed_moments` for
    clips, `block_moments` for windows of a timeline. Raises LinAlgError where there is no solution.
    """
    mean, std = moments(pooled, parts)
    truth = np.eye(num_classes)[targets]
    inner = None if windows is None else inner_rows(pooled, windows, num_classes, parts)
    problem = Ridge.of((pooled - mean) / std, truth, groups, None if inner is None else inner / std)
    weight, bias, left_out = problem.solved(strength) if strength else chosen_ridge(problem, targets, groups)
    scale = fitted_scale(left_out, targets, groups)
    return Readout(mean, std, (scale * weight).astype(np.float32, "C"), (scale * bias).astype(np.float32), scale, left_out)


def mean_readout(pooled: np.ndarray, targets: np.ndarray, groups: np.ndarray, num_classes: int) -> Readout:
    """Class means of statistics (N, W) as a readout of their unit rows."""
    mean, std = row_moments(pooled)
    weight, bias, left_out = class_means(unit_rows((pooled - mean) / std), np.eye(num_classes)[targets], groups)
    scale = fitted_scale(left_out, targets, groups)
    return Readout(mean, std, (scale * weight).astype(np.float32, "C"), (scale * bias).astype(np.float32), scale, left_out)


def inner_rows(pooled: np.ndarray, windows: np.ndarray, num_classes: int, parts: int) -> np.ndarray | None:
    """How windows (N, V, W) differ from the mean window of their clip, weighed; None where that would not help.

    Windows count the less the more clips a class has, and not at all where the change inside a clip is the action: that is where the mean
    motion of its three half windows varies as much as it does between clips.
    """
    per_class = len(pooled) / num_classes
    most = MOST_SOLVED_ROWS // len(pooled) - 1
    if per_class >= WINDOWS_HELP_BELOW or most < 2 or parts < 2:
        return None
    motion = slice(pooled.shape[1] // (STATISTICS * parts), 2 * pooled.shape[1] // (STATISTICS * parts))
    inside, between = windows[:, :3, motion].var(1).mean(), pooled[:, motion].var(0).mean()
    gate = np.clip((CHANGING - inside / max(between, FLAT)) / UNCHANGING, 0, 1)
    if not gate:
        return None
    windows = windows[:, np.linspace(0, windows.shape[1] - 1, min(most, windows.shape[1])).round().astype(int)]
    rows = windows - windows.mean(1, keepdims=True)
    return rows * np.float32(np.sqrt(3 / per_class * gate / windows.shape[1]))


def unit_rows(z: np.ndarray) -> np.ndarray:
    """Rows of length 1; one of zeros stays so."""
    return z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)


@dataclass(frozen=True)
class Ridge:
    """Ridge regression of classes (N, K) on `rows` (M, D): N of mean 0 that are clips, then those that shall score nothing.

    `gram` is the smaller of rows x rows and width x width, `groups` the rows of each group, `level` the mean eigenvalue that a penalty is
    a share of.
    """

    rows: np.ndarray
    truth: np.ndarray
    groups: list[np.ndarray]
    gram: np.ndarray
    level: float

    @classmethod
    def of(cls, z: np.ndarray, truth: np.ndarray, groups: np.ndarray, inner: np.ndarray | None = None) -> Ridge:
        """The problem of clips z (N, D) with classes (N, K) and groups (N,), and rows (N, V, D) inside them."""
        count, width = z.shape
        rows = z if inner is None else np.concatenate([z, inner.reshape(-1, width)])
        owner = groups if inner is None else np.concatenate([groups, np.repeat(groups, inner.shape[1])])
        gram = (rows @ rows.T if len(rows) <= width else rows.T @ rows).astype(np.float64)
        total = float(gram.diagonal()[:count].sum()) if len(rows) <= width else float(np.square(z, dtype=np.float64).sum())
        return cls(rows, truth, members_of(owner), gram, max(total / min(count, width), FLAT))  # of like clips nothing is learnt

    def solved(self, strength: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weight (K, D), bias (K,), and scores (N, K) with each group left out.

        Leaving out costs little: the residuals of a group grow by (1 - its block of the hat matrix)^-1 (Cook & Weisberg 1982, "Residuals
        and influence in regression", sec. 3.6).
        """
        count, by_rows = len(self.truth), len(self.gram) == len(self.rows)
        bias = self.truth.mean(0)
        target = np.zeros((len(self.rows), len(bias)))
        target[:count] = self.truth - bias
        inverse = np.linalg.inv(self.gram + strength * self.level * np.eye(len(self.gram)))
        rows = self.gram if by_rows else self.rows.astype(np.float64)
        solution = inverse @ (target if by_rows else rows.T @ target)
        residual = target - rows @ solution
        left_out = self.truth.copy()
        for members in self.groups:
            clips = members[members < count]
            if len(clips) == count:
                continue
            block = rows[members] @ (inverse[:, members] if by_rows else inverse @ rows[members].T)
            block[: len(clips), : len(clips)] += 1 / count  # the bias is the mean of the clips alone
            left_out[clips] -= np.linalg.solve(np.eye(len(members)) - block, residual[members])[: len(clips)]
        weight = self.rows.T.astype(np.float64) @ solution if by_rows else solution
        return weight.T, bias, left_out


def chosen_ridge(problem: Ridge, targets: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The solution whose penalty gives left-out groups the least log loss, going from the usual one for as long as it falls."""
    place, best = USUAL_STRENGTH, problem.solved(STRENGTHS[USUAL_STRENGTH])
    known = told_apart(targets, groups, len(best[1]))
    if not known.any():
        return best
    least = left_out_loss(best[2], targets, groups)
    for step in (1, -1):
        while 0 <= place + step < len(STRENGTHS):
            other = problem.solved(STRENGTHS[place + step])
            loss = left_out_loss(other[2], targets, groups)
            if not loss < least:
                break
            place, best, least = place + step, other, loss
        if place != USUAL_STRENGTH:
            break
    return best


def left_out_loss(left_out: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> float:
    """Mean log loss of left-out scores (N, K) at the scale that they would get."""
    known = told_apart(targets, groups, left_out.shape[1])
    return float(smoothed_losses(fitted_scale(left_out, targets, groups) * left_out[known], targets[known], 0.0).mean())


def ridge(z: np.ndarray, truth: np.ndarray, groups: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ridge regression with an intercept on z (N, D) of mean 0: weight (K, D), bias (K,), scores (N, K) with each group left out."""
    return Ridge.of(z, truth, groups).solved(strength)


def class_means(z: np.ndarray, truth: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions of the class means of z (N, D), unit rows: weight (K, D), bias (K,) of zeros, scores (N, K) with each group left out."""
    z = z.astype(np.float64)
    sums = truth.T @ z
    weight = unit_rows(sums)
    left_out = np.empty_like(truth)
    for members in members_of(groups):
        left_out[members] = z[members] @ unit_rows(sums - truth[members].T @ z[members]).T
    return weight, np.zeros(len(weight)), left_out


def members_of(groups: np.ndarray) -> list[np.ndarray]:
    """The rows of each group."""
    order = groups.argsort(kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def told_apart(targets: np.ndarray, groups: np.ndarray, num_classes: int) -> np.ndarray:
    """Which clips (N,) belong to a class that has clips of another group, and so can be left out and still be known."""
    pairs = np.unique(np.stack([targets, groups]), axis=1)
    return np.bincount(pairs[0], minlength=num_classes)[targets] > 1


def usual_scale(num_classes: int) -> float:
    """By what scores are multiplied where nothing is known of them: read off a few sets of 2 to 11 classes."""
    return 6 * float(np.log2(max(num_classes, 2)))


def fitted_scale(left_out: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> float:
    """What scores (N, K) of left-out clips are best multiplied with, for the least log loss; classes of one group do not count.

    The fewer clips a class has, the less do left-out ones, which lack one of them, speak for all: their losses count (1 - 1 / clips a
    class)^2, beside a normal prior on ln(scale) around that of `usual_scale`. Of one clip a class the prior alone is left.
    """
    classes = left_out.shape[1]
    known = told_apart(targets, groups, classes)
    usual = usual_scale(classes)
    if not known.any():
        return usual
    trust = max(0.0, 1 - classes / len(targets)) ** 2
    losses = [smoothed_losses(scale * left_out[known], targets[known], 0.0).sum() for scale in SCALES]
    costs = trust * np.array(losses) + np.square(np.log(SCALES / usual) / SCALE_SPREAD) / 2
    return float(SCALES[costs.argmin()])


def smoothed_losses(logits: np.ndarray, targets: np.ndarray, smoothing: float, weights: np.ndarray | None = None) -> np.ndarray:
    """Cross-entropy (N,) of logits (N, K) with targets (N,), of which a share is spread evenly over the classes of `weights` (K,)."""
    weights = np.ones(logits.shape[1]) if weights is None else weights
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    costs = weights * (np.log(np.exp(shifted).sum(1, keepdims=True)) - shifted)
    return (1 - smoothing) * costs[np.arange(len(costs)), targets] + smoothing * costs.mean(1)
