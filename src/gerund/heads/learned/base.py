"""What heads in torch share: the module's contract, masked pooling over time, input standardisation, and the face they show in numpy."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gerund.core.errors import UsageError
from gerund.heads.base import Head, check_state
from gerund.heads.graph import GRAPH_BATCH


class TorchHead(nn.Module):
    """Base of the heads that are learned over epochs. `takes_order` is False where the time steps may be shuffled.

    One that knows how much each time step counted says it in `step_weights(x, valid)`: (B, T), adding up to 1 over the valid steps.
    """

    takes_order = True

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Logits (B, K) of tokens x (B, T, D), valid (B, T); what stands where `valid` is False never matters."""
        raise NotImplementedError

    def prepare(self, x: Tensor, valid: Tensor) -> None:
        """Look at all training tokens (N, T, D) once before training starts; most heads need nothing."""


class LearnedHead(Head):
    """A module of torch as a head: it answers in evaluation mode, on the CPU."""

    def __init__(self, module: TorchHead) -> None:
        self.module = module.eval()

    def __call__(self, x: np.ndarray, valid: np.ndarray) -> np.ndarray:
        return self.run(self.module.forward, x, valid)

    def step_weights(self, x: np.ndarray, valid: np.ndarray) -> np.ndarray:
        knows = getattr(self.module, "step_weights", None)
        return super().step_weights(x, valid) if knows is None else self.run(knows, x, valid)

    def state(self) -> dict[str, np.ndarray]:
        return {name: value.detach().cpu().numpy() for name, value in self.module.state_dict().items()}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        self.module.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})

    def graph(self, num_frames: int, dim: int) -> Any:
        """The head as an OpenVINO model, as `gerund.heads.graph.GraphHead` runs it."""
        import openvino as ov

        example = torch.zeros(GRAPH_BATCH, num_frames, dim), torch.ones(GRAPH_BATCH, num_frames, dtype=torch.bool)
        shapes = [ov.PartialShape(list(each.shape)) for each in example]
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the converter uses torch's tracer, which torch has deprecated
            return ov.convert_model(Answers(self.module).eval(), example_input=example, input=shapes)

    @classmethod
    def filled(cls, build: Callable[[], Head], state: Mapping[str, np.ndarray]) -> Head:
        """A head with the weights of `state`, built without memory first. Raises ValueError for weights that do not fill it."""
        with torch.device("meta"):
            shape = build()
        assert isinstance(shape, cls)
        own = shape.module.state_dict()
        check_state({key: (tuple(value.shape), dtype_of(value)) for key, value in own.items()}, state)
        head = build()
        head.load(state)
        return head

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.module.parameters())

    @torch.inference_mode()
    def run(self, forward: Callable[[Tensor, Tensor], Tensor], x: np.ndarray, valid: np.ndarray) -> np.ndarray:
        with one_thread() if len(x) == 1 else nullcontext():
            return forward(torch.from_numpy(x), torch.from_numpy(valid)).float().numpy()


def module_behind(head: Head) -> TorchHead:
    """The module of a head that is learned over epochs."""
    assert isinstance(head, LearnedHead)
    return head.module


class Answers(nn.Module):
    """All that is asked of a head: logits, and the weights of the time steps where it knows them."""

    def __init__(self, module: TorchHead) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, valid: Tensor) -> Any:
        logits, knows = self.module(x, valid), getattr(self.module, "step_weights", None)
        return logits if knows is None else (logits, knows(x, valid))


def dtype_of(tensor: Tensor) -> np.dtype:
    """The numpy type of a tensor's numbers."""
    return torch.empty(0, dtype=tensor.dtype, device="cpu").numpy().dtype


def seeded(seed: int | None, build: Callable[[], TorchHead]) -> TorchHead:
    """A module with the first weights of a seed, where there is one; torch's own generator goes on from there, as training expects."""
    if seed is not None:
        torch.manual_seed(seed)
    return build()


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch in one thread: for one clip, waiting for the others costs fifty times the arithmetic."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_sizes(least: int = 1, **sizes: int) -> None:
    """Raise UsageError for an option of a head, given by name, that is below `least`."""
    for name, size in sizes.items():
        if size < least:
            raise UsageError(f"--head.{name.replace('_', '-')} {size}: must be at least {least}")


def check_shares(**shares: float) -> None:
    """Raise UsageError for an option of a head, given by name, that is not within 0..1."""
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise UsageError(f"--head.{name.replace('_', '-')} {share:g}: must lie between 0 and 1")


class Standardize(nn.Module):
    """Each input dimension to mean 0 and standard deviation 1 over the training tokens; fixed numbers, not learned.

    `fitted` is set where they were measured on more than the training tokens, and then stand.
    """

    mean: Tensor
    std: Tensor
    fitted = False

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def fit(self, x: Tensor, valid: Tensor) -> None:
        """Measure tokens x (N, T, D); a dimension that hardly moves is not blown up."""
        if self.fitted:
            return
        count, total, squares = valid.sum(), 0.0, 0.0
        for part, mask in zip(x.split(1024), valid.split(1024), strict=True):
            rows = part[mask].double()
            total, squares = total + rows.sum(0), squares + rows.square().sum(0)
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt()
        self.mean.copy_(mean)
        self.std.copy_(std.clamp(min=float(std.mean()) * 0.05 + 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def masked_mean(x: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid steps: (B, T, D) -> (B, D)."""
    weights = valid.to(x.dtype).unsqueeze(-1)
    return torch.where(valid.unsqueeze(-1), x, 0).sum(1) / weights.sum(1)


def masked_max(x: Tensor, valid: Tensor) -> Tensor:
    """Maximum over the valid steps: (B, T, D) -> (B, D)."""
    return x.masked_fill(~valid.unsqueeze(-1), torch.finfo(x.dtype).min).amax(1)


def masked_softmax(scores: Tensor, valid: Tensor) -> Tensor:
    """Softmax over the valid steps: scores (B, T) -> weights (B, T), 0 where not valid."""
    return scores.masked_fill(~valid, torch.finfo(scores.dtype).min).softmax(1)


def uniform_weights(valid: Tensor) -> Tensor:
    """Every valid step counts the same: (B, T) bool -> (B, T)."""
    return valid.float() / valid.sum(1, keepdim=True)


def max_weights(x: Tensor, valid: Tensor) -> Tensor:
    """Share of the features whose maximum over time each step gave: (B, T, D) -> (B, T)."""
    winners = x.masked_fill(~valid.unsqueeze(-1), torch.finfo(x.dtype).min).argmax(1)
    return torch.zeros_like(x[..., 0]).scatter_add_(1, winners, torch.ones_like(winners, dtype=x.dtype)) / winners.shape[1]
