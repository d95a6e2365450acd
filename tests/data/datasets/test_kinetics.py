"""Kinetics: both namings of its files, whole videos, and what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from gerund.data.datasets import load_dataset
from support.layouts import (
    film,
    make_kinetics,
    spans,
    write,
)


def test_kinetics_finds_both_namings_and_reports_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = load_dataset(make_kinetics(tmp_path))
    assert "2 of 6 listed videos are missing, first gone0_000000_000010" in capsys.readouterr().err
    assert [(clip.path.name, clip.label, clip.split, clip.group, clip.start, clip.end) for clip in clips] == [
        ("-id00_000000_000010.mp4", "riding a bike", "train", "-id00", 0.0, None),
        ("-id01.mp4", "zähne putzen", "train", "-id01", 0.0, None),
        ("-id10_000000_000010.mp4", "riding a bike", "val", "-id10", 0.0, None),
        ("-id11.mp4", "zähne putzen", "val", "-id11", 0.0, None),
    ]


def test_a_kinetics_video_in_full_length_is_cut_by_time(tmp_path: Path) -> None:
    rows = ["waving,whole,2,5,train", "waving,short,20,30,train"]
    write(tmp_path / "train.csv", "label,youtube_id,time_start,time_end,split,is_cc", *(f"{row},0" for row in rows))
    film(tmp_path / "whole.mp4")
    film(tmp_path / "short.mp4")
    assert spans(load_dataset(f"kinetics:{tmp_path}")) == [("whole.mp4", "waving", 2.0, 5.0), ("short.mp4", "waving", 0.0, None)]
