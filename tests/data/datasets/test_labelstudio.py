"""Tasks of Label Studio."""

from __future__ import annotations

from pathlib import Path

import pytest

from gerund.data.datasets import load_dataset
from support.layouts import (
    LONG,
    film,
    make_labelstudio,
    spans,
    studio_task,
    write,
    write_json,
)


def test_label_studio_frames_are_counted_from_1_at_the_rate_of_the_task(tmp_path: Path) -> None:
    clips = load_dataset(make_labelstudio(tmp_path))
    assert spans(clips)[:2] == [(f"1 {LONG}", "winken é", 1.0, 3.0), (f"1 {LONG}", "jump up", 4.0, 6.0)]


def test_label_studio_rates_come_from_the_config_or_the_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film(tmp_path / LONG, fps=10)
    write_json(tmp_path / "export.json", [studio_task()])
    data = f"labelstudio:{tmp_path / 'export.json'}"
    assert spans(load_dataset(data))[0][2:] == (1.0, 3.0)
    assert "task 5: frame numbers are taken at the video's own rate" in capsys.readouterr().err
    write(tmp_path / "config.xml", '<View><Video name="v" value="$video" framerate="20"/></View>', bom=False)
    assert spans(load_dataset(data))[0][2:] == (0.5, 1.5)
    write(tmp_path / "config.xml", '<View><Video name="v" value="$video"/></View>', bom=False)
    assert spans(load_dataset(data))[0][2:] == (round(10 / 24, 3), 1.25)
    assert capsys.readouterr().err == ""
