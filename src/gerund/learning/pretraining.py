"""How an encoder is pretrained, and one row of what comes of it. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gerund.core.errors import UsageError, at_least


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the encoder is trained. Raises UsageError, naming the flag and the value, for numbers that cannot be."""

    hidden: float
    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    seed: int

    def __post_init__(self) -> None:
        if not 0 < self.hidden < 1:
            raise UsageError(f"--hidden {self.hidden:g}: a share above 0 and below 1")
        for flag, value in (("--epochs", self.epochs), ("--batch-size", self.batch_size)):
            if value < 1:
                raise UsageError(f"{flag} {value}: at least 1 is needed")
        at_least(0, weight_decay=self.weight_decay, seed=self.seed)
        if not 0 < self.lr < math.inf:
            raise UsageError(f"--lr {self.lr:g}: the learning rate must be above 0")


@dataclass(frozen=True, kw_only=True)
class PretrainingEpoch:
    """One row of results.csv. Losses are squared errors of standardised features: 1 is what predicting their mean costs."""

    epoch: int
    time: float
    train_loss: float
    val_loss: float

    def line(self, epochs: int, better: bool) -> str:
        said = f"{self.epoch}/{epochs}  train loss {self.train_loss:.3f}  val loss {self.val_loss:.3f}"
        return f"epoch {said}{'  best' * better}"
