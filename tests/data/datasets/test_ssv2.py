"""Something-Something v2: templates as labels."""

from __future__ import annotations

from pathlib import Path

from gerund.data.datasets import load_dataset
from support.layouts import (
    make_ssv2,
)


def test_ssv2_labels_are_templates_without_brackets(tmp_path: Path) -> None:
    clips = load_dataset(make_ssv2(tmp_path))
    assert [(clip.path.name, clip.label, clip.split) for clip in clips] == [
        ("10.webm", "Holding something next to something", "train"),
        ("11.webm", "Putting something é", "train"),
        ("20.webm", "Holding something next to something", "val"),
        ("21.webm", "Putting something é", "val"),
    ]
