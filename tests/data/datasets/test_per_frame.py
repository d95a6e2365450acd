"""Tables with a row per picture: the headers of DeepEthogram, SimBA and JAABA users, times, probabilities, names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gerund.core.errors import DataError
from gerund.data.datasets import load_annotations
from support.layouts import film, touch, write
from support.videos import encode


def spans(data: str) -> list[tuple[str | None, float, float | None]]:
    return [(each.label, round(each.start, 6), each.end and round(each.end, 6)) for each in load_annotations(data)]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("a_labels.csv", [",background,rear,groom", "0,1,0,0", "1,0,1,0", "2,0,1,1", "3,0,0,1", "4,1,0,0", "5,-1,-1,-1"]),
        (
            "a.csv",
            [
                ",Nose_x,Nose_y,Nose_p,Movement_nose,Probability_rear,rear,groom",
                "0,5,5,1,2.5,0.1,0,0",
                "1,5,5,0,2.5,0.9,1,0",
                "2,5,5,1,2.5,0.9,1,1",
                "3,5,5,1,2.5,0.2,0,1",
                "4,5,5,1,2.5,0.2,0,0",
            ],
        ),
        ("a.tsv", ["Frame\trear\tgroom", "0\t0\t0", "1\t1\t0", "2\t1\t1", "3\t0\t1", "4\t0\t0"]),
        ("a_scores.csv", ["time,rear,groom", "0.0,0,0", "0.1,1,0", "0.2,1,1", "0.3,0,1", "0.4,0,0"]),
        ("a_predictions.csv", ["frame,Probability_rear,Probability_groom", "0,.1,0", "1,.5,.49", "2,.9,.8", "3,.2,.8", "4,0,.1"]),
    ],
)
def test_usual_headers_are_read(tmp_path: Path, name: str, rows: list[str]) -> None:
    film(tmp_path / "a.mp4", seconds=1)
    write(tmp_path / name, *rows)
    found = [each for each in spans(f"per-frame:{tmp_path / name}") if each[0] != "background"]
    assert found == [("rear", 0.1, 0.3), ("groom", 0.2, 0.4)]


def test_a_name_in_each_row_is_its_label(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", seconds=1)
    write(tmp_path / "a.csv", "frame,behavior", "0,rear", "1,rear", "2,", "3,background", "4,rear")
    assert spans(f"per-frame:{tmp_path / 'a.csv'}") == [("rear", 0.0, 0.2), ("background", 0.3, 0.4), ("rear", 0.4, 0.5)]


def test_rows_are_pictures_at_their_own_times(tmp_path: Path) -> None:
    stamps = [0, 40, 100, 500, 540, 1200]
    encode(tmp_path / "a.mkv", [np.zeros((16, 16, 3), np.uint8)] * 6, pts_ms=stamps)
    write(tmp_path / "a.csv", ",x", *(f"{i},{int(i in (1, 2, 5))}" for i in range(6)))
    first, last = spans(f"per-frame:{tmp_path / 'a.csv'}")
    assert first == ("x", 0.04, 0.5)
    assert last[1] == 1.2
    assert last[2] is not None and last[2] > 1.2


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([",x"], r"a\.csv: no rows below the header"),
        ([",x", "0,0", "1,0"], r"a\.csv: no row has a label"),
        ([",x", *(f"{i},1" for i in range(11))], r"a\.csv: 11 rows, but .*a\.mp4 has 10 pictures; is it the right video\?"),
        (
            ["frame,speed,name", "0,12.5,Kim"],
            r"a\.csv: no column of 0 and 1, none of probabilities \(found: frame, speed, name\)",
        ),
        (["time,x", "0,1", "0.2,1", "0.1,0"], r"a\.csv:4: column 'time': its times do not rise"),
        (["time,x", "0,1", "soon,1"], r"a\.csv:3: column 'time': 'soon' is not a number"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, rows: list[str], words: str) -> None:
    film(tmp_path / "a.mp4", seconds=1)
    write(tmp_path / "a.csv", *rows)
    with pytest.raises(DataError, match=words):
        load_annotations(f"per-frame:{tmp_path / 'a.csv'}")


def test_a_table_without_its_video_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "other.mp4")
    write(tmp_path / "a_labels.csv", ",x", "0,1")
    with pytest.raises(DataError, match=r"a_labels\.csv: no video called 'a' beside it; a table has the name of its video"):
        load_annotations(f"per-frame:{tmp_path / 'a_labels.csv'}")
    touch(tmp_path / "a.mp4")
    with pytest.raises(DataError, match=r"a_labels\.csv: its rows are pictures, so the video is needed; .*the file is empty"):
        load_annotations(f"per-frame:{tmp_path / 'a_labels.csv'}")
