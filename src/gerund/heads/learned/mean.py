"""The simplest head: the average token, classified linearly. Blind to order."""

from __future__ import annotations

from torch import Tensor, nn

from gerund.heads.learned.base import Standardize, TorchHead, check_shares, masked_mean, uniform_weights


class MeanHead(TorchHead):
    takes_order = False

    def __init__(self, dim: int, num_classes: int, num_frames: int, *, dropout: float = 0.2) -> None:
        super().__init__()
        check_shares(dropout=dropout)
        self.standardize = Standardize(dim)
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, num_classes))

    def prepare(self, x: Tensor, valid: Tensor) -> None:
        self.standardize.fit(x, valid)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        return self.classify(masked_mean(self.standardize(x), valid))

    def step_weights(self, x: Tensor, valid: Tensor) -> Tensor:
        return uniform_weights(valid)
