"""Tracks, attributes and tags of CVAT."""

from __future__ import annotations

from pathlib import Path

from gerund.data.datasets import load_dataset
from support.clocks import grey, with_sound
from support.layouts import (
    LONG,
    cvat_xml,
    film,
    spans,
    write,
)


def test_cvat_tracks_are_clips_where_they_are_visible(tmp_path: Path) -> None:
    film(tmp_path / LONG, fps=10)
    write(tmp_path / "annotations.xml", *cvat_xml(), bom=False)
    assert spans(load_dataset(f"cvat:{tmp_path}")) == [
        (LONG, "winken é", 1.0, 2.0),
        (LONG, "winken é", 4.0, 5.0),
        (LONG, "jump up", 2.0, 3.0),
    ]


def test_cvat_counts_frames_from_the_first_picture(tmp_path: Path) -> None:
    with_sound(tmp_path / "late.mp4", [grey(4 * index) for index in range(60)], late=2.0, seconds=9)
    write(tmp_path / "annotations.xml", *cvat_xml("late.mp4"), bom=False)
    found = spans(load_dataset(f"cvat:{tmp_path}"))
    assert [span[2:] for span in found] == [(3.0, 4.0), (6.0, 7.0), (4.0, 5.0)]


def test_cvat_attributes_called_action_and_tags_name_clips_too(tmp_path: Path) -> None:
    film(tmp_path / LONG, fps=10)
    boxes = "".join(
        f'<box frame="{n}" outside="0"><attribute name="Action">{"sit é" if n < 5 else "stand"}</attribute></box>'
        for n in range(10)
    )
    tags = "".join(f'<image id="{n}" name="frame_{n}"><tag label="wave" source="manual"></tag></image>' for n in (20, 25, 30, 50))
    body = f'<track id="0" label="person">{boxes}</track>{tags}'
    write(tmp_path / "annotations.xml", *cvat_xml(task="<frame_filter>step=5</frame_filter>", body=body), bom=False)
    assert spans(load_dataset(f"cvat:{tmp_path}")) == [
        (LONG, "sit é", 0.0, 0.9),
        (LONG, "stand", 0.5, 1.4),
        (LONG, "wave", 2.0, 3.5),
        (LONG, "wave", 5.0, 5.5),
    ]
