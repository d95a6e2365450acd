"""The head without epochs: its weights come in closed form from all training clips at once. Usable from one clip per class."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from gerund.core.errors import UsageError
from gerund.heads.base import Head, Standardize, masked_max, masked_mean

SCALES = torch.logspace(-1, 3, 81, dtype=torch.float64)
USUAL_SCALE = 5.0
"""For scores that nothing is known of, since no class has clips of a second group."""
CLIPS_POOLED_AT_ONCE = 1024


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
        super().__init__()
        if kind not in ("ridge", "mean"):
            raise UsageError(f"--head.kind {kind}: choose ridge or mean")
        if not strength > 0:
            raise UsageError(f"--head.strength {strength:g}: must be above 0")
        self.kind, self.strength = kind, strength
        self.standardize = Standardize(4 * dim)
        self.classify = nn.Linear(4 * dim, num_classes)

    def embed(self, x: Tensor, valid: Tensor) -> Tensor:
        """Tokens (B, T, D) -> (B, 4 D)."""
        z = self.standardize(token_statistics(x, valid))
        return functional.normalize(z, dim=1) if self.kind == "mean" else z

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        return self.classify(self.embed(x, valid))

    @torch.no_grad()
    def solve(self, x: Tensor, valid: Tensor, targets: Tensor, groups: Tensor) -> None:
        parts = zip(x.split(CLIPS_POOLED_AT_ONCE), valid.split(CLIPS_POOLED_AT_ONCE), strict=True)
        pooled = torch.cat([token_statistics(part.float(), mask) for part, mask in parts])
        self.standardize.fit(pooled[:, None], torch.ones(len(pooled), 1, dtype=torch.bool))
        z = self.standardize(pooled)
        truth = functional.one_hot(targets, self.classify.out_features).double()
        if self.kind == "mean":
            weight, bias, left_out = class_means(functional.normalize(z, dim=1), truth, groups)
        else:
            weight, bias, left_out = ridge(z, truth, groups, self.strength)
        scale = fitted_scale(left_out, targets, groups)
        self.classify.weight.copy_(scale * weight)
        self.classify.bias.copy_(scale * bias)


def token_statistics(x: Tensor, valid: Tensor) -> Tensor:
    """Mean, standard deviation, maximum and trend over the valid steps of signed square roots: (B, T, D) -> (B, 4 D).

    The trend is the mean product with time, which runs from -1 to 1 over the valid steps.
    """
    x = torch.where(valid.unsqueeze(-1), x.sign() * x.abs().sqrt(), 0)  # padding may hold anything, even NaN
    mean = masked_mean(x, valid)
    variance = masked_mean((x - mean.unsqueeze(1)).square(), valid)
    time = (2 * valid.cumsum(1) - 1) / valid.sum(1, keepdim=True) - 1
    return torch.cat(
        [mean, variance.clamp(min=1e-12).sqrt(), masked_max(x, valid), masked_mean(x * time.unsqueeze(-1), valid)], 1
    )


def ridge(z: Tensor, truth: Tensor, groups: Tensor, strength: float) -> tuple[Tensor, Tensor, Tensor]:
    """Ridge regression with an intercept on z (N, D) of mean 0: weight (K, D), bias (K,), scores (N, K) with each group left out.

    Leaving out costs little: the residuals of a group grow by (1 - its block of the hat matrix)^-1 (Cook & Weisberg 1982, "Residuals and
    influence in regression", sec. 3.6). Whichever is smaller is inverted, clips x clips or width x width.
    """
    count, width = z.shape
    bias = truth.mean(0)
    gram = (z @ z.T if count <= width else z.T @ z).double()
    penalty = strength * gram.diagonal().mean()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram + penalty * torch.eye(len(gram), dtype=gram.dtype)))
    rows = gram if count <= width else z.double()
    target = truth - bias if count <= width else rows.T @ (truth - bias)
    solution = inverse @ target
    residual = truth - bias - rows @ solution
    left_out = truth.clone()
    for members in members_of(groups):
        block = rows[members] @ (inverse[:, members] if count <= width else inverse @ rows[members].T) + 1 / count
        if len(members) < count:
            left_out[members] -= torch.linalg.solve(torch.eye(len(members), dtype=block.dtype) - block, residual[members])
    weight = z.T.double() @ solution if count <= width else solution
    return weight.T, bias, left_out


def class_means(z: Tensor, truth: Tensor, groups: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Directions of the class means of z (N, D), unit rows: weight (K, D), bias (K,) of zeros, scores (N, K) with each group left out."""
    z = z.double()
    sums = truth.T @ z
    weight = functional.normalize(sums, dim=1)
    left_out = torch.empty_like(truth)
    for members in members_of(groups):
        others = functional.normalize(sums - truth[members].T @ z[members], dim=1)
        left_out[members] = z[members] @ others.T
    return weight, torch.zeros(len(weight), dtype=z.dtype), left_out


def members_of(groups: Tensor) -> list[Tensor]:
    """The rows of each group."""
    order = groups.argsort(stable=True)
    return list(order.split(torch.unique_consecutive(groups[order], return_counts=True)[1].tolist()))


def fitted_scale(left_out: Tensor, targets: Tensor, groups: Tensor) -> float:
    """What scores (N, K) of left-out clips are best multiplied with, for the least log loss; classes of one group do not count.

    As if each class had one more clip that nothing is known of: where all clips are right, no finite scale would be best (after Platt
    1999, "Probabilistic outputs for support vector machines", sec. 2.2).
    """
    pairs = torch.unique(torch.stack([targets, groups]), dim=1)
    known = torch.bincount(pairs[0], minlength=left_out.shape[1])[targets] > 1
    if not known.any():
        return USUAL_SCALE
    scores, truth = left_out[known], targets[known]
    unsure = scores.shape[1] / (len(scores) + scores.shape[1])
    losses = [float(functional.cross_entropy(scale * scores, truth, label_smoothing=unsure)) for scale in SCALES]
    return float(SCALES[min(range(len(losses)), key=losses.__getitem__)])
