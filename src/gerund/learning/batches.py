"""The batches that training goes through in an epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from gerund.core.team import ALONE, Team
from gerund.learning.loop import Batch
from gerund.recognition.token_set import TokenSet

NO_CLIP = -100
"""The target of a row that stands for no clip: it has no loss, no gradient, and is not counted."""


class Batches:
    """Batches of a token set. In training, epoch e shuffles the clips and takes a random version of each, from (seed, e) alone.

    A batch is `x` (n, T, D), `valid` (n, T), `targets` (n,), and the targets (N,) of `everyone`: a batch of N is dealt out to the
    processes of a team. Whoever gets nothing is given a row that stands for no clip.
    """

    def __init__(self, tokens: TokenSet, batch_size: int, seed: int | None, team: Team = ALONE) -> None:
        self.data, self.valid, self.targets = map(torch.from_numpy, (tokens.data, tokens.valid, tokens.targets))
        self.batch_size, self.seed, self.team = batch_size, seed, team
        self.epoch = 0

    def __len__(self) -> int:
        return math.ceil(len(self.targets) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        count = len(self.targets)
        order, versions = np.arange(count), np.zeros(count, np.int64)
        if self.seed is not None:
            generator = np.random.default_rng([self.seed, self.epoch])
            order, versions = generator.permutation(count), generator.integers(len(self.data), size=count)
        for part in np.array_split(order, len(self)):  # even parts: no batch of one, which batch norms cannot use
            everyone = self.targets[torch.from_numpy(part)]
            own = part[self.team.rank :: self.team.size]
            chosen = own if len(own) else part[:1]
            rows, version = torch.from_numpy(chosen), torch.from_numpy(versions[chosen])
            targets = self.targets[rows] if len(own) else torch.tensor([NO_CLIP])
            yield self.data[version, rows].float(), self.valid[version, rows], targets, everyone
