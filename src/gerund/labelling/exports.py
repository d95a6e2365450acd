"""What a project comes to, as files: labels and the model's bouts in the formats of other tools, numbers, an ethogram."""

from __future__ import annotations

import asyncio
import csv
import io
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from gerund.core.errors import DataError, GerundError
from gerund.core.places import free_names
from gerund.data.datasets.boris_project import PROJECT_SUFFIX
from gerund.labelling.desk import Studio
from gerund.serving.processes import end_process, module_process
from gerund.timelines.cut import as_timeline
from gerund.timelines.formats import TIMELINE_FORMATS
from gerund.timelines.observations import read_observations
from gerund.timelines.projects import PROJECT_FORMATS

Whose = Literal["yours", "model"]
EXPORT_SECONDS = 300.0
FILE_FORMATS = {name: kind for name, kind in (TIMELINE_FORMATS | PROJECT_FORMATS).items() if name != "per_step"}
FILE_FORMATS["boris_project"] = TIMELINE_FORMATS["boris"]._replace(suffixes=(PROJECT_SUFFIX,))
"""What labels can be written as; a table of probabilities per step is no label."""


def model_csv(desk: Studio) -> str:
    """The model's segments in all videos, as `gerund timeline --csv` prints them."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(("path", "start", "end", "label", "score", "error"))
    videos = desk.project.state.videos
    for video, segment in desk.found_segments():
        where = desk.project.path_of(videos[video])
        table.writerow((where, f"{segment.start:.3f}", f"{segment.end:.3f}", segment.label, f"{segment.score:.6f}", ""))
    return out.getvalue()


def write_table(desk: Studio, whose: Whose, folder: Path) -> Path:
    """A file that every command reads, with your labels or the model's bouts. Raises DataError when there are none."""
    if whose == "yours":
        desk.project.write_csv()
        if not any(bout.status == "confirmed" for bout in desk.project.state.bouts.values()):
            raise DataError("there are no labels yet")
        return desk.project.folder / "labels.csv"
    if not desk.found_segments():
        raise DataError("the model has found nothing yet")
    path = folder / "timelines.csv"
    path.write_text(model_csv(desk), encoding="utf-8")
    return path


async def exported(desk: Studio, whose: Whose, kind: str) -> bytes:
    """A zip archive with a file for each video. Raises DataError for a format there is not, and for no labels."""
    if kind not in FILE_FORMATS:
        raise DataError(f"format {kind[:40]!r}: choose one of {', '.join(FILE_FORMATS)}")
    with tempfile.TemporaryDirectory(prefix="gerund-export-") as folder:
        out = Path(folder) / "export.zip"
        table = await asyncio.to_thread(write_table, desk, whose, Path(folder))
        await said_by("gerund.labelling.exports", str(table), kind, str(out))
        return out.read_bytes()


async def counted(desk: Studio, whose: Whose, kind: Literal["csv", "html", "png"]) -> bytes:
    """The numbers of `gerund stats`: as a table, as a page with the ethogram, or the ethogram alone. Raises DataError."""
    with tempfile.TemporaryDirectory(prefix="gerund-export-") as folder:
        out = Path(folder) / f"stats.{kind}"
        table = await asyncio.to_thread(write_table, desk, whose, Path(folder))
        options = {"csv": ["--csv"], "html": ["--html", str(out)], "png": ["--plot", str(out)]}[kind]
        said = await said_by("gerund", "stats", str(table), *options)
        return said if kind == "csv" else out.read_bytes()


async def said_by(*words: str) -> bytes:
    """What a module of gerund prints, in a process of its own. Raises DataError with its complaint."""
    process = await module_process(*words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(EXPORT_SECONDS):
            said, complained = await process.communicate()
    except TimeoutError:
        raise DataError(f"it took longer than {EXPORT_SECONDS:.0f} s") from None
    finally:
        await end_process(process)
    if process.returncode != 0:
        lines = complained.decode(errors="replace").strip().splitlines()
        raise DataError(lines[-1].removeprefix("Error: ") if lines else f"it ended with code {process.returncode}")
    return said


def write_archive(table: Path, kind: str, out: Path) -> None:
    """A zip archive with a file of a format for each video of a table, or a project with all of them."""
    made = FILE_FORMATS[kind]
    found = read_observations(table)
    project = Path(f"labels{made.suffixes[0]}")
    if made.together is not None and made.holds_all(project):
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(project.name, made.together([as_timeline(each) for each in found], project.absolute()))
        return
    names = free_names(out.parent / kind, made.suffixes[0], [each.path.stem for each in found])
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, name in zip(found, names, strict=True):
            archive.writestr(name.name, made.text(as_timeline(each), name))


def archive_from(words: Sequence[str]) -> int:
    try:
        write_archive(Path(words[0]), words[1], Path(words[2]))
    except GerundError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(archive_from(sys.argv[1:]))
