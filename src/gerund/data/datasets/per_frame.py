"""`per-frame`: tables with a row per picture and a column of 0 and 1 (or of probabilities) per label: DeepEthogram, SimBA, JAABA, our own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gerund.core.errors import DataError, VideoError
from gerund.core.texts import TABLE_SUFFIXES, Table, key, number, read_table
from gerund.data.annotations import Annotation
from gerund.data.datasets.files import ACTION_NAMES, annotation_files, labelled
from gerund.video.formats import is_video
from gerund.video.header import picture_span, picture_times

TIME_COLUMNS = frozenset("time times seconds second time(s) time_s t timestamp".split())
COUNT_COLUMNS = frozenset("frame frames framenumber frame_number frameindex frame_index frame_idx frameid index".split())
TRACKED = re.compile(
    r"_(x|y|p|likelihood)$|^(?!probability)(movement|distance|sum|mean|total|deviation|convex_hull)", re.IGNORECASE
)
"""Columns of tracked body parts and of what SimBA computes from them; they are no labels."""
PROBABILITY = re.compile(r"^(probability|prob|p)[_ ]", re.IGNORECASE)
ENDINGS = re.compile(r"_(labels|predictions|scores|targets|annotations|machine_results)$", re.IGNORECASE)
"""What tools put behind the name of the video."""
COUNTS_AS_ONE = 0.5
"""A probability from here on is a 1."""


def load(path: Path, *, split: int | None = None) -> list[Annotation]:
    """One annotation per run of rows with a label, of a table or of all in a folder; labels may overlap.

    A column of times (`time`) tells when a row begins; else row n is picture n of the video, which lies beside the table and has its name
    (without `_labels` and the like). Columns of 0 and 1 are labels; where there is none, columns of probabilities are, from 0.5 on; or one column
    (`behavior`, `label` ...) holds a name in each row. Tracked points and rows of -1 (DeepEthogram: not labelled) are left out.
    """
    return [each for file in annotation_files(path, *TABLE_SUFFIXES) for each in per_frame_annotations(file)]


def per_frame_annotations(file: Path) -> list[Annotation]:
    table = read_table(file, ())
    if not table.rows:
        raise DataError(f"{file}: no rows below the header")
    video = video_of_table(file)
    begins = row_begins(table, file, video)
    found = []
    for label, on in label_columns(table, file).items():
        for first, end in runs_of_ones(on):
            found.append(labelled(video, label, float(begins[first]), float(begins[end]), f"{file}: column {label!r}"))
    if not found:
        raise DataError(f"{file}: no row has a label")
    return sorted(found, key=lambda each: (each.start, each.label or ""))


def video_of_table(file: Path) -> Path:
    """The video of the table's name, in its folder. Raises DataError when there is none."""
    names = {file.stem, ENDINGS.sub("", file.stem)}
    found = next((path for path in sorted(file.parent.iterdir()) if path.stem in names and path != file and is_video(path)), None)
    if found is None:
        raise DataError(f"{file}: no video called {ENDINGS.sub('', file.stem)!r} beside it; a table has the name of its video")
    return found


def row_begins(table: Table, file: Path, video: Path) -> np.ndarray:
    """The seconds at which each row begins, and the last one ends (N + 1,). Raises DataError for more rows than pictures."""
    timed = next((name for name in table.columns if key(name) in TIME_COLUMNS), None)
    if timed is not None:
        begins = np.array([number(row.get(timed), f"{file}:{line}: column {timed!r}") for line, row in table.rows])
        if (np.diff(begins) <= 0).any():
            line = table.rows[int(np.argmax(np.diff(begins) <= 0)) + 1][0]
            raise DataError(f"{file}:{line}: column {timed!r}: its times do not rise")
        step = float(np.median(np.diff(begins))) if len(begins) > 1 else 0.0
        return np.append(begins, begins[-1] + step)
    try:
        times, end = picture_times(video), picture_span(video)[1]
    except VideoError as error:
        raise DataError(f"{file}: its rows are pictures, so the video is needed; {error}") from None
    if len(table.rows) > len(times):
        raise DataError(f"{file}: {len(table.rows)} rows, but {video} has {len(times)} pictures; is it the right video?")
    return np.append(times, end)[: len(table.rows) + 1]


def label_columns(table: Table, file: Path) -> dict[str, np.ndarray]:
    """Label -> whether each row has it (N,) bool. Raises DataError for a table without labels."""
    named = next((name for name in table.columns if key(name) in ACTION_NAMES), None)
    if named is not None and not all(re.fullmatch(r"-?[\d.]+", row.get(named, "") or "0") for _, row in table.rows):
        values = np.array([row.get(named, "") for _, row in table.rows])
        return {str(label): values == label for label in np.unique(values) if label}
    numeric = {name: column_of(name, table) for name in table.columns}
    columns = {name: values for name, values in numeric.items() if values is not None}
    ones = {name: values for name, values in columns.items() if np.isin(values, (-1, 0, 1)).all() and not PROBABILITY.match(name)}
    if ones:
        return {name: values == 1 for name, values in ones.items()}
    shares = {name: values for name, values in columns.items() if ((values >= 0) & (values <= 1)).all()}
    if not shares:
        raise DataError(f"{file}: no column of 0 and 1, none of probabilities (found: {', '.join(table.columns) or 'nothing'})")
    return {PROBABILITY.sub("", name): values >= COUNTS_AS_ONE for name, values in shares.items()}


def column_of(name: str, table: Table) -> np.ndarray | None:
    """The numbers (N,) of a column; None for one that counts rows, tells times, tracks points or holds something else."""
    if key(name) in TIME_COLUMNS | COUNT_COLUMNS or TRACKED.search(name):
        return None
    try:
        return np.array([float(row.get(name) or 0) for _, row in table.rows])
    except ValueError:
        return None


def runs_of_ones(on: Sequence[bool] | np.ndarray) -> Iterator[tuple[int, int]]:
    """First and end row of every run of rows with a label."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(on, int), [0]])))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
