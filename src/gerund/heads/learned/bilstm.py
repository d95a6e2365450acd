"""A (bidirectional) LSTM over time with attention over its states, as in the ConvLSTM recipe."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from gerund.core.errors import UsageError
from gerund.heads.learned.base import Standardize, TorchHead, check_shares, check_sizes, masked_softmax

BATCH_NORM_MOMENTUM = 0.01


class BiLstmHead(TorchHead):
    """Tokens -> projection and norm -> LSTM -> attention over valid steps, or the last state -> classifier.

    Valid steps come first, as `tokens` makes them. The backward pass reverses each clip's valid part by gathering instead of
    packing, so that padding changes nothing and the head can be exported.
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        num_frames: int,
        *,
        latent: int = 256,
        hidden: int = 128,
        layers: int = 1,
        bidirectional: bool = True,
        attention: bool = True,
        norm: Literal["layer", "batch"] = "layer",
        dropout: float = 0.3,
        standardize: bool = True,
    ) -> None:
        super().__init__()
        if norm not in ("layer", "batch"):
            raise UsageError(f"--head.norm {norm}: choose layer or batch")
        check_sizes(latent=latent, hidden=hidden, layers=layers)
        check_shares(dropout=dropout)
        width = hidden * (2 if bidirectional else 1)
        self.standardize = Standardize(dim) if standardize else None
        self.project = nn.Linear(dim, latent)
        self.norm = StepNorm(latent, norm)
        self.forward_lstms = nn.ModuleList(
            nn.LSTM(width if layer else latent, hidden, batch_first=True) for layer in range(layers)
        )
        self.backward_lstms = nn.ModuleList(
            nn.LSTM(width if layer else latent, hidden, batch_first=True) for layer in range(layers if bidirectional else 0)
        )
        self.attend = nn.Linear(width, 1) if attention else None
        self.dropout = nn.Dropout(dropout)
        last_norm = nn.BatchNorm1d(hidden, momentum=BATCH_NORM_MOMENTUM) if norm == "batch" else nn.LayerNorm(hidden)
        self.classify = nn.Sequential(
            nn.Linear(width, hidden), last_norm, nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, num_classes)
        )

    def prepare(self, x: Tensor, valid: Tensor) -> None:
        if self.standardize is not None:
            self.standardize.fit(x, valid)

    def encode(self, x: Tensor, valid: Tensor) -> Tensor:
        """States of all steps (B, T, width): forward ones, then backward ones."""
        x = torch.where(valid.unsqueeze(-1), x, 0)  # padding may hold anything, even NaN
        x = self.norm(self.project(x if self.standardize is None else self.standardize(x)), valid)
        backwards = reversed_steps(valid)
        for layer, lstm in enumerate(self.forward_lstms):
            states = [lstm(self.dropout(x))[0]]
            if len(self.backward_lstms):
                states.append(gather_steps(self.backward_lstms[layer](gather_steps(self.dropout(x), backwards))[0], backwards))
            x = torch.cat(states, dim=-1)
        return x

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        states = self.encode(x, valid)
        return self.classify(
            (states * self.weigh(states, valid).unsqueeze(-1)).sum(1) if self.attend else self.last(states, valid)
        )

    def weigh(self, states: Tensor, valid: Tensor) -> Tensor:
        assert self.attend is not None
        return masked_softmax(self.attend(states).squeeze(-1), valid)

    def last(self, states: Tensor, valid: Tensor) -> Tensor:
        """The forward state of the last valid step beside the backward state of the first one: (B, width)."""
        hidden = self.forward_lstms[0].hidden_size
        index = (valid.sum(1) - 1).view(-1, 1, 1).expand(-1, 1, states.shape[-1])
        return torch.cat([states.gather(1, index)[:, 0, :hidden], states[:, 0, hidden:]], dim=-1)

    def step_weights(self, x: Tensor, valid: Tensor) -> Tensor:
        if self.attend:
            return self.weigh(self.encode(x, valid), valid)
        last = torch.arange(valid.shape[1], device=valid.device) == valid.sum(1, keepdim=True) - 1
        return last.float()


class StepNorm(nn.Module):
    """Layer norm, or a batch norm whose statistics come from valid steps only."""

    def __init__(self, width: int, kind: str) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width, momentum=BATCH_NORM_MOMENTUM) if kind == "batch" else nn.LayerNorm(width)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        if isinstance(self.norm, nn.LayerNorm):
            return self.norm(x)
        if not self.training:
            return self.norm(x.flatten(0, 1)).view_as(x)
        rows = self.norm(x[valid])
        return torch.zeros_like(x).masked_scatter(valid.unsqueeze(-1), rows)


def reversed_steps(valid: Tensor) -> Tensor:
    """Indices (B, T) that turn each clip's valid steps around and leave the padding where it is."""
    steps = torch.arange(valid.shape[1], device=valid.device).expand_as(valid)
    return torch.where(valid, valid.sum(1, keepdim=True) - 1 - steps, steps)


def gather_steps(x: Tensor, index: Tensor) -> Tensor:
    """Steps of x (B, T, D) in the order of index (B, T)."""
    return x.gather(1, index.unsqueeze(-1).expand_as(x))
