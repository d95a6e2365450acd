"""Projects of the VGG Image Annotator."""

from __future__ import annotations

from pathlib import Path

from gerund.data.datasets import load_dataset
from support.layouts import (
    LONG,
    film,
    spans,
    touch,
    via_project,
    write_json,
)


def test_via_segments_take_the_attribute_that_names_the_activity(tmp_path: Path) -> None:
    film(tmp_path / LONG)
    write_json(tmp_path / "p.json", via_project())
    assert spans(load_dataset(f"via:{tmp_path / 'p.json'}")) == [(LONG, "Ei trennen é", 2.0, 6.5), (LONG, "mix", 7.0, 9.0)]


def test_a_via_entry_without_times_labels_the_whole_video(tmp_path: Path) -> None:
    touch(tmp_path / "sub" / "é 1.mp4")
    project = via_project("ignored")
    project["file"]["9"]["src"] = "file:///sub/%C3%A9%201.mp4".replace("file:///sub", f"file://{tmp_path}/sub")
    project["metadata"] = {"a": {"vid": "1", "z": [], "xy": [], "av": {"2": "7,8"}}}
    write_json(tmp_path / "p.json", project)
    assert spans(load_dataset(f"via:{tmp_path / 'p.json'}")) == [
        ("é 1.mp4", "Ei trennen é", 0.0, None),
        ("é 1.mp4", "mix", 0.0, None),
    ]
