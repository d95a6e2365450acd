"""Names that there are not, and what somebody may have meant."""

from __future__ import annotations

import pytest

from gerund.backbones import load_backbone
from gerund.core.errors import UsageError, near
from gerund.core.recipes import RECIPES, resolve
from gerund.data.datasets import DATASETS, load_dataset
from gerund.heads import HEADS, build_head


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("hybrid", ["hybrid-transformer"]),
        ("Hybrid_Transformer", ["hybrid-transformer"]),
        ("conv-lstm", ["convlstm"]),
        ("default", ["default"]),
        ("zebra", []),
        ("", []),
    ],
)
def test_a_name_that_resembles_another_is_proposed(word: str, meant: list[str]) -> None:
    assert near(word, RECIPES) == meant


def test_recipes_heads_and_data_sets_are_proposed() -> None:
    with pytest.raises(
        UsageError, match="unknown recipe 'hybrid'; did you mean hybrid-transformer\\? There are default, hybrid-tr"
    ):
        resolve("hybrid", None, {})
    with pytest.raises(UsageError, match="unknown head 'lstm'; did you mean bilstm\\? There are transformer"):
        build_head("lstm", token_dim=2, num_classes=2, num_frames=2)
    with pytest.raises(UsageError, match="unknown data set 'ucf-101'; did you mean ucf101\\? There are folder"):
        load_dataset("ucf-101:data")
    with pytest.raises(UsageError, match=f"unknown head 'nothing'; choose one of {', '.join(HEADS)}, or your own as"):
        build_head("nothing", token_dim=2, num_classes=2, num_frames=2)
    assert near("ucf101top5", DATASETS) == ["ucf101-top5"]


@pytest.mark.torch
def test_backbones_are_proposed() -> None:
    with pytest.raises(UsageError, match="unknown backbone 'resnet_50'; did you mean resnet50\\?"):
        load_backbone("resnet_50")
    with pytest.raises(UsageError, match="unknown backbone 'mobilenetv2'; did you mean mobilenetv2_"):
        load_backbone("mobilenetv2")
