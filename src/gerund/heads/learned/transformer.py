"""A Transformer encoder over time (Vaswani et al. 2017, arXiv:1706.03762), pre- or post-norm, with a choice of pooling."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from gerund.core.errors import UsageError
from gerund.heads.learned.base import (
    Standardize,
    TorchHead,
    check_shares,
    check_sizes,
    masked_max,
    masked_mean,
    masked_softmax,
    max_weights,
    uniform_weights,
)

Pooling = Literal["max", "mean", "cls", "attention"]


class TransformerHead(TorchHead):
    """Tokens -> (projection) -> + learned positions -> encoder layers -> pooling over valid steps -> classifier.

    `width` 0 keeps the tokens' own width and leaves the projection out. `key_size` is per attention head; 0 means width / heads.
    `standardize` False feeds tokens as they are. `position_scale` bounds the positions' first values: at 0.05, a tenth of the default,
    order is learned so slowly that reversed actions stay confused.
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        num_frames: int,
        *,
        width: int = 128,
        layers: int = 1,
        heads: int = 4,
        key_size: int = 0,
        dense_width: int = 256,
        norm: Literal["pre", "post"] = "pre",
        norm_eps: float = 1e-5,
        pooling: Pooling = "mean",
        dropout: float = 0.3,
        attention_dropout: float = 0.1,
        classifier_dropout: float = 0.3,
        position_scale: float = 0.5,
        standardize: bool = True,
    ) -> None:
        super().__init__()
        if norm not in ("pre", "post"):
            raise UsageError(f"--head.norm {norm}: choose pre or post")
        if pooling not in ("max", "mean", "cls", "attention"):
            raise UsageError(f"--head.pooling {pooling}: choose max, mean, cls or attention")
        check_sizes(heads=heads, dense_width=dense_width)
        check_sizes(0, width=width, layers=layers, key_size=key_size)
        check_shares(dropout=dropout, attention_dropout=attention_dropout, classifier_dropout=classifier_dropout)
        if position_scale < 0 or norm_eps < 0:
            raise UsageError("--head.position-scale and --head.norm-eps: must be at least 0")
        size = width or dim
        if not key_size and size % heads:
            raise UsageError(f"--head.width {size} cannot be shared by --head.heads {heads}; give a multiple, or --head.key-size")
        self.pooling = pooling
        self.standardize = Standardize(dim) if standardize else None
        self.project = nn.Linear(dim, size) if width else nn.Identity()
        self.positions = nn.Parameter(torch.empty(num_frames, size).uniform_(-position_scale, position_scale))
        self.cls = nn.Parameter(torch.zeros(size)) if pooling == "cls" else None
        self.layers = nn.ModuleList(
            EncoderLayer(size, heads, key_size or size // heads, dense_width, norm == "pre", norm_eps, dropout, attention_dropout)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(size, eps=norm_eps) if norm == "pre" else nn.Identity()
        self.score = nn.Linear(size, 1, bias=False) if pooling == "attention" else None
        self.classify = nn.Sequential(nn.Dropout(classifier_dropout), nn.Linear(size, num_classes))

    def prepare(self, x: Tensor, valid: Tensor) -> None:
        if self.standardize is not None:
            self.standardize.fit(x, valid)

    def standardized(self, x: Tensor, valid: Tensor) -> Tensor:
        """Tokens (B, T, D) as the projection takes them."""
        x = torch.where(valid.unsqueeze(-1), x, 0)  # padding may hold anything, even NaN
        return x if self.standardize is None else self.standardize(x)

    def encode(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens after the encoder (B, S, width) and their mask (B, S); S = T, or T + 1 with a class token in front."""
        return self.mix(self.project(self.standardized(x, valid)), valid)

    def mix(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Positions and encoder layers over projected tokens (B, T, width); what comes out is what `encode` gives."""
        x = x + self.positions[: x.shape[1]]
        if self.cls is not None:
            x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1)
            valid = torch.cat([torch.ones_like(valid[:, :1]), valid], dim=1)
        for layer in self.layers:
            x = layer(x, valid)
        return self.norm(x), valid

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        x, valid = self.encode(x, valid)
        if self.pooling == "cls":
            pooled = x[:, 0]
        elif self.score is not None:
            pooled = (x * masked_softmax(self.score(x).squeeze(-1), valid).unsqueeze(-1)).sum(1)
        else:
            pooled = masked_max(x, valid) if self.pooling == "max" else masked_mean(x, valid)
        return self.classify(pooled)

    def step_weights(self, x: Tensor, valid: Tensor) -> Tensor:
        encoded, mask = self.encode(x, valid)
        if self.pooling == "max":
            return max_weights(encoded, mask)
        if self.score is not None:
            return masked_softmax(self.score(encoded).squeeze(-1), mask)
        return uniform_weights(valid)


class EncoderLayer(nn.Module):
    """Self-attention and a dense pair, each with a residual; normalised before (pre) or after (post)."""

    def __init__(
        self,
        size: int,
        heads: int,
        key_size: int,
        dense_width: int,
        pre: bool,
        eps: float,
        dropout: float,
        attention_dropout: float,
    ) -> None:
        super().__init__()
        self.pre = pre
        self.attend = SelfAttention(size, heads, key_size, attention_dropout)
        self.dense = nn.Sequential(nn.Linear(size, dense_width), nn.GELU(), nn.Linear(dense_width, size))
        self.norm1 = nn.LayerNorm(size, eps=eps)
        self.norm2 = nn.LayerNorm(size, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        if self.pre:
            x = x + self.dropout(self.attend(self.norm1(x), valid))
            return x + self.dropout(self.dense(self.norm2(x)))
        x = self.norm1(x + self.dropout(self.attend(x, valid)))
        return self.norm2(x + self.dropout(self.dense(x)))


class SelfAttention(nn.Module):
    """Multi-head attention whose key size does not depend on the model's width."""

    def __init__(self, size: int, heads: int, key_size: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query, self.key, self.value = (nn.Linear(size, heads * key_size) for _ in range(3))
        self.out = nn.Linear(heads * key_size, size)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        batch, steps, _ = x.shape
        query, key, value = (
            part(x).view(batch, steps, self.heads, -1).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        dropout = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=valid[:, None, None, :], dropout_p=dropout)
        return self.out(mixed.transpose(1, 2).flatten(2))
