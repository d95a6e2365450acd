"""Labels that were made elsewhere come into a project as what they are: with whoever said so, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gerund.core.progress import note
from gerund.data.annotations import Annotation
from gerund.labelling.bouts import LabelledBout, added, cleaned
from gerund.labelling.edits import new_label
from gerund.labelling.footage import Library
from gerund.labelling.journal import Change
from gerund.labelling.project import Snapshot, new_name


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


def changes_of(state: Snapshot, rows: Sequence[Annotation], known: dict[Path, str]) -> list[Change]:
    """New labels and bouts; a row without an end lasts as long as its video. Rows that are here already are left out."""
    changes: list[Change] = []
    labels = {label.text.casefold(): label.name for label in state.labels.values()}
    there = {(bout.video, bout.label, bout.start, bout.end) for bout in state.bouts.values()}
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
            changes.append(added(bout))
    return changes
