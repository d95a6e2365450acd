"""Results on the terminal: as text, JSON or CSV, and the exit code that goes with them; and as a workbook beside it."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from gerund.core.printing import cell, json_text, prepare_data, say
from gerund.core.results import Answer, Printable
from gerund.core.sheets import list_signs, spreadsheet_text, write_sheet

Style = Literal["text", "json", "csv", "excel"]
"""`excel` is a CSV that a spreadsheet opens with a double click, one row for a video, a clip or a segment."""
SOME_FAILED = 3


def columns_of(command: Callable[..., Any], *, sheet: bool = False) -> Any:
    """The columns of the rows of what a command gives, or of each result in a stream; none where there are no rows."""
    promised = get_type_hints(command)["return"]
    known = [kind for kind in (promised, *get_args(promised)) if hasattr(kind, "columns")]
    if not known or known[0].columns is Printable.columns:
        return ()
    return (getattr(known[0], "sheet_columns", ()) if sheet else ()) or known[0].columns


def show(result: Any, style: Style, columns: Sequence[str], xlsx: Path | None = None) -> int:
    """Print a result, or each of a stream when it is there; returns the exit code: 3 when some inputs failed, or a check has findings.

    `columns` are those of a stream. With `xlsx`, the rows go into that workbook too, also those of a stream that breaks off.
    """
    if style != "text":
        prepare_data(style)
    if isinstance(result, Printable) and not isinstance(result, Answer):
        print_result(result, style)
        if xlsx is not None:
            write_sheet(xlsx, result.sheet_columns or result.columns, result.as_sheet())
        return 0 if result.is_complete else SOME_FAILED
    kept: list[Sequence[Any]] = []
    try:
        code = show_answers([result] if isinstance(result, Answer) else result, style, columns, kept)
    except BaseException:
        if xlsx is not None and kept:
            write_sheet(xlsx, columns, kept)
        raise
    if xlsx is not None:
        write_sheet(xlsx, columns, kept)
    return code


def show_answers(answers: Iterable[Answer], style: Style, columns: Sequence[str], kept: list[Sequence[Any]]) -> int:
    """Print each answer when it is there; its rows for a spreadsheet are added to `kept`."""
    if style in ("csv", "excel"):
        print_rows([columns], style)
    complete = True
    for answer in answers:
        print_answer(answer, style)
        kept += answer.as_sheet()
        complete &= answer.is_complete
    return 0 if complete else SOME_FAILED


def print_result(result: Printable, style: Style) -> None:
    if style == "json":
        say(*json_text(result.as_json(), indent=2).split("\n"))
    elif style == "csv":
        print_rows([result.columns, *result.as_rows()])
    elif style == "excel":
        print_rows([result.sheet_columns or result.columns, *result.as_sheet()], style)
    else:
        for line in result.as_text():
            say(line)


def print_answer(answer: Answer, style: Style) -> None:
    if style == "json":
        say(json_text(answer.as_json()))
    elif style in ("csv", "excel"):
        print_rows(answer.as_sheet() if style == "excel" else answer.as_rows(), style)
    elif answer.error:
        say(f"gerund: {answer.error}", file=sys.stderr)
    else:
        for line in answer.as_text():
            say(line)
    for problem in answer.unwritten:
        say(f"gerund: {problem}", file=sys.stderr)


def print_rows(rows: Iterable[Iterable[Any]], style: Style = "csv") -> None:
    """Rows of a CSV; for a spreadsheet with the signs of this place."""
    if style == "excel":
        separator, point = list_signs()
        cells = ([spreadsheet_text(value, point) for value in row] for row in rows)
        csv.writer(sys.stdout, delimiter=separator).writerows(cells)
    else:
        csv.writer(sys.stdout).writerows(["" if value is None else cell(value) for value in row] for row in rows)
    sys.stdout.flush()
