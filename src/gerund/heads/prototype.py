"""The head without epochs: its weights come in closed form from all training clips at once. Usable from one clip per class."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from gerund.errors import UsageError
from gerund.heads.base import Head, Standardize, masked_mean, uniform_weights

SCALES = torch.logspace(-1, 3, 81, dtype=torch.float64)
USUAL_SCALE = 5.0
"""For scores that nothing is known of, since no class has a second clip."""


class PrototypeHead(Head):
    """Mean and, with `spread`, standard deviation of a clip's standardised tokens, then linear. Blind to order.

    `kind` ridge is regression on the classes (Hoerl & Kennard 1970, doi:10.1080/00401706.1970.10488634), `strength` its penalty as a
    share of the mean eigenvalue; `kind` mean is the cosine to each class's mean (Mensink et al. 2013, doi:10.1109/TPAMI.2013.83).
    Either gives scores; what each training clip would score if it were left out says by how much to multiply them for logits.
    """

    centre: Tensor
    takes_order = False
    in_closed_form = True

    def __init__(
        self,
        dim: int,
        num_classes: int,
        num_frames: int,
        *,
        kind: Literal["ridge", "mean"] = "ridge",
        strength: float = 0.1,
        spread: bool = True,
    ) -> None:
        super().__init__()
        if kind not in ("ridge", "mean"):
            raise UsageError(f"--head.kind {kind}: choose ridge or mean")
        if not strength > 0:
            raise UsageError(f"--head.strength {strength:g}: must be above 0")
        self.kind, self.strength, self.spread = kind, strength, spread
        width = dim * (2 if spread else 1)
        self.standardize = Standardize(dim)
        self.register_buffer("centre", torch.zeros(width))
        self.classify = nn.Linear(width, num_classes)

    def pool(self, x: Tensor, valid: Tensor) -> Tensor:
        """Tokens (B, T, D) -> (B, D), or (B, 2 D) with their spread over time."""
        x = self.standardize(x)
        mean = masked_mean(x, valid)
        if not self.spread:
            return mean
        variance = masked_mean((x - mean.unsqueeze(1)).square(), valid)
        return torch.cat([mean, variance.clamp(min=1e-12).sqrt()], dim=1)

    def embed(self, pooled: Tensor) -> Tensor:
        z = pooled - self.centre
        return functional.normalize(z, dim=1) if self.kind == "mean" else z

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        return self.classify(self.embed(self.pool(x, valid)))

    def step_weights(self, x: Tensor, valid: Tensor) -> Tensor:
        return uniform_weights(valid)

    @torch.no_grad()
    def solve(self, x: Tensor, valid: Tensor, targets: Tensor) -> None:
        self.standardize.fit(x, valid)
        pooled = torch.cat([self.pool(part, mask) for part, mask in zip(x.split(1024), valid.split(1024), strict=True)])
        self.centre.copy_(pooled.double().mean(0))
        z = self.embed(pooled).double()
        truth = functional.one_hot(targets, self.classify.out_features).double()
        weight, bias, left_out = class_means(z, truth) if self.kind == "mean" else ridge(z, truth, self.strength)
        scale = fitted_scale(left_out, targets)
        self.classify.weight.copy_(scale * weight)
        self.classify.bias.copy_(scale * bias)


def ridge(z: Tensor, truth: Tensor, strength: float) -> tuple[Tensor, Tensor, Tensor]:
    """Ridge regression with an intercept on z (N, D) of mean 0: weight (K, D), bias (K,), scores (N, K) of each clip left out.

    Leaving out costs nothing: the residual grows by 1 / (1 - leverage) (Allen 1974, doi:10.1080/00401706.1974.10489157). Whichever is
    smaller is inverted, clips x clips or width x width.
    """
    count, width = z.shape
    bias = truth.mean(0)
    penalty = strength * z.square().sum() / min(count, width)
    if count <= width:
        solution = torch.linalg.solve(z @ z.T + penalty * torch.eye(count, dtype=z.dtype), z).T
    else:
        solution = torch.linalg.solve(z.T @ z + penalty * torch.eye(width, dtype=z.dtype), z.T)
    weight = solution @ (truth - bias)
    leverage = (z * solution.T).sum(1, keepdim=True) + 1 / count
    left_out = truth - (truth - bias - z @ weight) / (1 - leverage)
    return weight.T, bias, left_out


def class_means(z: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Directions of the class means of z (N, D), unit rows: weight (K, D), bias (K,) of zeros, scores (N, K) of each clip left out."""
    sums = truth.T @ z
    weight = functional.normalize(sums, dim=1)
    own = functional.normalize(truth @ sums - z, dim=1)
    left_out = torch.where(truth.bool(), (z * own).sum(1, keepdim=True), z @ weight.T)
    return weight, torch.zeros(len(weight), dtype=z.dtype), left_out


def fitted_scale(left_out: Tensor, targets: Tensor) -> float:
    """What scores (N, K) of left-out clips are best multiplied with, for the least log loss; clips alone in their class do not count.

    As if each class had one more clip that nothing is known of: where all clips are right, no finite scale would be best (after Platt
    1999, "Probabilistic outputs for support vector machines", sec. 2.2).
    """
    known = torch.bincount(targets)[targets] > 1
    if not known.any():
        return USUAL_SCALE
    scores, truth = left_out[known], targets[known]
    unsure = scores.shape[1] / (len(scores) + scores.shape[1])
    losses = [float(functional.cross_entropy(scale * scores, truth, label_smoothing=unsure)) for scale in SCALES]
    return float(SCALES[min(range(len(losses)), key=losses.__getitem__)])
