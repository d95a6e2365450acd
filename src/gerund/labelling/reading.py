"""Label files of any tool, read in a process of its own: `python -m gerund.labelling.reading NAME:PATH OUT.csv`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gerund.core.errors import DataError, GerundError
from gerund.core.texts import TABLE_SUFFIXES, read_text
from gerund.core.workers import limit_memory
from gerund.data.annotations import write_annotations
from gerund.data.datasets import kind_of_place, load_annotations
from gerund.data.datasets.boris_project import PROJECT_SUFFIX
from gerund.timelines.observations import kind_of

HISTORY_COLUMNS = ("path", "label", "start", "end", "subject", "status", "by", "at")


def format_of(path: Path) -> str:
    """The data set that reads a file of labels, by its ending and what is in it. Raises DataError for what no tool writes."""
    suffix = path.suffix.lower()
    if suffix == ".xml":
        return "cvat"
    if suffix == ".json":
        return format_of_json(path)
    if suffix not in (".eaf", PROJECT_SUFFIX, *TABLE_SUFFIXES):
        raise DataError(f"{path.name}: labels come as {', '.join(TABLE_SUFFIXES)}, .eaf, {PROJECT_SUFFIX}, .json or .xml")
    kind = kind_of(path) if suffix in TABLE_SUFFIXES else kind_of_place(path)
    return "csv" if kind in (None, "csv", "json") else kind


def format_of_json(path: Path) -> str:
    try:
        values = json.loads(read_text(path))
    except ValueError as error:
        raise DataError(f"{path.name}: not JSON ({error})") from None
    if isinstance(values, list):
        return "labelstudio"
    return "activitynet" if isinstance(values, dict) and "database" in values else "via"


def read_into(name: str, out: Path) -> int:
    limit_memory()
    try:
        write_annotations(load_annotations(name), out, HISTORY_COLUMNS)
    except GerundError as error:
        print(error, end="")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(read_into(sys.argv[1], Path(sys.argv[2])))
