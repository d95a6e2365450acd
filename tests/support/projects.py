"""A labelling project without videos: three films known by name, two labels."""

from __future__ import annotations

from pathlib import Path

from gerund.labelling.bouts import Footage, added
from gerund.labelling.edits import add_bout, add_label
from gerund.labelling.project import Project

FILMS = ("a", "b", "c")


def project_in(folder: Path) -> Project:
    """A project with videos a, b and c of 60 s, and the labels `walking` (key 1) and `jumping` (key 2)."""
    project = Project(folder)
    if project.is_new:
        films = [Footage(name=name, digest=name * 64, path=f"{name}.mp4", duration=60.0) for name in FILMS]
        project.remember([added(film) for film in films])
        for text in ("walking", "jumping"):
            project.perform(add_label(text, name=text))
    return project


def spans(project: Project, video: str = "a") -> list[tuple[str, float, float]]:
    """Label, start and end of the bouts of a video, in order of time, those that were rejected left out."""
    found = [bout for bout in project.state.bouts.values() if bout.video == video and bout.status != "rejected"]
    return [(bout.label, bout.start, bout.end) for bout in sorted(found, key=lambda bout: bout.start)]


def label_span(project: Project, label: str, start: float, end: float, **options: str) -> None:
    project.perform(add_bout(options.pop("video", "a"), label, start, end, by="me", **options))
