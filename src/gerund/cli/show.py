"""Results on the terminal: as text, JSON or CSV, and the exit code that goes with them."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, get_args, get_type_hints

from gerund.core.printing import cell, json_text, prepare_data, say
from gerund.core.results import Answer, Printable

Style = Literal["text", "json", "csv"]
SOME_FAILED = 3


def columns_of(command: Callable[..., Any]) -> Any:
    """The columns of the rows of what a command gives, or of each result in a stream; none where there are no rows."""
    promised = get_type_hints(command)["return"]
    known = [kind.columns for kind in (promised, *get_args(promised)) if hasattr(kind, "columns")]
    return known[0] if known and known[0] is not Printable.columns else ()


def show(result: Any, style: Style, columns: Sequence[str]) -> int:
    """Print a result, or each of a stream when it is there; returns the exit code: 3 when some inputs failed, or a check has findings."""
    if style != "text":
        prepare_data(style)
    if isinstance(result, Printable) and not isinstance(result, Answer):
        print_result(result, style)
        return 0 if result.is_complete else SOME_FAILED
    if style == "csv":
        print_rows([columns])
    complete = True
    for answer in [result] if isinstance(result, Answer) else result:
        print_answer(answer, style)
        complete &= answer.is_complete
    return 0 if complete else SOME_FAILED


def print_result(result: Printable, style: Style) -> None:
    if style == "json":
        say(*json_text(result.as_json(), indent=2).split("\n"))
    elif style == "csv":
        print_rows([result.columns, *result.as_rows()])
    else:
        for line in result.as_text():
            say(line)


def print_answer(answer: Answer, style: Style) -> None:
    if style == "json":
        say(json_text(answer.as_json()))
    elif style == "csv":
        print_rows(answer.as_rows())
    elif answer.error:
        say(f"gerund: {answer.error}", file=sys.stderr)
    else:
        for line in answer.as_text():
            say(line)
    for problem in answer.unwritten:
        say(f"gerund: {problem}", file=sys.stderr)


def print_rows(rows: Iterable[Iterable[Any]]) -> None:
    csv.writer(sys.stdout).writerows(["" if value is None else cell(value) for value in row] for row in rows)
    sys.stdout.flush()
