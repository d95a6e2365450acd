"""The closed-form head as a module of torch, for formats that torch writes. It learns nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from gerund.heads.learned.base import Standardize, TorchHead, masked_max, masked_mean
from gerund.heads.ridge import PrototypeHead


class RidgeModule(TorchHead):
    """The same answers as the head that it is made of."""

    def __init__(self, head: PrototypeHead) -> None:
        super().__init__()
        self.kind = head.kind
        num_classes, width = head.weight.shape
        self.standardize, self.classify = Standardize(width), nn.Linear(width, num_classes)
        own = self.state_dict()  # what is for timelines stays in the model folder
        self.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in head.state().items() if name in own})

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        z = self.standardize(pooled_statistics(x, valid))
        return self.classify(functional.normalize(z, dim=1) if self.kind == "mean" else z)


def pooled_statistics(x: Tensor, valid: Tensor) -> Tensor:
    """What `gerund.heads.ridge` measures of tokens: (B, T, D) -> (B, 4 D)."""
    x = torch.where(valid.unsqueeze(-1), x.sign() * x.abs().sqrt(), 0)  # padding may hold anything, even NaN
    mean = masked_mean(x, valid)
    variance = masked_mean((x - mean.unsqueeze(1)).square(), valid)
    time = (2 * valid.cumsum(1) - 1) / valid.sum(1, keepdim=True) - 1
    return torch.cat(
        [mean, variance.clamp(min=1e-12).sqrt(), masked_max(x, valid), masked_mean(x * time.unsqueeze(-1), valid)], 1
    )
