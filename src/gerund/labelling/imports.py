"""Labels that were made elsewhere come into a project as what they are: with whoever said so, and when."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gerund.core.errors import DataError
from gerund.core.progress import note
from gerund.core.workers import environment
from gerund.data.annotations import Annotation, read_annotations
from gerund.labelling.bouts import LabelledBout, added, cleaned
from gerund.labelling.edits import new_label
from gerund.labelling.footage import Library
from gerund.labelling.journal import Change
from gerund.labelling.project import Operation, Project, Snapshot, new_name
from gerund.labelling.reading import format_of

READING_SECONDS = 120.0


def import_annotations(library: Library, rows: Sequence[Annotation], source: Path) -> None:
    """Take annotations into a project, as one edit; a line says how many were left out, since their videos are not there or not readable."""
    known: dict[Path, str] = {}
    for path in sorted({row.path for row in rows if row.path.exists()}):
        if name := library.identify(path):
            known[path] = name
    usable = [row for row in rows if row.path in known and row.label]
    if left := len(rows) - len(usable):
        note(f"{source.name}: {left} of {len(rows)} rows are left out, since their videos are not there, or they have no label")
    if usable:
        library.project.perform(lambda state: (f"{len(usable)} labels of {source.name}", changes_of(state, usable, known)))


def import_file(project: Project, name: str, data: bytes, *, by: str, kind: str = "") -> Operation:
    """The labels of a file of another tool, or a table per picture, as an edit. The file's videos are those of the project with such names.

    `kind` names the data set that reads it, without which what is in the file decides; `by` is whose they are where the file does not say.
    Raises DataError when it cannot be read, or speaks of no video of the project.
    """
    videos = videos_by_path(project)
    with tempfile.TemporaryDirectory(prefix="gerund-labels-") as folder:
        place, out = Path(folder) / Path(name.replace("\\", "/")).name, Path(folder) / ".read" / "labels.csv"
        lay_out(Path(folder), project, videos)
        if place.exists():
            raise DataError(f"{place.name}: is called like a video of the project; is it a file of labels?")
        place.write_bytes(data)
        rows = read_apart(f"{kind or format_of(place)}:{place}", place, out)
        known = match_videos(rows, Path(folder), project, videos)
    usable = [replace(row, by=row.by or by) for row in rows if row.path in known and row.label]
    if not usable:
        raise DataError(f"{name}: none of its {len(rows)} rows names a video of this project")
    left = len(rows) - len(usable)

    def operation(state: Snapshot) -> tuple[str, Sequence[Change]]:
        changes = changes_of(state, usable, known)
        if not changes:
            raise DataError(f"{name}: all of its {len(usable)} labels are here already")
        return f"{len(usable)} labels of {name}{f', {left} left out' if left else ''}", changes

    return operation


def videos_by_path(project: Project) -> dict[str, str]:
    """Names of the project's videos: under their paths from its folder, and, where only one is called so, under file names too."""
    state = project.state
    found = {video.path: name for name, video in state.videos.items()}
    files = Counter(Path(path).name for path in found)
    return found | {Path(path).name: name for path, name in found.items() if files[Path(path).name] == 1}


def lay_out(folder: Path, project: Project, videos: Mapping[str, str]) -> None:
    """Let a folder look as if the project's videos were in it, since label files name videos beside them: by links, or empty files."""
    for path, name in videos.items():
        here, there = (
            folder / (Path(path).name if Path(path).is_absolute() else path),
            project.path_of(project.state.videos[name]),
        )
        if folder not in Path(os.path.normpath(here)).parents or here.exists():
            continue
        here.parent.mkdir(parents=True, exist_ok=True)
        for link in (here.symlink_to, here.hardlink_to):
            with contextlib.suppress(OSError, NotImplementedError):
                link(there)
                break
        else:
            here.touch()


def match_videos(rows: Sequence[Annotation], folder: Path, project: Project, videos: Mapping[str, str]) -> dict[Path, str]:
    """Which video of the project each path of the rows means: the one at that place, or the only one with that file name."""
    places = {project.path_of(video): name for name, video in project.state.videos.items()}
    places |= {folder / path: name for path, name in videos.items()}
    found = {row.path: places.get(row.path) or videos.get(row.path.name) for row in rows}
    return {path: name for path, name in found.items() if name is not None}


def read_apart(name: str, place: Path, out: Path) -> list[Annotation]:
    """All rows of a file, read in a process of its own. Raises DataError."""
    command = [sys.executable, "-m", "gerund.labelling.reading", name, str(out)]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            timeout=READING_SECONDS,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"{place.name}: reading it took longer than {READING_SECONDS:.0f} s") from None
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").replace(f"{place.parent}{os.sep}", "")
        raise DataError(said or f"{place.name}: whoever read it ended with code {done.returncode}")
    return read_annotations(out)


def changes_of(state: Snapshot, rows: Sequence[Annotation], known: dict[Path, str]) -> list[Change]:
    """New labels and bouts; a row without an end lasts as long as its video. Rows that are here already are left out.

    What lies over a bout that is confirmed here is only suggested: two cannot both be true.
    """
    changes: list[Change] = []
    labels = {label.text.casefold(): label.name for label in state.labels.values()}
    there = {(bout.video, bout.label, bout.start, bout.end) for bout in state.bouts.values()}
    confirmed: defaultdict[str, list[LabelledBout]] = defaultdict(list)
    for known_bout in state.bouts.values():
        if known_bout.status == "confirmed":
            confirmed[known_bout.video].append(known_bout)
    for row in rows:
        text = cleaned(row.label or "")
        if text.casefold() not in labels:
            label = new_label(state, text)
            labels[text.casefold()] = label.name
            changes.append(added(label))
            state = replace(state, labels={**state.labels, label.name: label})
        video = state.videos[known[row.path]]
        bout = LabelledBout(
            name=new_name(),
            video=video.name,
            label=labels[text.casefold()],
            start=round(row.start, 3),
            end=round(video.duration if row.end is None else row.end, 3),
            status=row.status or "confirmed",
            subject=cleaned(row.subject or ""),
            by=row.by or "",
            at=row.at or "",
        )
        if (bout.video, bout.label, bout.start, bout.end) not in there:
            contradicts = bout.status == "confirmed" and any(map(bout.overlaps, confirmed[bout.video]))
            changes.append(added(replace(bout, status="suggested") if contradicts else bout))
    return changes
