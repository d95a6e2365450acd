"""The videos that an annotation means, whatever address was noted."""

from __future__ import annotations

from pathlib import Path

import pytest

from gerund.data.datasets import load_dataset
from support.layouts import (
    spans,
    studio_task,
    touch,
    write_json,
)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/data/local-files/?d=a%20b/c é.mp4", "a b/c é.mp4"),
        ("https://host.example/x/c%20d.mp4?token=1", "c d.mp4"),
        ("s3://bucket/x/c.mp4", "c.mp4"),
        (r"C:\Users\me\c d.mp4", "c d.mp4"),
        (r"folder\c.mp4", "folder/c.mp4"),
    ],
)
def test_videos_are_found_whatever_address_was_noted(tmp_path: Path, address: str, name: str) -> None:
    touch(tmp_path / name)
    task = studio_task()
    task["data"] = {"video_url": address, "note": "x"}
    task["annotations"] = [
        {"result": [{"value": {"choices": ["wave é"]}}, {"value": {"start": 1.5, "end": 2, "channel": 0, "labels": ["jump"]}}]}
    ]
    write_json(tmp_path / "export.json", [task])
    clips = load_dataset(f"labelstudio:{tmp_path}")
    assert clips[0].path.samefile(tmp_path / name)
    assert [row[1:] for row in spans(clips)] == [("wave é", 0.0, None), ("jump", 1.5, 2.0)]
