"""Annotations, labelled spans of a video with their history; their CSV, which is the manifest; and which of them training takes."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Literal, TypeVar, get_args
from urllib.parse import quote

from gerund.core.errors import DataError
from gerund.core.files import LENIENT, encoded, whole
from gerund.core.progress import note
from gerund.core.storage import url_of
from gerund.core.texts import named_file, number, read_table
from gerund.core.types import Clip

Status = Literal["confirmed", "suggested", "rejected"]
STATUSES: tuple[Status, ...] = get_args(Status)
SPLITS = ("train", "val", "test")
ANNOTATION_COLUMNS = ("path", "label", "start", "end", "subject", "status", "by", "at", "group", "split")
AnyClip = TypeVar("AnyClip", bound=Clip)
POINT_SECONDS = 1.0
"""A point event has no length: the clip to learn it from is this long, with the event in the middle."""


@dataclass(frozen=True, kw_only=True)
class Annotation(Clip):
    """A labelled span of one video with its history: a clip, whom it shows, and who said so, when.

    `start` and `end` are seconds; a point event has end == start. `subject` is who is seen (docs/data.md). `status` says whether
    somebody looked: `confirmed` (as None is, a row of a manifest without that column), `suggested` by a model, or `rejected`; that nothing
    happens is a confirmed span of the label `background`. `by` and `at` are whoever said so, and when (ISO 8601), as they were written.
    """

    subject: str | None = None
    status: Status | None = None
    by: str | None = None
    at: str | None = None
    composed_texts: ClassVar[tuple[str, ...]] = ("label", "group", "subject")

    @property
    def is_point(self) -> bool:
        return self.start == self.end

    @property
    def has_history(self) -> bool:
        """Whether it says more than a clip does."""
        return self.is_point or any((self.subject, self.status, self.by, self.at))

    @property
    def clip(self) -> Clip:
        """What a recogniser looks at: the span without its history, of a point event the second around it."""
        values = {each.name: getattr(self, each.name) for each in fields(Clip)}
        if self.is_point:
            start = round(max(0.0, self.start - POINT_SECONDS / 2), 6)
            values |= {"start": start, "end": round(start + POINT_SECONDS, 6)}
        return Clip(**values)


def is_used(clip: Clip) -> bool:
    """Whether training and numbers count a span: a clip, or an annotation that is confirmed."""
    return not isinstance(clip, Annotation) or clip.status in (None, "confirmed")


def annotation_of(clip: Clip) -> Annotation:
    """A clip as an annotation without history; an annotation as it is."""
    return clip if isinstance(clip, Annotation) else Annotation(**{each.name: getattr(clip, each.name) for each in fields(Clip)})


def clips_to_use(found: Sequence[Clip], where: object) -> list[Clip]:
    """The clips, and what is confirmed of the annotations among them, as clips. Raises as `confirmed`."""
    return as_clips(confirmed(found, where))


def as_clips(found: Iterable[Clip], *, history: bool = False) -> list[Clip]:
    """What a recogniser looks at: clips, and of annotations their spans; with `history`, those that have one keep it."""
    return [each.clip if isinstance(each, Annotation) and not (history and each.has_history) else each for each in found]


def confirmed(found: Sequence[AnyClip], where: object) -> list[AnyClip]:
    """Those that training and numbers count; a line says how many are left out.

    Raises DataError, which begins with `where`, when nothing is left.
    """
    left = Counter(each.status for each in found if isinstance(each, Annotation) and not is_used(each))
    counts = " and ".join(f"{left[status]} {status}" for status in STATUSES if left[status])
    if left and left.total() == len(found):
        raise DataError(f"{where}: nothing is confirmed ({counts}); confirm some, or empty the column 'status'")
    if left:
        note(f"{where}: {len(found) - left.total()} confirmed spans are used; left out: {counts}.")
    return [each for each in found if is_used(each)]


def read_annotations(path: Path) -> list[Annotation]:
    """All rows of a table with ANNOTATION_COLUMNS, of which only `path` must be there; times are in seconds, or mm:ss and hh:mm:ss.

    The file and the videos may be at URLs. It may be a workbook (.xlsx), or a CSV with commas, semicolons or tabs. Relative paths count
    from its own folder. Raises DataError with file, line and column for what cannot be read.
    """
    table = read_table(path, ANNOTATION_COLUMNS, numbers=("start", "end"))
    if "path" not in table.columns:
        raise DataError(f"{path}:1: no column 'path' (found: {', '.join(table.columns) or 'nothing'}); {expected()}")
    unknown = [column for column in table.columns if column not in ANNOTATION_COLUMNS]
    if unknown:
        raise DataError(f"{path}:1: unknown column {unknown[0]!r}; {expected()}")
    found = [annotation_in(row, path, line) for line, row in table.rows]
    if not found:
        raise DataError(f"{path}: no rows below the header")
    return found


def expected() -> str:
    return f"the columns are {','.join(ANNOTATION_COLUMNS)}, of which only path (and label, to train) must be there"


def annotation_in(row: dict[str, str], manifest: Path, line: int) -> Annotation:
    """One row; errors name the file, line and column."""

    def fail(column: str, problem: str) -> DataError:
        return DataError(f"{manifest}:{line}: column {column!r}: {problem}")

    def seconds(column: str) -> float | None:
        return number(row[column], f"{manifest}:{line}: column {column!r}") if row.get(column) else None

    broken = next((name for name in ANNOTATION_COLUMNS if name != "path" and set("\r\n") & set(row.get(name, ""))), None)
    if broken:
        raise fail(broken, "the value runs over several lines; is a quote not closed?")
    if not row.get("path"):
        raise fail("path", "is empty")
    start, end = seconds("start") or 0.0, seconds("end")
    if end is not None and end < start:
        raise fail("end", f"{end:g} is before start, {start:g}")
    for column, choices in (("split", SPLITS), ("status", STATUSES)):
        if row.get(column) and row[column] not in choices:
            raise fail(column, f"{row[column]!r} is not one of {', '.join(choices)}")
    video = Path(row["path"])
    return Annotation(
        path=video if url_of(video) and not row["path"].startswith("file:") else named_file(manifest.parent, row["path"]),
        start=start,
        end=end,
        **{column: row.get(column) or None for column in ANNOTATION_COLUMNS if column not in ("path", "start", "end")},  # type: ignore[arg-type]
    )


def write_annotations(found: Iterable[Clip], path: Path, columns: Sequence[str] = ANNOTATION_COLUMNS) -> None:
    """Write annotations as CSV, whole or not at all; paths relative to the CSV's folder where they lie below it, else absolute."""
    folder = path.parent.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary, temporary.open("w", encoding="utf-8", errors=LENIENT, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for each in found:
            video = Path(os.path.abspath(each.path))  # noqa: PTH100  resolve() would follow links into a store
            shown = url_of(each.path) or address(video.relative_to(folder) if video.is_relative_to(folder) else video)
            values = {"path": shown, "start": each.start or None}
            cells = (values.get(column, getattr(each, column, None)) for column in columns)
            writer.writerow(["" if cell is None else cell for cell in cells])


def address(path: Path) -> str:
    """A path as a manifest holds it: as it is, or, where it would not be read back so, as file: and its bytes (file:caf%E9.mp4)."""
    plain = path.as_posix()
    taken = encoded(plain).decode() == plain.strip() and not plain.startswith("file:")
    return plain if taken else f"file:{quote(os.fsencode(plain))}"
