"""How far an answer can be trusted: a temperature for the probabilities, and how much a clip looks like those trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from gerund.core.errors import ModelError

UNKNOWN_THRESHOLD = 0.05
"""Clips of known classes are called unknown about this often."""
TEMPERATURES = (0.05, 20.0)
PRIOR_SPREAD = 0.5
"""Standard deviation of ln T around 0 before any clip is seen: where all answers are right, T would otherwise fall to 0."""
RIDGE = 30.0
"""Times the mean variance, added to every direction of a covariance: clips are few, dimensions many."""
RELATIVE = 0.95
"""Of the distance from clips as such. What is missing to 1 makes clips unfamiliar that are far from everything, in any direction."""
DIRECTIONS = 64
"""Kept of a covariance; the others vary less than the ridge, and count as if they varied alike."""
MOST_CLIPS = 2048
"""Clips that a covariance is measured on, at most."""


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The T that makes softmax(logits / T) likeliest: logits (N, K), targets (N,). Rows that are not finite are left out; 1 for none.

    Temperature scaling (Guo et al. 2017, arXiv:1706.04599), with a normal prior on ln T that a few dozen clips outweigh.
    """
    good = np.isfinite(logits).all(axis=1)
    logits, targets = logits[good].astype(np.float64), targets[good]

    def cost(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        of_truth = scaled[np.arange(len(scaled)), targets]
        return float((np.log(np.exp(scaled).sum(axis=1)) - of_truth).sum() + (log_temperature / PRIOR_SPREAD) ** 2 / 2)

    return float(np.exp(golden_section(cost, *np.log(TEMPERATURES)))) if len(logits) else 1.0


def golden_section(cost: Callable[[float], float], low: float, high: float, steps: int = 40) -> float:
    """Where a function with one valley is lowest."""
    ratio = (5**0.5 - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = cost(left), cost(right)
    for _ in range(steps):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = cost(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = cost(right)
    return (low + high) / 2


def log_shares(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """ln of the share of a sorted `reference` (M,) that is at most as high as each value (N,), itself counted among them.

    Below the lowest of the reference it goes on falling, by 1 for each interquartile range, so that values there can still be told apart.
    """
    share = (1 + np.searchsorted(reference, values, side="right")) / (1 + len(reference))
    low, high = np.quantile(reference, (0.25, 0.75))
    return np.log(share) + np.minimum(values - reference[0], 0) / max(float(high - low), 1e-9)


def without_temperature(scores: np.ndarray, temperature: float) -> np.ndarray:
    """The probabilities (N, K) that a temperature of 1 would have given; rows of NaN stay so."""
    logs = np.log(np.maximum(scores, np.finfo(np.float64).tiny)) * temperature
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution with a heavily shrunk covariance around `centres` (K, D); `basis` (R, D) and `ridge` describe its shape."""

    centres: np.ndarray
    basis: np.ndarray
    ridge: np.ndarray

    @classmethod
    def fit(cls, centres: np.ndarray, deviations: np.ndarray) -> Gaussian:
        """The covariance of `deviations` (N, D) from the centres, plus RIDGE times its mean variance in the directions they span."""
        deviations = deviations[:: -(-len(deviations) // MOST_CLIPS)]
        variances, vectors = np.linalg.eigh(deviations @ deviations.T / len(deviations))  # N x N: clips are fewer than dimensions
        variances, vectors = np.maximum(variances[::-1], 0), vectors[:, ::-1]
        ridge = max(RIDGE * float(variances.mean()), 1e-6)
        kept = slice(0, int((variances > 1e-6 * variances[0] + 1e-12)[:DIRECTIONS].sum()))
        directions = vectors[:, kept].T @ deviations / np.sqrt(len(deviations) * variances[kept])[:, None]
        shrunk = np.sqrt(variances[kept] / (variances[kept] + ridge))
        return cls(centres.astype(np.float32), (shrunk[:, None] * directions).astype(np.float32), np.array([ridge], np.float32))

    @cached_property
    def projected_centres(self) -> np.ndarray:
        return self.centres @ self.basis.T

    def distance(self, x: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distance of x (N, D) from the nearest centre, (N,)."""
        squares = squared_distances(x, self.centres) - squared_distances(x @ self.basis.T, self.projected_centres)
        return squares.min(axis=1) / float(self.ridge[0])


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, D), (K, D) -> (N, K), without an array of N x K x D."""
    return (x**2).sum(axis=1)[:, None] - 2 * x @ y.T + (y**2).sum(axis=1)


@dataclass(frozen=True)
class Familiarity:
    """How much a clip looks like the clips trained on, from two sides: how near it lies to them, and what the head says of it.

    Near is the relative Mahalanobis distance of the mean token (Ren et al. 2021, arXiv:2106.09022): how much nearer a clip lies to some class
    than to clips as such. It is blind to the order of things; the head's highest score is not (Hendrycks et al. 2022, arXiv:1911.11132).
    Each is compared with that of held-out clips, `distances` and `said` (M,), and the logarithms of both shares are added (Fisher 1925); the
    sum becomes a share of known clips by comparison with theirs, `reference` (M,). Logits are divided by `unit` (1,) first. Of a model of before
    there are only distances, in `reference`.
    """

    mean: np.ndarray
    std: np.ndarray
    classes: Gaussian
    anything: Gaussian
    reference: np.ndarray
    distances: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    said: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    unit: np.ndarray = field(default_factory=lambda: np.ones(1, np.float32))

    @classmethod
    def fit(cls, data: np.ndarray, valid: np.ndarray, targets: np.ndarray) -> Familiarity:
        """Look at training tokens (N, T, D), valid (N, T), with class indices (N,); nothing to compare with yet."""
        mean, std = moments(data, valid)
        x = (mean_tokens(data, valid) - mean) / std
        names, members = np.unique(targets, return_inverse=True)
        centres = np.stack([x[members == index].mean(axis=0) for index in range(len(names))])
        centre = x.mean(axis=0, keepdims=True)
        return cls(
            mean=mean.astype(np.float32),
            std=std.astype(np.float32),
            classes=Gaussian.fit(centres, x - centres[members]),
            anything=Gaussian.fit(centre, x - centre),
            reference=np.empty(0, np.float32),
        )

    def score(self, data: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Tokens (N, T, D), valid (N, T) -> (N,): the higher, the more a clip looks like one of a class trained on."""
        x = (mean_tokens(data, valid) - self.mean) / self.std
        return RELATIVE * self.anything.distance(x) - self.classes.distance(x)

    def compared(self, distances: np.ndarray, said: np.ndarray) -> Familiarity:
        """The same, with held-out clips to compare with: their scores (M,) and the head's highest ones (M,), before any scale."""
        own = replace(self, distances=np.sort(distances).astype(np.float32), said=np.sort(said).astype(np.float32))
        return replace(own, reference=np.sort(own.evidence(distances, said)).astype(np.float32))

    def evidence(self, distances: np.ndarray, said: np.ndarray) -> np.ndarray:
        """Both sides in one (N,): the higher, the more known."""
        return log_shares(distances.astype(np.float32), self.distances) + log_shares(said.astype(np.float32), self.said)

    def known(self, data: np.ndarray, valid: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Share of held-out known clips that look at most as familiar, (N,) in 0..1; `logits` (N, K) are the head's.

        A conformal p-value (Bates et al. 2023, arXiv:2104.08279): a clip of a known class falls below a threshold of 0.05 in about
        5 % of cases. With M clips to compare with, it never falls below 1 / (M + 1).
        """
        found = self.score(data, valid)
        if len(self.said):
            found = self.evidence(found, logits.max(axis=1) / self.unit)
        below = np.searchsorted(np.sort(self.reference), found.astype(np.float32), side="right")
        return (1 + below) / (1 + len(self.reference))

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything, as it is written into a model folder."""
        parts = {"classes": self.classes, "anything": self.anything}
        heard = {"distances": self.distances, "said": self.said, "unit": self.unit} if len(self.said) else {}
        return (
            {"mean": self.mean, "std": self.std, "reference": self.reference}
            | heard
            | {f"{name}.{key}": value for name, part in parts.items() for key, value in vars(part).items()}
        )

    @classmethod
    def of_tensors(cls, tensors: dict[str, np.ndarray]) -> Familiarity:
        """What `tensors` gave. Raises ModelError when something is missing, not finite, or of another shape."""
        if not all(np.isfinite(value).all() for value in tensors.values()):
            raise ModelError("unknown.safetensors: has values that are not finite; copy the model again or train it again")
        try:
            classes, anything = (
                Gaussian(*(tensors[f"{name}.{key}"] for key in ("centres", "basis", "ridge"))) for name in ("classes", "anything")
            )
            heard = {name: tensors[name] for name in ("distances", "said", "unit") if "said" in tensors}
            made = cls(tensors["mean"], tensors["std"], classes, anything, tensors["reference"], **heard)
        except KeyError as error:
            raise ModelError(f"unknown.safetensors: {error} is missing; copy the model again or train it again") from None
        return made.of_width(made.mean.size)

    def of_width(self, width: int) -> Familiarity:
        """The same. Raises ModelError when it is not for tokens of this width."""
        parts = (self.classes, self.anything)
        sizes = {self.reference.shape, self.distances.shape, self.said.shape} if len(self.said) else {self.reference.shape}
        fits = len(sizes) == 1 and self.unit.shape == (1,) and bool(self.unit[0] > 0)
        fits &= self.mean.shape == self.std.shape == (width,) and self.reference.ndim == 1 and bool((self.std > 0).all())
        for part in parts:
            fits &= (
                all(each.ndim == 2 and each.shape[1] == width for each in (part.centres, part.basis)) and len(part.centres) > 0
            )
            fits &= part.ridge.shape == (1,) and bool((part.ridge > 0).all())
        if not fits:
            raise ModelError(f"unknown.safetensors: not for tokens of {width} values; copy the model again or train it again")
        return self


def mean_tokens(data: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The mean of each clip's valid tokens: (N, T, D), (N, T) -> (N, D) float64."""
    means = [tokens[mask].mean(axis=0, dtype=np.float64) for tokens, mask in zip(data, valid, strict=True)]
    return np.array(means).reshape(len(data), data.shape[2])


def moments(data: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of all valid tokens, (D,) each, clip by clip in little memory; one that hardly varies is not blown up."""
    sums, squares = np.zeros((2, data.shape[2]))
    for tokens, mask in zip(data, valid, strict=True):
        rows = tokens[mask].astype(np.float64)
        sums += rows.sum(axis=0)
        squares += (rows**2).sum(axis=0)
    mean = sums / valid.sum()
    std = np.sqrt(np.maximum(squares / valid.sum() - mean**2, 0))
    return mean, np.maximum(std, 0.05 * std.mean() + 1e-6)
