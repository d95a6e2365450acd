"""Workbooks as people make them in Excel and LibreOffice, read as any other table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gerund.core.errors import DataError
from gerund.core.sheets import cell_text, sheet_text, write_sheet
from gerund.core.texts import plain_number, read_table

Make = Callable[..., Path]


@pytest.fixture
def workbook(tmp_path: Path) -> Make:
    def make(*sheets: list[list[Any]], name: str = "labels.xlsx") -> Path:
        book = openpyxl.Workbook()
        for number, rows in enumerate(sheets):
            sheet = book.create_sheet(f"sheet {number}", number)
            for row in rows:
                sheet.append(row)
        book.save(tmp_path / name)
        return tmp_path / name

    return make


def test_a_sheet_is_a_table_with_its_rows_numbered_as_people_see_them(workbook: Make) -> None:
    path = workbook([[], ["Path", " LABEL", "Start"], ["a.mp4", 'say "go"\tnow', 1.5], [None, None, None], ["b.mp4", 7, 3]])
    table = read_table(path, ("path", "label", "start"))
    assert table.columns == ["path", "label", "start"]
    assert table.rows == [
        (3, {"path": "a.mp4", "label": 'say "go"\tnow', "start": "1.5"}),
        (5, {"path": "b.mp4", "label": "7", "start": "3"}),
    ]


def test_the_first_sheet_with_anything_on_it_is_read(workbook: Make, capsys: pytest.CaptureFixture[str]) -> None:
    path = workbook([], [["path"], ["a.mp4"]], [["other"]])
    assert sheet_text(path) == "path\na.mp4\n"
    assert "labels.xlsx: the sheet 'sheet 1' is read, and none of the others." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.1 + 0.2, "0.3"),
        (12.0, "12"),
        (True, "True"),
        (time(0, 1, 23, 500000), "83.5"),
        (timedelta(hours=30), "108000"),
        (datetime(1899, 12, 31, 1, 0), "90000"),  # 25:00:00, as Excel keeps it
        (date(2026, 3, 1), "2026-03-01"),
    ],
)
def test_cells_are_what_a_csv_would_hold(value: Any, text: str) -> None:
    assert cell_text(value) == text


def test_what_is_no_workbook_is_said_in_a_sentence(tmp_path: Path, workbook: Make) -> None:
    (tmp_path / "text.xlsx").write_text("path,label\n", encoding="utf-8")
    for path, message in (
        (tmp_path / "text.xlsx", "text.xlsx: not a workbook that can be read"),
        (tmp_path / "gone.xlsx", "gone.xlsx: not readable"),
        (workbook([[]]), "labels.xlsx: no sheet with anything on it"),
    ):
        with pytest.raises(DataError, match=message):
            sheet_text(path)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_sheet(tmp_path / "x.xlsx", ("path", "n"), [["=1+1", 2], ["a\x07b", float("nan")]])
    assert sheet_text(tmp_path / "x.xlsx") == "path\tn\n=1+1\t2\na\\x07b\n"
    with pytest.raises(DataError, match=r"--xlsx .*cannot be written"):
        write_sheet(tmp_path / "none" / "x.xlsx", ("n",), [])


@pytest.mark.parametrize(
    ("text", "comma", "plain"),
    [
        ("1:23", False, "83"),
        ("01:23.5", False, "83.5"),
        ("1:02:03.25", False, "3723.25"),
        ("90:00", False, "5400"),
        ("12,5", True, "12.5"),
        ("1:23,5", True, "83.5"),
        ("-0:01", True, "-1"),
        ("12,5", False, "12,5"),
        ("1:75", True, "1:75"),
        ("1:60:00", True, "1:60:00"),
        ("1.234,5", True, "1.234,5"),
        ("left", True, "left"),
        ("a:b", True, "a:b"),
        ("", True, ""),
    ],
)
def test_times_and_numbers_as_people_write_them(text: str, comma: bool, plain: str) -> None:
    assert plain_number(text, comma=comma) == plain


@given(st.integers(0, 359_999), st.integers(0, 999))
def test_a_time_with_hours_minutes_and_seconds_is_its_seconds(seconds: int, milliseconds: int) -> None:
    text = f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{milliseconds:03d}"
    assert float(plain_number(text, comma=True)) == pytest.approx(seconds + milliseconds / 1000)


@given(st.floats(-1e6, 1e6, allow_nan=False))
def test_a_plain_number_stays_as_it_is(value: float) -> None:
    assert plain_number(str(value), comma=False) == str(value)
