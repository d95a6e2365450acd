"""A device that is not there is said in a sentence, before any video is looked at."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from gerund.backbones import checked_device
from gerund.core.errors import UsageError


@pytest.mark.skipif(find_spec("torch") is not None, reason="of the household alone")
def test_without_torch_another_device_needs_it() -> None:
    with pytest.raises(UsageError, match="--device cuda runs in another engine, which needs torch"):
        checked_device("cuda")


@pytest.mark.torch
@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "torch sees no GPU of NVIDIA here; leave the option out, or give --device cpu"),
        ("cuda:3", "torch sees no GPU of NVIDIA here"),
        ("mps", "there is no GPU of Apple that torch can use"),
        ("gpu", "no such device; there are cpu, cuda, cuda:1 ... and mps"),
        ("meta", "gerund does not compute on meta"),
    ],
)
def test_a_device_that_is_not_there_is_refused(device: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(UsageError) as refused:
        checked_device(device)
    assert str(refused.value).startswith(f"--device {device}: {message}")


@pytest.mark.torch
def test_gpus_are_counted_from_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert checked_device("cuda:1") == "cuda:1"
    with pytest.raises(UsageError, match="--device cuda:2: there are 2 GPUs, counted from 0"):
        checked_device("cuda:2")
