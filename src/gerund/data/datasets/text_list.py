"""`list`: text lists of `path label` lines, as mmaction2, PyTorchVideo and SlowFast read them, with the names of the classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gerund.core.errors import DataError
from gerund.core.progress import note
from gerund.core.texts import exists, named_file, read_lines
from gerund.core.types import Clip
from gerund.data.datasets.class_maps import class_number, is_class_map, names_for, unquoted
from gerund.data.datasets.files import files_like, report_missing, there
from gerund.video.formats import MOVING_SUFFIXES

SIDE_IN_NAME = re.compile(r"(?<![a-z])(train|val|test)(?:ing|idation|idate|id)?(?=list|_|-|\.|\d|$)", re.I)
LIST_HEADERS = frozenset("path file filename video video_path video_name".split())
MOST_COUNTS = 2
JUDGED_LINES = 50
"""Lines that the separator and the root folder are judged by."""
ROOTS = re.compile(r"^(videos?|clips?|data|rawframes|frames|images)", re.I)


@dataclass(frozen=True, kw_only=True)
class ListRow:
    """One line of a list, whose path counts from `root`; `counts` are numbers between path and label (rawframes lists have them)."""

    file: Path
    root: Path
    line: int
    path: str
    counts: tuple[int, ...]
    label: str


Fits = Callable[[Sequence[Path], str], bool]
"""Whether the paths of a list may be so, counted from one of these folders."""


def load(path: Path, *, split: int | None = None, classes: Path | None = None) -> list[Clip]:
    """Clips of a list, or of all lists in a folder, whose names (train, val, test) are then the splits.

    The separator may be any of tab, semicolon, comma and space; paths may hold spaces, and count from the list's folder, the one
    above, or a folder videos... in them. Numbers need a class map: a file beside the list, or `classes`.
    """
    return load_lists(path, classes, lambda folders, text: Path(text).suffix.lower() in MOVING_SUFFIXES, video_clip)


def video_clip(path: Path, row: ListRow, where: str) -> Clip | None:
    if path.suffix.lower() not in MOVING_SUFFIXES:
        raise DataError(
            f"{where}: {row.path!r} is not the name of a video file; expected 'path label' (for folders of images: frames:)"
        )
    if row.counts:
        raise DataError(f"{where}: {row.path!r} has the number {row.counts[0]} before its label; expected 'path label'")
    return Clip(path=path, label=row.label) if there(path) else None


def load_lists(path: Path, classes: Path | None, fits: Fits, make: Callable[[Path, ListRow, str], Clip | None]) -> list[Clip]:
    """Clips of one list or of a folder of lists; `fits` tells a path of a list, `make` builds a clip, or None for a missing one."""
    lists = {path: None} if path.is_file() else lists_in(path)
    if not lists:
        raise DataError(
            f"{path}: no list in this folder; expected train.txt, val.txt, test.txt or the like, of 'path label' lines"
        )
    rows = named([row for file in lists for row in list_rows(file, fits)], classes)
    clips, missing = [], []
    for row in rows:
        video = named_file(row.root, row.path)
        clip = make(video, row, f"{row.file}:{row.line}")
        if clip is None:
            missing.append(str(video))
        else:
            clips.append(replace(clip, split=lists[row.file]))
    report_missing(missing, len(rows), path)
    return clips


def side_of(file: Path) -> str | None:
    found = SIDE_IN_NAME.findall(file.stem)
    return found[-1].lower() if found else None


def lists_in(folder: Path) -> dict[Path, str | None]:
    """Lists whose names tell a side of the split, with that side."""
    files = [file for file in files_like(folder, "*") if file.suffix.lower() in (".txt", ".csv", ".lst", ".tsv")]
    return {file: side_of(file) for file in files if side_of(file) and not is_class_map(file)}


def list_rows(file: Path, fits: Fits) -> list[ListRow]:
    """The lines of a list, cut by the separator that suits most of the first SAMPLE; a header and comments are left out.

    A line that begins with # is a comment, unless it names a file that is there.
    """
    lines = read_lines(file)
    if lines and re.fullmatch(r"\"?sep=.?\"?", lines[0][1], re.IGNORECASE):
        lines = lines[1:]
    places = roots(file)
    sample = [line for line in lines if not line[1].startswith("#")][:JUDGED_LINES] or lines[:JUDGED_LINES]
    if not sample:
        raise DataError(f"{file}: the list is empty")

    def suits(separator: str | None) -> list[bool]:
        cut = [list_row(file, *line, separator, places, fits) for line in sample]
        return [row is not None and fits(places, row.path) for row in cut]

    separator = max(("\t", ";", ",", None), key=lambda each: sum(suits(each)))
    if suits(separator)[:2] == [False, True] and unquoted(re.split(r"[\s,;]", sample[0][1])[0]).lower() in LIST_HEADERS:
        lines.remove(sample[0])
    root = root_of(places, [row.path for line in sample if (row := list_row(file, *line, separator, places, fits))])
    rows, comments = [], 0
    for number, line in lines:
        row = list_row(file, number, line, separator, [root], fits)
        if line.startswith("#") and not (row and exists(named_file(root, row.path))):
            comments += row is not None and fits([root], row.path)
        elif row is None:
            raise DataError(f"{file}:{number}: {line[:80]!r} is not a path and a label")
        else:
            rows.append(row)
    if comments:
        note(f"{file}: {comments} lines that begin with # name no file that is there; they are taken for comments.")
    return rows


def list_row(file: Path, number: int, line: str, separator: str | None, places: Sequence[Path], fits: Fits) -> ListRow | None:
    """Path, counts (two at most) and label of a line; None when it has fewer than two values.

    Numbers before the label belong to the path if it fits with them (a folder called `clip 1`), and are counts if not.
    """
    path, *rest = line.rsplit(separator, 1)
    label = unquoted(rest[0]) if rest else ""
    counts: list[int] = []
    readings = []
    while label and (text := unquoted(path)):
        readings.append(ListRow(file=file, root=places[0], line=number, path=text, counts=tuple(counts), label=label))
        path, *last = path.rsplit(separator, 1)
        if not last or not re.fullmatch(r"[0-9]{1,9}", last[0].strip()) or len(counts) == MOST_COUNTS:
            break
        counts.insert(0, int(last[0]))
    return next((row for row in readings if fits(places, row.path)), readings[-1] if readings else None)


def roots(file: Path) -> list[Path]:
    """Folders that the paths of a list may count from."""
    places = list(dict.fromkeys((file.absolute().parent, file.absolute().parent.parent)))
    return [
        folder
        for place in places
        for folder in (place, *sorted(each for each in place.iterdir() if ROOTS.match(each.name) and each.is_dir()))
    ]


def root_of(places: Sequence[Path], paths: Sequence[str]) -> Path:
    """The folder below which most of these paths are."""
    return max(places, key=lambda root: sum(exists(named_file(root, path)) for path in paths))


def named(rows: list[ListRow], classes: Path | None) -> list[ListRow]:
    """Rows with names as labels. Raises DataError for a number that no class map names."""
    numbers = [class_number(row.label, f"{row.file}:{row.line}") for row in rows]
    numbered = [
        (f"{row.file}:{row.line}", row.path, number) for row, number in zip(rows, numbers, strict=True) if number is not None
    ]
    names = names_for(numbered, rows[0].file, classes) if numbered else {}
    return [row if number is None else replace(row, label=names[number]) for row, number in zip(rows, numbers, strict=True)]
