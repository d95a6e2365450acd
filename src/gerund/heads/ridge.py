"""The head without epochs: its weights come in closed form from all training clips at once. Usable from one clip per class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from gerund.core.errors import UsageError
from gerund.heads.base import Head

SCALES = np.logspace(-1, 3, 81)
USUAL_SCALE = 5.0
"""For scores that nothing is known of, since no class has clips of a second group."""
CLIPS_POOLED_AT_ONCE = 1024
FLAT = 1e-6
"""The least mean eigenvalue that a penalty is a share of."""


class PrototypeHead(Head):
    """What a clip's tokens do over time, in four statistics for each dimension, then linear.

    The tokens' signed square roots (Perronnin et al. 2010, doi:10.1007/978-3-642-15561-1_11) give mean, standard deviation, maximum and
    trend; the trend tells an action from its reverse. `kind` ridge is regression on the classes (Hoerl & Kennard 1970,
    doi:10.1080/00401706.1970.10488634), `strength` its penalty as a share of the mean eigenvalue; `kind` mean is the cosine to each
    class's mean (Mensink et al. 2013, doi:10.1109/TPAMI.2013.83). Either gives scores; what each training clip would score if its group
    were left out says by how much to multiply them for logits.
    """

    in_closed_form = True

    def __init__(
        self,
        dim: int,
        num_classes: int,
        num_frames: int,
        *,
        kind: Literal["ridge", "mean"] = "ridge",
        strength: float = 0.1,
    ) -> None:
        if kind not in ("ridge", "mean"):
            raise UsageError(f"--head.kind {kind}: choose ridge or mean")
        if not strength > 0:
            raise UsageError(f"--head.strength {strength:g}: must be above 0")
        self.kind, self.strength = kind, strength
        self.mean, self.std = np.zeros(4 * dim, np.float32), np.ones(4 * dim, np.float32)
        self.weight, self.bias = np.zeros((num_classes, 4 * dim), np.float32), np.zeros(num_classes, np.float32)

    def state(self) -> dict[str, np.ndarray]:
        return {
            "standardize.mean": self.mean,
            "standardize.std": self.std,
            "classify.weight": self.weight,
            "classify.bias": self.bias,
        }

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Take the weights of a model folder, whose names and shapes are those of `state`."""
        self.mean, self.std = state["standardize.mean"], state["standardize.std"]
        self.weight, self.bias = state["classify.weight"], state["classify.bias"]

    def __call__(self, x: np.ndarray, valid: np.ndarray) -> np.ndarray:
        return self.embed(token_statistics(x, valid)) @ self.weight.T + self.bias

    def embed(self, pooled: np.ndarray) -> np.ndarray:
        """Statistics of clips (B, 4 D) as the classifier takes them."""
        z = (pooled - self.mean) / self.std
        return unit_rows(z) if self.kind == "mean" else z

    def solve(self, x: np.ndarray, valid: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> None:
        """Set all weights from the training tokens (N, T, D), classes (N,) and groups (N,). Raises LinAlgError where there are none."""
        parts = [slice(first, first + CLIPS_POOLED_AT_ONCE) for first in range(0, len(x), CLIPS_POOLED_AT_ONCE)]
        pooled = np.concatenate([token_statistics(x[part].astype(np.float32), valid[part]) for part in parts])
        self.mean, self.std = row_moments(pooled)
        z = self.embed(pooled)
        truth = np.eye(len(self.bias))[targets]
        weight, bias, left_out = class_means(z, truth, groups) if self.kind == "mean" else ridge(z, truth, groups, self.strength)
        scale = fitted_scale(left_out, targets, groups)
        self.weight, self.bias = (scale * weight).astype(np.float32, "C"), (scale * bias).astype(np.float32)


def token_statistics(x: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Mean, standard deviation, maximum and trend over the valid steps of signed square roots: (B, T, D) -> (B, 4 D).

    The trend is the mean product with time, which runs from -1 to 1 over the valid steps.
    """
    here = valid[..., None]
    x = np.where(here, x, np.float32(0))  # padding may hold anything, even NaN
    x = np.sign(x) * np.sqrt(np.abs(x))
    count = valid.sum(1, dtype=np.float32)[:, None]
    mean = x.sum(1) / count
    variance = np.where(here, np.square(x - mean[:, None]), np.float32(0)).sum(1) / count
    time = np.where(valid, (2 * valid.cumsum(1, dtype=np.float32) - 1) / count - 1, np.float32(0))
    highest = np.where(here, x, np.finfo(np.float32).min).max(1)
    trend = (x * time[..., None]).sum(1) / count
    return np.concatenate([mean, np.sqrt(np.maximum(variance, np.float32(1e-12))), highest, trend], axis=1)


def row_moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (D,) of rows (N, D); a dimension that hardly moves is not blown up."""
    mean = rows.mean(0, dtype=np.float64)
    squares = np.square(rows, dtype=np.float64).mean(0)
    std = np.sqrt(np.maximum(squares - np.square(mean), 0)).astype(np.float32)
    return mean.astype(np.float32), np.maximum(std, std.mean() * np.float32(0.05) + np.float32(1e-6))


def unit_rows(z: np.ndarray) -> np.ndarray:
    """Rows of length 1; one of zeros stays so."""
    return z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)


def ridge(z: np.ndarray, truth: np.ndarray, groups: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ridge regression with an intercept on z (N, D) of mean 0: weight (K, D), bias (K,), scores (N, K) with each group left out.

    Leaving out costs little: the residuals of a group grow by (1 - its block of the hat matrix)^-1 (Cook & Weisberg 1982, "Residuals and
    influence in regression", sec. 3.6). Whichever is smaller is inverted, clips x clips or width x width.
    """
    count, width = z.shape
    bias = truth.mean(0)
    gram = (z @ z.T if count <= width else z.T @ z).astype(np.float64)
    penalty = strength * max(gram.diagonal().mean(), FLAT)  # of clips that are all alike there is nothing to learn
    inverse = np.linalg.inv(gram + penalty * np.eye(len(gram)))
    rows = gram if count <= width else z.astype(np.float64)
    target = truth - bias if count <= width else rows.T @ (truth - bias)
    solution = inverse @ target
    residual = truth - bias - rows @ solution
    left_out = truth.copy()
    for members in members_of(groups):
        block = rows[members] @ (inverse[:, members] if count <= width else inverse @ rows[members].T) + 1 / count
        if len(members) < count:
            left_out[members] -= np.linalg.solve(np.eye(len(members)) - block, residual[members])
    weight = z.T.astype(np.float64) @ solution if count <= width else solution
    return weight.T, bias, left_out


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


def fitted_scale(left_out: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> float:
    """What scores (N, K) of left-out clips are best multiplied with, for the least log loss; classes of one group do not count.

    As if each class had one more clip that nothing is known of: where all clips are right, no finite scale would be best (after Platt
    1999, "Probabilistic outputs for support vector machines", sec. 2.2).
    """
    pairs = np.unique(np.stack([targets, groups]), axis=1)
    known = np.bincount(pairs[0], minlength=left_out.shape[1])[targets] > 1
    if not known.any():
        return USUAL_SCALE
    scores, truth = left_out[known], targets[known]
    unsure = scores.shape[1] / (len(scores) + scores.shape[1])
    return float(min(SCALES, key=lambda scale: smoothed_losses(scale * scores, truth, unsure).mean()))


def smoothed_losses(logits: np.ndarray, targets: np.ndarray, smoothing: float, weights: np.ndarray | None = None) -> np.ndarray:
    """Cross-entropy (N,) of logits (N, K) with targets (N,), of which a share is spread evenly over the classes of `weights` (K,)."""
    weights = np.ones(logits.shape[1]) if weights is None else weights
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    costs = weights * (np.log(np.exp(shifted).sum(1, keepdims=True)) - shifted)
    return (1 - smoothing) * costs[np.arange(len(costs)), targets] + smoothing * costs.mean(1)
