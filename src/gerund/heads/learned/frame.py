"""The frame-by-frame baseline: every step is classified alone and the probabilities are averaged. Blind to order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gerund.heads.learned.base import Standardize, TorchHead, check_shares


class FrameHead(TorchHead):
    takes_order = False

    def __init__(self, dim: int, num_classes: int, num_frames: int, *, dropout: float = 0.2, standardize: bool = True) -> None:
        super().__init__()
        check_shares(dropout=dropout)
        self.standardize = Standardize(dim) if standardize else None
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, num_classes))

    def prepare(self, x: Tensor, valid: Tensor) -> None:
        if self.standardize is not None:
            self.standardize.fit(x, valid)

    def step_logs(self, x: Tensor, valid: Tensor) -> Tensor:
        """Log probabilities of each step alone (B, T, K); a padded step has probability 0."""
        x = torch.where(valid.unsqueeze(-1), x, 0)
        logs = self.classify(x if self.standardize is None else self.standardize(x)).log_softmax(-1)
        return logs.masked_fill(~valid.unsqueeze(-1), torch.finfo(logs.dtype).min)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Logs of the averaged probabilities, which are logits of just these probabilities."""
        return self.step_logs(x, valid).logsumexp(1) - valid.sum(1, keepdim=True).log()

    def step_weights(self, x: Tensor, valid: Tensor) -> Tensor:
        """Each step's share of the probability of the clip's answer."""
        logs = self.step_logs(x, valid)
        answer = logs.logsumexp(1).argmax(1)
        return logs.gather(2, answer.view(-1, 1, 1).expand(-1, logs.shape[1], 1)).squeeze(2).softmax(1)
