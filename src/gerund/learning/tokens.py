"""Tokens of clips in one array, and the batches that training goes through in an epoch."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gerund.core.errors import TrainingError
from gerund.core.types import Clip
from gerund.data.manifest import group_of
from gerund.features.extractor import Extraction
from gerund.features.tokens import tokens
from gerund.learning.loop import Batch
from gerund.learning.team import ALONE, Team
from gerund.recognition.recognizer import Recognizer

TOKEN_MEMORY = 2**31
"""Bytes that all versions of the training clips' tokens may take together."""
NO_CLIP = -100
"""The target of a row that stands for no clip: it has no loss, no gradient, and is not counted."""


@dataclass(frozen=True)
class TokenSet:
    """Tokens of N clips in one array: `data` (V, N, T, D) float16 in V versions, the plain one first, then mirrored and jittered ones.

    `valid` (V, N, T) bool, `targets` (N,) int64, `groups` (N,) int64 with an equal number for clips of one group.
    """

    data: Tensor
    valid: Tensor
    targets: Tensor
    groups: Tensor

    def __len__(self) -> int:
        return len(self.targets)


def token_set(
    recognizer: Recognizer,
    views: Sequence[Extraction],
    clips: Sequence[Clip],
    *,
    draws: int = 0,
    rng: np.random.Generator | None = None,
) -> TokenSet:
    """Tokens of clips, plain under each view, then jittered `draws` times; fewer times when they would not fit in memory.

    Plain ones that do not fit lie in a file, memory-mapped.
    """
    index = {label: number for number, label in enumerate(recognizer.labels)}
    steps, width = recognizer.sampling.num_frames, recognizer.sampling.token_dim(recognizer.backbone.feature_dim)
    fitting = TOKEN_MEMORY // (len(clips) * steps * width * torch.float16.itemsize)
    versions = max(1, min(len(views) + draws, fitting))
    data = room((versions, len(clips), steps, width), recognizer.extractor.cache.folder)
    valid = torch.empty(data.shape[:3], dtype=torch.bool)
    for number, clip in enumerate(clips):
        for version in range(versions):
            features = views[version % len(views)].features[clip.path]
            part, mask = tokens(features, clip, recognizer.sampling, jitter=None if version < len(views) else rng)
            data[version, number], valid[version, number] = torch.from_numpy(part), torch.from_numpy(mask)
        if not bool(torch.isfinite(data[0, number]).all()):
            raise TrainingError("the features of some clips are not finite; extract them again with --precision f32")
    numbers = {group: number for number, group in enumerate(dict.fromkeys(map(group_of, clips)))}
    return TokenSet(
        data,
        valid,
        torch.tensor([index[clip.label or ""] for clip in clips]),
        torch.tensor([numbers[group_of(clip)] for clip in clips]),
    )


def room(shape: tuple[int, ...], folder: Path) -> Tensor:
    """An array of float16, not initialised; one of more than TOKEN_MEMORY is a mapped file in `folder` that ends with this process."""
    if math.prod(shape) * torch.float16.itemsize <= TOKEN_MEMORY:
        return torch.empty(shape, dtype=torch.float16)
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".tokens-", dir=folder)
    os.close(handle)
    data = torch.from_file(name, shared=True, size=math.prod(shape), dtype=torch.float16)
    with contextlib.suppress(OSError):  # Windows keeps the name of an open file
        Path(name).unlink()
    return data.view(shape)


class Batches:
    """Batches of a token set. In training, epoch e shuffles the clips and takes a random version of each, from (seed, e) alone.

    A batch is `x` (n, T, D), `valid` (n, T), `targets` (n,), and the targets (N,) of `everyone`: a batch of N is dealt out to the
    processes of a team. Whoever gets nothing is given a row that stands for no clip.
    """

    def __init__(self, tokens: TokenSet, batch_size: int, seed: int | None, team: Team = ALONE) -> None:
        self.tokens, self.batch_size, self.seed, self.team = tokens, batch_size, seed, team
        self.epoch = 0

    def __len__(self) -> int:
        return math.ceil(len(self.tokens) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        count = len(self.tokens)
        order, versions = np.arange(count), np.zeros(count, np.int64)
        if self.seed is not None:
            generator = np.random.default_rng([self.seed, self.epoch])
            order, versions = generator.permutation(count), generator.integers(len(self.tokens.data), size=count)
        for part in np.array_split(order, len(self)):  # even parts: no batch of one, which batch norms cannot use
            everyone = self.tokens.targets[torch.from_numpy(part)]
            own = part[self.team.rank :: self.team.size]
            chosen = own if len(own) else part[:1]
            rows, version = torch.from_numpy(chosen), torch.from_numpy(versions[chosen])
            targets = self.tokens.targets[rows] if len(own) else torch.tensor([NO_CLIP])
            yield self.tokens.data[version, rows].float(), self.tokens.valid[version, rows], targets, everyone
