"""Text for people on any terminal, and data for programs in any pipe.

A line for people shows what could steer a terminal or forge a line (control characters, marks that turn the direction of writing,
bytes of a name that are no UTF-8) escaped, and what the stream's encoding does not have, in place of ending the work there.
"""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, TextIO

HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters that show nothing and do something."""
SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
PLAIN = {"█": "#"}
PRINTABLE = "gerund-printable"
"""Name of the way to write what an encoding does not have."""


def visible(text: str) -> str:
    r"""The text with its hidden characters escaped as in Python: \n, \x1b, \u202e; a byte that is no UTF-8 is \xe9."""
    return HIDDEN.sub(lambda found: escaped(found[0]), text)


def escaped(letter: str) -> str:
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte of a name that it cannot decode
        code -= 0xDC00
    if code < 0x100:
        return SHORT.get(letter, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def printable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter) or escaped(letter) for letter in letters), error.end


codecs.register_error(PRINTABLE, printable)


STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line ends and what is no character at all."""
LONGEST_LABEL = 500


def label_problem(label: object) -> str | None:
    """Why something cannot be a label, in a sentence; None for a text that can stand in a line, a table and a picture."""
    if not isinstance(label, str):
        return f"the label {label!r} is no text"
    shown = visible(label[:40])
    if not label.strip():
        return f"the label {shown!r} is empty"
    if len(label) > LONGEST_LABEL:
        return f"the label '{shown}...' has {len(label)} characters, more than {LONGEST_LABEL}"
    found = STEERING.search(label)
    return f"the label '{shown}' holds {escaped(found[0])}, which is no character of a text" if found else None


def labels_problem(labels: Sequence[object]) -> str | None:
    """Why these cannot be the labels of a model; None for distinct texts that each can be one."""
    problem = next(filter(None, map(label_problem, labels)), None) if labels else "there are no labels"
    if problem is None and len(set(labels)) < len(labels):
        problem = f"the label {next(label for label in labels if labels.count(label) > 1)!r} is there twice"
    return problem


def prepare() -> None:
    """Let standard output and error write whatever they are given."""
    for stream in (sys.stdout, sys.stderr):
        set_stream(stream, errors=PRINTABLE)


def prepare_data(style: Literal["json", "csv", "excel"]) -> None:
    """Let standard output take data: to a file or a pipe it is UTF-8 everywhere, and in a CSV a name keeps its bytes.

    A CSV for a spreadsheet begins with a byte order mark, without which Excel takes it for another encoding.
    """
    if not sys.stdout.isatty():
        set_stream(sys.stdout, encoding="utf-8", errors="strict" if style == "json" else "surrogateescape")
        set_stream(sys.stdout, newline=None if style == "json" else "")
        if style == "excel":
            sys.stdout.write("\ufeff")


def set_stream(stream: TextIO, **settings: str | None) -> None:
    if hasattr(stream, "reconfigure"):  # not what a test or a notebook has put there
        stream.reconfigure(**settings)


def say(*lines: str, file: TextIO | None = None) -> None:
    """Write lines for people to standard output, or another stream, at once."""
    print(*map(visible, lines), sep="\n", file=file or sys.stdout, flush=True)


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON that a terminal can show and any program reads back exactly: hidden characters are escaped as JSON does it."""
    return HIDDEN.sub(
        lambda found: found[0] if found[0] == "\n" else json.dumps(found[0])[1:-1],
        json.dumps(value, indent=indent, ensure_ascii=False),
    )


def table(header: Iterable[str], rows: Iterable[Iterable[str]], *, left: Sequence[int] = (0, 3)) -> Iterator[str]:
    """Lines of aligned columns; words (the columns in `left`) to the left, numbers to the right."""
    lines = [[visible(each) for each in line] for line in (header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        cells = [
            cell.ljust(width) if column in left or not any(widths[1:]) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        if any(line):
            yield "  ".join(cells).rstrip()


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def rounded(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def cell(value: Any) -> Any:
    """What a cell of a CSV shows: the exact value in a file or a pipe, on a terminal with hidden characters escaped."""
    return visible(str(value)) if sys.stdout.isatty() and value is not None else value
