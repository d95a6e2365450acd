"""Workbooks (.xlsx), as Excel, LibreOffice and Numbers write them: a sheet read as the text of a table, rows written as a sheet."""

from __future__ import annotations

import csv
import io
import locale
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from gerund.core.errors import DataError, first_line
from gerund.core.files import whole
from gerund.core.printing import visible
from gerund.core.progress import note
from gerund.core.storage import read_bytes

SHEET_SUFFIXES = (".xlsx", ".xlsm")
NARROWEST_CELL, WIDEST_CELL = 8, 60
"""Letters."""
FORMULA_SIGNS = ("=", "+", "-", "@")
EXCEL_EPOCH = datetime(1899, 12, 30)
"""Day 0 of a workbook: what a time of 24 hours and more is counted from."""


def is_sheet(path: Path) -> bool:
    return path.suffix.lower() in SHEET_SUFFIXES


def sheet_text(path: Path) -> str:
    """The first sheet with anything on it, here or at a URL, as lines with tabs: line n is row n, and times are seconds.

    Raises DataError for what is no workbook, or an empty one.
    """
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with closing(load_workbook(io.BytesIO(read_bytes(path)), read_only=True, data_only=True)) as book:
            sheets = {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book.worksheets}
    except OSError as error:
        raise DataError(f"{path}: not readable ({error.strerror or error})") from None
    except (BadZipFile, InvalidFileException, KeyError, ValueError, TypeError, SyntaxError) as error:
        raise DataError(f"{path}: not a workbook that can be read ({first_line(error)}); save it as .xlsx or .csv") from None
    used = {title: rows for title, rows in sheets.items() if any(cell is not None for row in rows for cell in row)}
    if not used:
        raise DataError(f"{path}: no sheet with anything on it")
    if len(used) > 1:
        note(f"{path}: the sheet {next(iter(used))!r} is read, and none of the others.")
    lines = io.StringIO()
    csv.writer(lines, delimiter="\t", lineterminator="\n").writerows(map(cell_text, row) for row in next(iter(used.values())))
    return lines.getvalue()


def cell_text(value: Any) -> str:
    """What a cell holds, as it would stand in a CSV; a time of day or a duration as seconds."""
    if value is None:
        return ""
    if isinstance(value, datetime) and value.year < 1901:  # a duration of a day and more
        value = value - EXCEL_EPOCH
    if isinstance(value, time):
        value = timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, date):
        return value.isoformat()
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def list_signs() -> tuple[str, str]:
    """What parts columns, and what parts whole from fraction, where this machine's people open a CSV with a double click."""
    before = locale.setlocale(locale.LC_NUMERIC)
    try:
        locale.setlocale(locale.LC_NUMERIC, "")
        point = str(locale.localeconv()["decimal_point"])
    except locale.Error:
        point = "."
    finally:
        locale.setlocale(locale.LC_NUMERIC, before)
    return (";", ",") if point == "," else (",", ".")


def spreadsheet_text(value: Any, point: str) -> str:
    """A cell of a CSV that a spreadsheet opens: a fraction with the sign of the place; no text is taken for a formula."""
    value = cell_value(value)
    if isinstance(value, float):
        return f"{value:.15g}".replace(".", point)
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULA_SIGNS) else text


def write_sheet(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a workbook of one sheet, whole or not at all: a bold header that stays in sight, numbers as numbers, texts as texts.

    No text is a formula, whatever it begins with. Raises DataError when it cannot be written.
    """
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    lines = [[cell_value(value) for value in row] for row in rows]
    book = Workbook(write_only=True)
    sheet = book.create_sheet("gerund")
    sheet.freeze_panes = "A2"
    for number, name in enumerate(columns):
        longest = max([len(name), *(len(str(line[number])) for line in lines)])
        sheet.column_dimensions[get_column_letter(number + 1)].width = min(max(longest + 2, NARROWEST_CELL), WIDEST_CELL)

    def cell(value: Any, *, bold: bool = False) -> Any:
        made = WriteOnlyCell(sheet, value)
        if isinstance(value, str):
            made.data_type = "s"
        if bold:
            made.font = Font(bold=True)
        return made

    try:
        with whole(path) as temporary, temporary.open("wb") as file:
            for line in ([cell(name, bold=True) for name in columns], *([cell(value) for value in line] for line in lines)):
                sheet.append(line)
            book.save(file)
    except OSError as error:
        raise DataError(f"--xlsx {path}: cannot be written ({error.strerror or error}); choose another place") from None


def cell_value(value: Any) -> Any:
    """A number, a truth or a text that a cell can hold: control characters are escaped, numbers that are none are empty."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    return visible(str(value))
