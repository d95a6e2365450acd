"""Seconds for one training epoch over 10,000 clips x 20 steps x 1024 features with the transformer head: the second and third epoch."""

import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from gerund.core.recipes import RECIPES
from gerund.heads import build_head
from gerund.heads.learned.base import module_behind
from gerund.learning.fit import fit
from gerund.recognition.token_set import TokenSet

CLIPS, STEPS, WIDTH, CLASSES = 10_000, 20, 1024, 101


def tokens(count: int, rng: np.random.Generator) -> TokenSet:
    data = rng.standard_normal((1, count, STEPS, WIDTH), dtype=np.float32).astype(np.float16)
    return TokenSet(data, np.ones((1, count, STEPS), bool), rng.integers(CLASSES, size=count), np.arange(count))


def main() -> list[float]:
    rng = np.random.default_rng(0)
    recipe = replace(RECIPES["default"], head="transformer", epochs=3)
    head = build_head(recipe.head, token_dim=WIDTH, num_classes=CLASSES, num_frames=STEPS)
    with tempfile.TemporaryDirectory() as folder:
        train, val = tokens(CLIPS, rng), tokens(100, rng)
        history = fit(module_behind(head), train, val, recipe, device="cpu", folder=Path(folder), on_epoch=lambda *_: None)
    return [round(later.time - earlier.time, 2) for earlier, later in pairwise(history)]


if __name__ == "__main__":
    print("seconds per epoch:", main())
