"""`via`: project files (JSON) of the VGG video annotator, VIA 3, with temporal segments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gerund.core.errors import DataError
from gerund.core.texts import number, read_json
from gerund.data.annotations import Annotation
from gerund.data.datasets.files import ACTION_NAMES, annotation_files, field, find_video, labelled


def load(path: Path, *, split: int | None = None) -> list[Annotation]:
    """One annotation per temporal segment of a project file, or of all in a folder; an entry without times labels the whole video.

    The class is the value of one attribute: the one called action, activity, label ..., or else the first that entries have.
    Boxes in single frames are left out.
    """
    return [clip for file in annotation_files(path, ".json") for clip in via_clips(file)]


def via_clips(file: Path) -> list[Annotation]:
    project = read_json(file)
    entries = field(project, "metadata", dict, file)
    attributes = field(project, "attribute", dict, file)
    spans = {
        key: values for key, values in entries.items() if len(field(values, "z", list, f"{file}: metadata {key!r}")) in (0, 2)
    }
    chosen = class_attribute(attributes, spans, file)
    clips = []
    for key, values in spans.items():
        where = f"{file}: metadata {key!r}"
        value = field(values, "av", dict, where).get(chosen)
        if value in (None, "") or values.get("xy"):
            continue
        times = [number(second, f"{where}: field 'z'") for second in values["z"]]
        path = video_of(project, str(values.get("vid")), file, where)
        for label in names_of(value, attributes[chosen], where):
            clips.append(labelled(path, label, times[0] if times else 0.0, times[1] if times else None, where))
    if not clips:
        raise DataError(f"{file}: no temporal segment with a label in 'metadata'")
    return clips


def class_attribute(attributes: dict[str, Any], entries: dict[str, Any], file: Path) -> str:
    """Id of the attribute whose values are the classes."""
    names = {key: str(field(values, "aname", str, f"{file}: attribute {key!r}")) for key, values in attributes.items()}
    used = [key for key in names if any(isinstance(e.get("av"), dict) and key in e["av"] for e in entries.values())]
    if not used:
        raise DataError(
            f"{file}: no temporal segment has a value for one of the attributes {', '.join(names.values()) or '(none)'}"
        )
    return next((key for key in used if names[key].strip().lower() in ACTION_NAMES), used[0])


def names_of(value: Any, attribute: dict[str, Any], where: str) -> Iterator[str]:
    """Labels of an attribute's value: the text itself, or the options (several for a checkbox) that its ids stand for."""
    options = attribute.get("options")
    if not isinstance(value, str):
        raise DataError(f"{where}: field 'av' holds {str(value)[:40]!r}, not a text")
    if not isinstance(options, dict) or not options:
        yield value
        return
    for option in value.split(","):
        if option not in options:
            raise DataError(f"{where}: option {option!r} is not one of the attribute's ({', '.join(options)})")
        yield options[option]


def video_of(project: dict[str, Any], view: str, file: Path, where: str) -> Path:
    """The first file of a view: its address, or else its name (all that VIA knows of files opened in the browser)."""
    views = field(project, "view", dict, file)
    files = field(field(views, view, dict, f"{where}: view {view!r}"), "fid_list", list, f"{file}: view {view!r}")
    if not files:
        raise DataError(f"{file}: view {view!r} has no file")
    entry = field(field(project, "file", dict, file), str(files[0]), dict, file)
    names = [entry.get("src"), entry.get("fname")]
    return find_video(file, [name for name in names if isinstance(name, str)])
