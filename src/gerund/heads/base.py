"""What every head is: tokens of clips in, logits out, in numpy. Where its arithmetic happens is its own affair.

A head maps tokens x (B, T, D) float32 and valid (B, T) bool to logits (B, K) float32. Values of x where `valid` is False never matter.
Softmax happens once, in the recogniser.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np


class Head(ABC):
    """Base of all heads. `in_closed_form` is True for heads that `solve` for their weights instead of being trained over epochs.

    `optional` names weights that folders of before may lack.
    """

    in_closed_form = False
    optional: frozenset[str] = frozenset()
    scale: np.ndarray = np.ones(1, np.float32)
    """Logits are this times what the head compares, (1,)."""

    @abstractmethod
    def __call__(self, x: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Logits (B, K) of tokens x (B, T, D), valid (B, T)."""

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """All weights by name, as a model folder holds them."""

    @abstractmethod
    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Take weights with the names, shapes and types of `state`."""

    def window_logits(self, x: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Logits (B, K) of windows of a timeline, which seldom begin where an action does: as of clips, unless a head knows better."""
        return self(x, valid)

    def solve(
        self,
        x: np.ndarray,
        valid: np.ndarray,
        targets: np.ndarray,
        groups: np.ndarray,
        *,
        parts: int = 1,
        windows: np.ndarray | None = None,
    ) -> np.ndarray | None:
        """Set all weights from the training tokens (N, T, D), classes (N,) and groups (N,), for a head that is `in_closed_form`.

        A token joins `parts` features of equal width, 2 with motion; `windows` (N, V, W) has the statistics of windows inside each clip,
        where they were measured. What comes back is how each clip would score (N, K) had its group been left out, if the head can tell.
        """
        raise NotImplementedError

    def step_weights(self, x: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """How much each time step counted, (B, T), adding up to 1 over the valid steps of a clip.

        Unless a head knows better: how far the winning logit moves when the step is left out.
        """
        logits = self(x, valid)
        rows, winner = np.arange(len(x)), logits.argmax(1)
        change = np.zeros(valid.shape, np.float32)
        for step in range(valid.shape[1]):
            others = valid.copy()
            others[:, step] = False
            others = np.where(others.any(1, keepdims=True), others, valid)  # a lone step cannot be left out
            change[:, step] = np.abs(logits - self(x, others))[rows, winner]
        change = np.where(valid, change + np.float32(1e-6), 0)
        return change / change.sum(1, keepdims=True)

    @property
    def num_parameters(self) -> int:
        """How many numbers were trained to answer clips."""
        own = self.state().items()
        return sum(value.size for name, value in own if not name.startswith("standardize.") and name not in self.optional)


def check_state(
    own: Mapping[str, tuple[Any, Any]], state: Mapping[str, np.ndarray], optional: Collection[str] = frozenset()
) -> None:
    """Raise ValueError, with its name, for a weight that is missing, too many, or of another shape or type than a head's own.

    The `optional` ones may be missing all together.
    """
    expected = {*own} if state.keys() & set(optional) else {*own} - set(optional)
    for key in sorted({*expected, *state}):
        if key not in own or key not in state or (state[key].shape, state[key].dtype) != own[key]:
            raise ValueError(key)
