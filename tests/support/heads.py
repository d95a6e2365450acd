"""Heads that nobody trained."""

from __future__ import annotations

import numpy as np

from gerund.heads.ridge import PrototypeHead


def drawn_head(dim: int, num_classes: int, num_frames: int, seed: int = 0) -> PrototypeHead:
    """A head in closed form whose weights are drawn by lot, so that it answers something, and always the same."""
    head = PrototypeHead(dim, num_classes, num_frames)
    generator = np.random.default_rng(seed)
    state = head.state()
    state["timeline.weight"] = state["classify.weight"] = generator.normal(0, 0.1, state["classify.weight"].shape).astype(
        np.float32
    )
    head.load(state)
    return head
