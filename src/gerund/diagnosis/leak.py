"""How much a leaking split flatters: one quick head, tested on random clips, and on clips of groups it has never seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gerund.core.errors import DataError
from gerund.core.types import Clip
from gerund.data.manifest import group_of, labels_of
from gerund.features.extractor import Extractor
from gerund.features.tokens import Sampling, tokens
from gerund.heads import build_head

LEAK_FOLDS = 20
"""Many, so that a random fold seldom takes all siblings of a clip out of training with it."""
LEAK_STEPS = 150
LITTLE = 2**21
"""Numbers in the features of all clips that one thread can deal with."""
SAMPLING = Sampling(num_frames=1, take="mean", motion=False)


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """Accuracy (0..1) of a linear head on mean features, cross-validated both ways over all clips."""

    random_split: float
    group_safe: float
    num_clips: int
    num_groups: int

    @property
    def sentence(self) -> str:
        return f"random split {self.random_split:.2f}, group-safe {self.group_safe:.2f}"


def leakage_of(clips: Sequence[Clip], extractor: Extractor, *, seed: int = 0) -> Leakage:
    """Cross-validate with folds of random clips, then with folds of whole groups. Clips without features are left out.

    Raises DataError when there are fewer than two classes, or no class with two groups.
    """
    clips = [clip for clip in clips if clip.label is not None]
    labels = labels_of(clips)
    groups = {label: {group_of(clip) for clip in clips if clip.label == label} for label in labels}
    if len(labels) < 2 or max(len(each) for each in groups.values()) < 2:
        raise DataError("--measure-leak needs at least two classes, and two groups in one of them")
    extraction = extractor.extract(clip.path for clip in clips)
    clips = extraction.usable(clips)
    parts = [tokens(extraction.features[clip.path], clip, SAMPLING) for clip in clips]
    data = torch.from_numpy(np.stack([data for data, _ in parts]))
    valid = torch.from_numpy(np.stack([valid for _, valid in parts]))
    targets = torch.tensor([labels.index(clip.label or "") for clip in clips])
    accuracies = {}
    with one_thread_for_little(data):
        for name, unit_of in (("random_split", id), ("group_safe", group_of)):
            rng = np.random.default_rng(seed)
            accuracies[name] = float(
                cross_validated(data, valid, targets, random_folds(clips, unit_of, rng), seed).float().mean()
            )
    return Leakage(num_clips=len(clips), num_groups=len({group_of(clip) for clip in clips}), **accuracies)


@contextmanager
def one_thread_for_little(data: Tensor) -> Iterator[None]:
    """On a busy machine, threads that wait for each other make thousands of small steps ten times slower."""
    threads = torch.get_num_threads()
    if data.numel() < LITTLE:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def random_folds(clips: Sequence[Clip], unit_of: Callable[[Clip], Any], rng: np.random.Generator) -> Tensor:
    """The fold (N,) of each clip: the units of each class, shuffled and dealt out in turn; a unit is never parted."""
    units: dict[str, list[Any]] = defaultdict(list)
    for clip in clips:
        units[clip.label or ""].append(unit_of(clip))
    fold: dict[Any, int] = {}
    for members in units.values():
        fresh = [unit for unit in dict.fromkeys(members) if unit not in fold]
        first = int(rng.integers(LEAK_FOLDS))
        for place, number in enumerate(rng.permutation(len(fresh))):
            fold[fresh[number]] = (first + place) % LEAK_FOLDS
    return torch.tensor([fold[unit_of(clip)] for clip in clips])


def cross_validated(data: Tensor, valid: Tensor, targets: Tensor, folds: Tensor, seed: int) -> Tensor:
    """Whether each clip (N,) bool is named rightly by a head trained on the other folds."""
    hits = torch.zeros(len(targets), dtype=torch.bool)
    for fold in range(LEAK_FOLDS):
        test = folds == fold
        if test.any() and not test.all():
            logits = quick_logits(
                data[~test], valid[~test], targets[~test], data[test], valid[test], int(targets.max()) + 1, seed
            )
            hits[test] = logits.argmax(1) == targets[test]
    return hits


def quick_logits(
    data: Tensor, valid: Tensor, targets: Tensor, test_data: Tensor, test_valid: Tensor, num_classes: int, seed: int
) -> Tensor:
    """Logits (M, K) for test clips of a `mean` head, trained on all training clips at once."""
    torch.manual_seed(seed)
    head = build_head(
        "mean", token_dim=data.shape[2], num_classes=num_classes, num_frames=data.shape[1], options={"dropout": 0.0}
    )
    head.prepare(data, valid)
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.01, weight_decay=0.05)
    head.train()
    for _ in range(LEAK_STEPS):
        optimizer.zero_grad()
        functional.cross_entropy(head(data, valid), targets).backward()
        optimizer.step()
    head.eval()
    with torch.no_grad():
        return head(test_data, test_valid)
