"""Texts, tables and lists that people and their tools wrote: read with the line in every error, and the files they name found."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from gerund.core.errors import DataError
from gerund.core.sheets import SHEET_SUFFIXES, is_sheet, sheet_text
from gerund.core.storage import read_bytes

LONGEST_SECONDS = 1e7
"""Seconds, 115 days: a time beyond it is a date, or counts something else than seconds."""
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
TABLE_SUFFIXES = (".csv", ".tsv", *SHEET_SUFFIXES)
JUDGED_LETTERS = 1000
"""Letters that tell whether a text is one."""
UTF16 = (b"\xff\xfe", b"\xfe\xff")
CLOCK_TIME = re.compile(r"([+-]?)(?:(\d{1,4}):)?(\d{1,4}):([0-5]?\d(?:\.\d+)?)")
"""A time as mm:ss or hh:mm:ss, with parts of a second."""
ELSEWHERE = re.compile(r"/?[A-Za-z]:/|//")
"""How a path of another machine begins: a drive, or a server's name."""


def read_text(path: Path) -> str:
    """A text here or at a URL, in UTF-8 or, with its byte order mark, UTF-16. Raises DataError with the line that is not."""
    try:
        data = read_bytes(path)
    except OSError as error:
        raise DataError(f"{path}: not readable ({error.strerror or error})") from None
    try:
        text = data.decode("utf-16" if data.startswith(UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte {data[error.start]:#x}" if error.start < len(data) else "it ends too early"
        raise DataError(f"{path}:{line}: not UTF-8 text ({found}); save it as UTF-8") from None
    if text[:JUDGED_LETTERS].count("\0") > len(text[:JUDGED_LETTERS]) / 4:
        raise DataError(f"{path}:1: not UTF-8 text (every other byte is zero, as in UTF-16 without its mark); save it as UTF-8")
    return text


def line_at(text: str, place: int) -> int:
    """The number of the line that holds a place of a text, whatever its lines end with."""
    return len(re.findall(r"\r\n?|\n", text[:place])) + 1


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text that are not empty, without the spaces around them, each with its number."""
    lines = enumerate(re.split(r"\r\n?|\n", read_text(path)), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON that can be read ({error})") from None


def number(value: Any, where: object, *, least: float = 0.0, most: float = LONGEST_SECONDS) -> float:
    """A finite number between `least` and `most`: seconds, unless they say otherwise. `where` begins the error."""
    try:
        found = math.nan if isinstance(value, bool) or "_" in str(value) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not (math.isfinite(found) and found >= least):
        raise DataError(f"{where}: {str(value)[:40]!r} is not a number" + f" of at least {least:g}" * (least > -most))
    if found > most:
        raise DataError(f"{where}: {str(value)[:40]!r} is more than {most:,.0f}")
    return found


def is_table(path: Path) -> bool:
    """Whether a file is a table by its suffix."""
    return path.suffix.lower() in TABLE_SUFFIXES


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with a header: `columns` under the names that were expected, where they fit, and `rows`, each with its line."""

    columns: Sequence[str]
    rows: Sequence[tuple[int, dict[str, str]]]


def table_text(path: Path) -> str:
    """The text of a table: a file as `read_text` reads it, or the first sheet of a workbook with tabs between its cells."""
    return sheet_text(path) if is_sheet(path) else read_text(path)


def read_table(
    path: Path, expected: Sequence[str], *, numbers: Collection[str] = (), text: str | None = None, above: int = 0
) -> Table:
    """The table in a file, or in its `text` below `above` lines that are none of it, as spreadsheets and their kin write it.

    The first line tells the separator: comma, semicolon or tab, or a line `sep=;` before it does. Names of columns are those of
    `expected` without regard to case and spaces. Lines and last columns without a value are left out, and so is a first column
    without a name that counts the rows. In the columns called `numbers`, 1:23.5 and 0:01:23.5 become seconds, and where commas do not
    part columns, 83,5 is a number. Raises DataError with the line of a quote that is not closed and the like.
    """
    whole = table_text(path) if text is None else text
    body = whole[re.match(r"(?:[ \t]*(?:\r\n?|\n))*", whole).end() :]  # type: ignore[union-attr]
    told = re.match(r'"?sep=(.)[^\r\n]*(?:\r\n?|\n|$)', body, re.IGNORECASE)
    body = body[told.end() :] if told else body
    above += line_at(whole, len(whole) - len(body)) - 1
    separator = told[1] if told else separator_of(re.split(r"[\r\n]", body, maxsplit=1)[0], expected)
    lines = cut_rows(body, separator, path, above)
    line, header = next(lines, (above + 1, []))
    columns = named_columns(header, expected, f"{path}:{line}")
    rows = [(number, table_row(columns, values, separator, f"{path}:{number}")) for number, values in lines if any(values)]
    for name in set(numbers).intersection(columns):
        for _, row in rows:
            row[name] = plain_number(row.get(name, ""), comma=separator != ",")
    return Table(columns=[column for column in columns if column], rows=rows)


def plain_number(text: str, *, comma: bool) -> str:
    """A number or a time as people write it, as a plain number; seconds of mm:ss and hh:mm:ss. What is neither stays as it is."""
    if comma and re.fullmatch(r"[+-]?[\d:]*\d,\d+", text):
        text = text.replace(",", ".")
    if (found := CLOCK_TIME.fullmatch(text)) is None:
        return text
    sign, hours, minutes, seconds = found.groups()
    if hours is not None and int(minutes) > 59:
        return text
    return f"{sign}{3600 * int(hours or 0) + 60 * int(minutes) + float(seconds):.12g}"


def separator_of(header: str, expected: Sequence[str]) -> str:
    """The separator that gives a header line most of the expected columns, or else most columns."""
    known = {key(name) for name in expected}

    def fit(separator: str) -> tuple[int, int]:
        names = [key(name.strip().strip('"')) for name in header.split(separator)]
        return len(known.intersection(names)), len(names)

    return max(SEPARATORS, key=fit)


def key(column: str) -> str:
    return "".join(column.casefold().split())


def cut_rows(text: str, separator: str, path: Path, above: int) -> Iterator[tuple[int, list[str]]]:
    """The values of every row without the spaces around them, and the line that the row begins at."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    while True:
        line = above + reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            limit = f"a value of more than {csv.field_size_limit():,} letters; " if "limit" in str(error) else ""
            raise DataError(f"{path}:{line}: {limit}a quote is not closed, or stands inside a value ({error})") from None
        yield line, [value.strip() for value in values]


def named_columns(header: Sequence[str], expected: Sequence[str], where: str) -> list[str]:
    """The columns of a header under their expected names; those without a name (pandas: `Unnamed: 0`) are empty texts."""
    known = {key(name): name for name in expected}
    columns = ["" if re.fullmatch(r"(unnamed: ?[\d.]+)?", name.lower()) else known.get(key(name), name) for name in header]
    twice = next((name for name in columns if name in known.values() and columns.count(name) > 1), None)
    if twice:
        raise DataError(f"{where}: column {twice!r} is there twice")
    return columns


def table_row(columns: Sequence[str], values: Sequence[str], separator: str, where: str) -> dict[str, str]:
    """The values of a row under their columns. Raises DataError for a value that has none."""
    first = next((i for i, column in enumerate(columns) if column), len(columns))
    for index, value in enumerate(values):
        if value and index >= len(columns):
            raise DataError(
                f"{where}: more values than columns; quote values that contain {SEPARATORS.get(separator, repr(separator))}"
            )
        if value and not columns[index] and not (index < first and value.isdecimal()):
            raise DataError(f"{where}: the value {value[:40]!r} stands in a column without a name")
    return {column: value for column, value in zip(columns, values, strict=False) if column}


def named_file(folder: Path, text: str) -> Path:
    """The file that a path means as somebody wrote it down: counted from a folder, exactly so if it is there.

    If not, it may be written in quotes, with the backslashes of Windows, as an address (a%20b), or with é in the other of its two
    forms; a path with a drive or a server is looked for below the folder by its last parts, as many as can be. Where nothing is
    there, the path with plain slashes.
    """
    literal = folder / text
    if (text.isascii() and not re.search(r"[\\%\"']|^file:", text)) or exists(literal):
        return literal
    plain = re.sub(r"(?i)^file:(//(localhost(?=/))?)?", "", text.strip().strip("\"'").replace("\\", "/"))
    places = (folder / each for each in dict.fromkeys(spellings(plain)))
    return next(
        (place for place in places if exists(place)), folder / (from_address(plain) if text.startswith("file:") else plain)
    )


def from_address(address: str) -> str:
    """An address with its %20 and the like replaced; bytes that are no UTF-8 are those of a name that is none."""
    return unquote(address, errors="surrogateescape")


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; what the system takes for no path at all (too long, a zero in it) is not there."""
    return os.path.exists(path)  # noqa: PTH110  Path.exists() raises for those


def spellings(path: str) -> Iterator[str]:
    """What a path with slashes may be called on this disk."""
    for each in (path, from_address(path)):
        start = ELSEWHERE.match(each)
        parts = each[start.end() :].split("/") if start else [each]
        for first in range(len(parts)):
            tail = "/".join(parts[first:])
            yield from (tail, unicodedata.normalize("NFC", tail), unicodedata.normalize("NFD", tail))
