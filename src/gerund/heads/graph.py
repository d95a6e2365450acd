"""A head that was learned elsewhere and saved as a graph: it answers in OpenVINO."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gerund.core.errors import ModelError, first_line
from gerund.core.openvino import core
from gerund.heads.base import Head

GRAPH_BATCH = 4
"""Clips that a saved head sees at once; the last batch is padded, so that an answer never depends on its neighbours."""


class GraphHead(Head):
    """The head in a file: tokens (4, T, D) and valid (4, T) in, logits (4, K) and the weights of the time steps (4, T) out.

    The graph is fixed; its `arrays` are those of the head that it was made of.
    """

    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray]) -> None:
        self.path, self.arrays = path, dict(arrays)
        try:
            self.graph = core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        except Exception as error:  # OpenVINO documents no exception types
            raise ModelError(
                f"{path}: not readable as a head ({first_line(error)}); copy the model again or train it again"
            ) from None

    def __call__(self, x: np.ndarray, valid: np.ndarray) -> np.ndarray:
        return self.run(x, valid)[0]

    def step_weights(self, x: np.ndarray, valid: np.ndarray) -> np.ndarray:
        answers = self.run(x, valid)
        return answers[1] if len(answers) > 1 else super().step_weights(x, valid)

    def state(self) -> dict[str, np.ndarray]:
        return self.arrays

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        raise NotImplementedError("a graph has the weights that it was saved with")

    def run(self, x: np.ndarray, valid: np.ndarray) -> list[np.ndarray]:
        """Every output of the graph, of all clips."""
        parts = []
        for first in range(0, len(x), GRAPH_BATCH):
            block, mask = x[first : first + GRAPH_BATCH], valid[first : first + GRAPH_BATCH]
            pad = GRAPH_BATCH - len(block)
            full = np.pad(block, ((0, pad), (0, 0), (0, 0))), np.pad(mask, ((0, pad), (0, 0)), constant_values=True)
            answers = self.graph(list(full))
            parts.append([answers[output][: len(block)] for output in self.graph.outputs])
        return [np.concatenate(each) for each in zip(*parts, strict=True)]
