"""The one loop: an epoch depends on the seed and its number alone, gradients are kept short, and learning rates go up and down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gerund.core.recipes import Recipe
from gerund.learning.batches import Batches
from gerund.learning.fit import Journal
from gerund.learning.loop import GRADIENT_CLIP, Loop, cosine_schedule, share_of_peak
from gerund.recognition.runs import Epoch
from gerund.recognition.token_set import TokenSet

pytestmark = pytest.mark.torch

STEPS = 4
EPOCH = Epoch(epoch=1, time=1.0, train_loss=1.0, val_loss=1.0, top1=0.5, top5=1.0, lr=0.1, train_top1=0.5)


def tokens() -> TokenSet:
    data = torch.randn(2, 10, 3, 5, generator=torch.Generator().manual_seed(0)).half().numpy()
    return TokenSet(data, np.ones((2, 10, 3), bool), np.arange(10) % 2, np.arange(10))


def square(module: nn.Module, x: Tensor, *_: Tensor) -> Tensor:
    return module(x).square().mean()


def loop(scale: float = 1.0) -> Loop:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Dropout(), nn.Linear(5, 2))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    schedule = cosine_schedule(optimizer, 2 * STEPS, warmup=0.5)
    return Loop(module, lambda *batch: scale * square(*batch), Batches(tokens(), 3, 7), optimizer, schedule, seed=7, device="cpu")


def test_an_epoch_depends_on_the_seed_and_its_number_alone() -> None:
    whole = [losses.tolist() for _, losses in loop().epochs(0, 2)]
    first, second = loop(), loop()
    assert [losses.tolist() for _, losses in first.epochs(0, 1)] == whole[:1]
    for part in ("module", "optimizer", "schedule"):
        getattr(second, part).load_state_dict(getattr(first, part).state_dict())
    torch.manual_seed(99)
    assert [losses.tolist() for _, losses in second.epochs(1, 2)] == whole[1:]
    assert [len(each) for each in whole] == [STEPS, STEPS]


def test_all_gradients_of_a_step_together_are_no_longer_than_the_clip() -> None:
    one = loop(scale=1e6)
    next(one.epochs(0, 1))
    length = torch.cat([each.grad.flatten() for each in one.module.parameters()]).norm()
    assert float(length) == pytest.approx(GRADIENT_CLIP, rel=1e-3)


def test_the_learning_rate_rises_to_its_peak_and_falls_like_a_cosine_to_nothing() -> None:
    assert [share_of_peak(each, 0.5) for each in (0.5, 0.75, 1.0, 2.0)] == pytest.approx([1, 0.5, 0, 0])
    assert share_of_peak(0.25, 0.5) == pytest.approx(0.5, abs=2e-3)
    assert 0 < share_of_peak(0, 0.5) < share_of_peak(0.1, 0.5)
    assert share_of_peak(0, 0) == 1


def test_a_journal_knows_the_best_epoch_and_when_to_stop() -> None:
    journal = Journal(replace(Recipe(), patience=2, time=10.0))
    rows = [replace(EPOCH, epoch=number, val_loss=loss, time=number) for number, loss in enumerate((1.0, 0.5, 0.7, 0.5), 1)]
    assert [journal.enter(row) for row in rows[:3]] == [True, True, False]
    assert journal.reason_to_stop() is None
    assert not journal.enter(rows[3])
    assert journal.reason_to_stop() == "No better validation loss for 2 epochs: stopped."
    journal.enter(replace(EPOCH, epoch=5, val_loss=0.1, time=10.0))
    assert journal.reason_to_stop() == "The time of 10 s is up: stopped after epoch 5."
    assert Journal(Recipe(), journal.history).seconds >= 10
