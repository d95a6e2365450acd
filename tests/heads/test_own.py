"""A head of one's own, named as package.module:Class: trained, kept as a graph, and refused politely where it is not to be had."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import gerund
from gerund.core.errors import UsageError
from gerund.heads import build_head
from gerund.recognition.evaluate import evaluate
from support.command import one_line, run

RampVideo = Callable[..., Path]
SOURCE = """
import torch
from torch import nn
from gerund.heads.learned.base import TorchHead, masked_mean

class Half(TorchHead):
    def __init__(self, dim, num_classes, num_frames, *, width: int = 8):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, width), nn.ReLU(), nn.Linear(width, num_classes))

    def forward(self, x, valid):
        return self.layers(masked_mean(torch.where(valid.unsqueeze(-1), x, 0), valid))

class Other:
    pass
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "no_such_heads.inner:Half",
            r"head 'no_such_heads.inner:Half': Python finds no module no_such_heads; .*python -m gerund",
        ),
        ("gerund.heads.ridge:Nothing", r"module 'gerund.heads.ridge' has no attribute 'Nothing'; write package.module:Class"),
        ("gerund.heads.ridge:", "write package.module:Class"),
    ],
)
def test_what_cannot_be_found_is_said_in_a_sentence(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_head(name, token_dim=4, num_classes=2, num_frames=3)


def test_a_head_in_numpy_is_taken_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain_heads.py").write_text(
        "from gerund.heads.ridge import PrototypeHead\nclass Own(PrototypeHead):\n    pass\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    head = build_head("plain_heads:Own", token_dim=4, num_classes=2, num_frames=3)
    assert (type(head).__name__, head.in_closed_form) == ("Own", True)


@pytest.fixture
def clips(tmp_path: Path, ramp_video: RampVideo) -> Path:
    for label, step in (("slow", 1), ("fast", 9)):
        for number in range(8):
            ramp_video(12 + number, step=step, name=f"{label}{number}", folder=tmp_path / "clips" / label)
    return tmp_path / "clips"


@pytest.mark.torch
def test_it_is_trained_recorded_and_answers_without_its_class(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "my_heads.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    words = ["train", "clips", "--backbone", "pixels:8", "--num-frames", 4, "--epochs", 4, "--cache", "c", "--out", "run"]
    code, _, err = run(*words, "--head", "my_heads:Half")
    assert (code, "no module my_heads" in one_line(err)) == (2, True)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path / "code")
        code, _, err = run(*words, "--head", "my_heads:Other")
        assert (code, "Other is neither a gerund.heads.Head nor a TorchHead" in one_line(err)) == (2, True)
        assert run(*words, "--head", "my_heads:Half", "--head.width", 6)[0] == 0
        assert run("export", "run", "out", "--format", "torch", "--cache", "c")[0] == 0
        taught = gerund.evaluate("run", cache="c").scores
    del sys.modules["my_heads"]
    config = json.loads((tmp_path / "run" / "best" / "config.json").read_text(encoding="utf-8"))
    assert config["head"] == {"name": "my_heads:Half", "options": {"width": 6}}
    np.testing.assert_allclose(evaluate("run", cache="c").scores, taught, atol=1e-6)
    assert run("predict", "run", "clips/slow", "--cache", "c")[0] == 0
    code, _, err = run("export", "run", "again", "--cache", "c")
    assert (code, "Python finds no module my_heads" in one_line(err)) == (2, True)
