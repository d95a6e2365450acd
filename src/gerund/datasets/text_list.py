"""`list`: text lists of `path label` lines, as mmaction2, PyTorchVideo and SlowFast read them, with the names of the classes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from gerund.datasets.files import read_json, read_text, report_missing
from gerund.errors import DataError
from gerund.types import Clip
from gerund.video import VIDEO_SUFFIXES, is_video

CLASS_MAPS = (
    "classind.txt",
    "class*.txt",
    "label*.txt",
    "*label_map*.txt",
    "*labels.csv",
    "class*.json",
    "*classnames.json",
    "labels.json",
)
"""How a file with the names of the classes may be called, beside the list."""
SIDE = re.compile(r"(?<![a-z])(train|val|test)(?:ing|idation|idate|id)?(?=list|_|-|\.|\d|$)", re.I)
HEADERS = frozenset("path file filename video video_path video_name".split())
SAMPLE = 50
"""Lines that the separator and the root folder are judged by."""
ROOTS = re.compile(r"^(videos?|clips?|data|rawframes|frames|images)", re.I)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a list; `counts` are whole numbers between path and label (rawframes lists have them)."""

    line: int
    path: str
    counts: tuple[int, ...]
    label: str


def load(path: Path, *, split: int | None = None, classes: Path | None = None) -> list[Clip]:
    """Clips of a list, or of all lists in a folder, whose names (train, val, test) are then the splits.

    The separator may be any of tab, semicolon, comma and space; paths may hold spaces, and count from the list's folder, the one
    above, or a folder videos... in them. Numbers need a class map: a file beside the list, or `classes`.
    """
    return load_lists(path, classes, lambda file, text: Path(text).suffix.lower() in VIDEO_SUFFIXES, video_clip)


def video_clip(path: Path, row: Row, where: str) -> Clip | None:
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        raise DataError(
            f"{where}: {row.path!r} is not the name of a video file; expected 'path label' (for folders of images: frames:)"
        )
    return Clip(path=path, label=row.label) if is_video(path) else None


def load_lists(
    path: Path, classes: Path | None, fits: Callable[[Path, str], bool], make: Callable[[Path, Row, str], Clip | None]
) -> list[Clip]:
    """Clips of one list or of a folder of lists; `fits` tells a path of a list, `make` builds a clip, or None for a missing one."""
    lists = {path: None} if path.is_file() else lists_in(path)
    if not lists:
        raise DataError(
            f"{path}: no list in this folder; expected train.txt, val.txt, test.txt or the like, of 'path label' lines"
        )
    clips, missing, total = [], [], 0
    for file, side in lists.items():
        rows = named(file, rows_of(file, fits), classes)
        root = root_of(file, rows)
        for row in rows:
            clip = make(root / row.path, row, f"{file}:{row.line}")
            total += 1
            if clip is None:
                missing.append(str(root / row.path))
            else:
                clips.append(replace(clip, split=side))
    report_missing(missing, total, path)
    return clips


def side_of(file: Path) -> str | None:
    found = SIDE.findall(file.stem)
    return found[-1].lower() if found else None


def lists_in(folder: Path) -> dict[Path, str | None]:
    """Lists whose names tell a side of the split, with that side."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in (".txt", ".csv", ".lst", ".tsv"))
    return {file: side_of(file) for file in files if side_of(file) and not is_class_map(file)}


def is_class_map(file: Path) -> bool:
    return any(fnmatch(file.name.lower(), pattern) for pattern in CLASS_MAPS)


def rows_of(file: Path, fits: Callable[[Path, str], bool]) -> list[Row]:
    """The lines of a list, cut by the separator that suits most of the first SAMPLE; a header is left out."""
    lines = [(i, line.strip()) for i, line in enumerate(read_text(file).splitlines(), start=1)]
    lines = [(i, line) for i, line in lines if line and not line.startswith("#")]
    if not lines:
        raise DataError(f"{file}: the list is empty")

    def suits(separator: str | None) -> list[bool]:
        cut = [row_of(*line, separator) for line in lines[:SAMPLE]]
        return [row is not None and fits(file, row.path) for row in cut]

    separator = max(("\t", ";", ",", None), key=lambda each: sum(suits(each)))
    if suits(separator)[:2] == [False, True] and unquoted(re.split(r"[\s,;]", lines[0][1])[0]).lower() in HEADERS:
        lines = lines[1:]
    rows = [row_of(*line, separator) for line in lines]
    for (number, line), row in zip(lines, rows, strict=True):
        if row is None:
            raise DataError(f"{file}:{number}: {line[:80]!r} is not a path and a label")
    return [row for row in rows if row is not None]


def row_of(number: int, line: str, separator: str | None) -> Row | None:
    """Path, counts (two at most) and label of a line; None when it has fewer than two values."""
    path, *rest = line.rsplit(separator, 1)
    if not rest:
        return None
    label = unquoted(rest[0])
    counts: list[int] = []
    for _ in range(2):
        before, *last = path.rsplit(separator, 1)
        if Path(path).suffix or not last or not last[0].strip().isdecimal():
            break
        path = before
        counts.insert(0, int(last[0]))
    return Row(line=number, path=unquoted(path), counts=tuple(counts), label=label) if label and unquoted(path) else None


def unquoted(text: str) -> str:
    return text.strip().strip('"').strip()


def roots(file: Path) -> list[Path]:
    """Folders that the paths of a list may count from."""
    places = list(dict.fromkeys((file.absolute().parent, file.absolute().parent.parent)))
    return [
        folder
        for place in places
        for folder in (place, *sorted(each for each in place.iterdir() if ROOTS.match(each.name) and each.is_dir()))
    ]


def root_of(file: Path, rows: Sequence[Row]) -> Path:
    """The folder below which most of the first SAMPLE paths are."""
    return max(roots(file), key=lambda root: sum((root / row.path).exists() for row in rows[:SAMPLE]))


def named(file: Path, rows: list[Row], classes: Path | None) -> list[Row]:
    """Rows with names as labels. Raises DataError for a number that no class map names."""
    numbers = [row for row in rows if row.label.isdecimal()]
    if not numbers:
        return rows
    found = classes or next((each for each in sorted(file.parent.iterdir()) if is_class_map(each)), None)
    if found is None:
        raise DataError(
            f"{file}:{numbers[0].line}: the label is the number {numbers[0].label}; labels are names: put a file classes.txt with "
            f"one name per line, number 0 first, beside the list, or give its path: {file}::PATH"
        )
    names = read_class_map(found)
    for row in numbers:
        if int(row.label) not in names:
            raise DataError(f"{file}:{row.line}: the label is the number {row.label}, which {found} does not name")
    return [replace(row, label=names[int(row.label)]) if row.label.isdecimal() else row for row in rows]


def read_class_map(path: Path) -> dict[int, str]:
    """Number -> name, from lines of names (from 0), `number name` or `name number`, or from a JSON object or list."""
    if path.suffix.lower() == ".json":
        return json_map(path)
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    for pattern in (r"(?P<number>\d+)\s*[\s,;:]\s*(?P<name>.+)", r"(?P<name>.+?)\s*[\s,;:]\s*(?P<number>\d+)"):
        matches = [re.fullmatch(pattern, line) for line in lines]
        if matches[1:] and all(matches[1:]):  # the first line may be a header
            return {int(match["number"]): unquoted(match["name"]) for match in matches if match}
    return {number: unquoted(line) for number, line in enumerate(lines)}


def json_map(path: Path) -> dict[int, str]:
    values = read_json(path)
    pairs = enumerate(values) if isinstance(values, list) else values.items() if isinstance(values, dict) else ()
    names = {}
    for key, value in pairs:
        number, name = (key, value) if str(key).isdecimal() else (value, key)
        if not str(number).isdecimal() or not isinstance(name, str):
            raise DataError(f"{path}: {json.dumps({str(key): value}, default=str)[:80]} is not a number and a name")
        names[int(number)] = unquoted(name)
    if not names:
        raise DataError(f"{path}: expected an object of names and numbers, or a list of names")
    return names
