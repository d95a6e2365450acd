"""What adapters share: XML read and fields checked with errors that name the file, and the videos they speak of found."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from gerund.core.errors import DataError
from gerund.core.progress import note
from gerund.core.texts import exists, key, named_file, number, read_text, table_text
from gerund.core.types import Clip
from gerund.data.annotations import Annotation
from gerund.data.listing import Listing, Reason
from gerund.video.formats import is_hidden, is_video

ACTION_NAMES = frozenset("action actions activity activities behavior behaviour behaviors behaviours label labels class".split())
"""Where a tool offers several tiers or attributes, one with such a name holds the classes."""

IMAGES = Reason("folder of images", "folders of images")
SAME_NAME = Reason("video with the name of another", "videos with the name of another")
NOT_USED = Reason("video that the lists do not use", "videos that the lists do not use")
LISTS = frozenset("annotation annotations label labels list lists split splits csv json".split())
"""How a folder with annotation files is called that lies beside the videos."""
MOST_FRAMES = 1e9
SLOWEST, FASTEST_RATE = 0.001, 100_000

FIELD_KINDS = {dict: "an object", list: "a list", str: "a text", str | int: "a text or a number"}


class PlainTree(ET.TreeBuilder):
    """Elements only. Refusing a document type refuses every entity, the ones that grow without end included; xml.etree itself
    never fetches external ones."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise DataError("it declares a document type; annotation tools write none")


def read_xml(path: Path, root: str) -> ET.Element:
    """The root element of an XML file, which must be called `root`."""
    try:
        tree = ET.fromstring(path.read_bytes(), parser=ET.XMLParser(target=PlainTree()))
    except OSError as error:
        raise DataError(f"{path}: not readable ({error.strerror})") from None
    except ET.ParseError as error:
        if not re.match(rb"[^>]*encoding", path.read_bytes()):
            read_text(path)  # which says it where the text is not UTF-8
        raise DataError(f"{path}:{error.position[0]}: not XML ({error})") from None
    except (LookupError, ValueError, DataError) as error:
        raise DataError(f"{path}: not XML that can be read ({error})") from None
    if tree.tag != root:
        raise DataError(f"{path}: the root element is <{tree.tag}>, not <{root}>")
    return tree


def field(values: Any, name: str, kind: Any, where: object) -> Any:
    """`values[name]`, checked to be of a kind; `where` begins the error."""
    if not isinstance(values, dict):
        raise DataError(f"{where}: expected an object with the field {name!r}, found {str(values)[:40]!r}")
    if name not in values:
        raise DataError(f"{where}: field {name!r} is missing")
    if not isinstance(values[name], kind) or isinstance(values[name], bool):
        raise DataError(f"{where}: field {name!r} is {str(values[name])[:40]!r}, not {FIELD_KINDS[kind]}")
    return values[name]


def attribute(element: ET.Element, name: str, where: object) -> str:
    value = element.get(name)
    if value is None:
        raise DataError(f"{where}: <{element.tag}> without the attribute {name!r}")
    return value


def frame_number(value: Any, where: object) -> int:
    """A whole number of at least 0."""
    found = number(value, where, most=MOST_FRAMES)
    if found != int(found):
        raise DataError(f"{where}: {str(value)[:40]!r} is not a frame number")
    return int(found)


def rate(value: Any, where: object) -> float:
    """Frames per second that a video can have."""
    if not SLOWEST <= (found := number(value, where)) <= FASTEST_RATE:
        raise DataError(f"{where}: a framerate of {value}; frames per second lie between {SLOWEST:g} and {FASTEST_RATE:,}")
    return found


def labelled(path: Path, label: Any, start: float, end: float | None, where: object, *, subject: str | None = None) -> Annotation:
    """An annotation whose label is a name and whose end is not before its start."""
    if not isinstance(label, str) or not label.strip():
        raise DataError(f"{where}: the label is {label!r}, not a name")
    if end is not None and end < start:
        raise DataError(f"{where}: the end, {end:g} s, is not after the start, {start:g} s")
    return Annotation(path=path, label=label.strip(), start=start, end=end, subject=subject or None)


def head_columns(table: Path) -> set[str]:
    """The columns in the first line of a table, as `key` has them."""
    head = next((line for line in re.split(r"\r\n?|\n", table_text(table)) if line.strip()), "")
    return {key(cell.strip(' "')) for cell in re.split(r"[\t,;]", head)}


def is_of_boris(columns: Collection[str]) -> bool:
    """Whether a table is one of the events that BORIS exports."""
    return bool({"behaviortype", "observationid"}.intersection(columns)) or {"behavior", "time"}.issubset(columns)


def annotation_files(path: Path, *suffixes: str) -> list[Path]:
    """The file itself, or all files of a folder with one of these suffixes, in order of their names."""
    if not path.is_dir():
        return [path]
    found = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in suffixes and not entry.name.startswith("."))
    if not found:
        raise DataError(f"{path}: no {' or '.join(suffixes)} file in this folder")
    return found


def local_name(name: str) -> str:
    """The path in what a tool wrote down: the path of a file:, http: or storage address, or else what is written."""
    if re.match(r"[A-Za-z]:[\\/]", name) or not re.match(r"[a-z][a-z0-9+.-]+:|.*/local-files/\?", name):
        return name
    try:
        parts = urlsplit(name)
    except ValueError:
        return name
    stored = parse_qs(parts.query).get("d")
    return stored[0] if stored else unquote(parts.path)


def last_part(name: str) -> str:
    """The file's own name in what a tool wrote down, whichever slashes it has."""
    return PurePosixPath(local_name(name).replace("\\", "/")).name


def find_video(annotation: Path, names: Iterable[str | None]) -> Path:
    """The video that an annotation file names: where it says, counted from the file's own folder, or else beside the file.

    Raises DataError with everything that was looked for.
    """
    named = [name.strip() for name in names if name and name.strip()]
    if not named:
        raise DataError(f"{annotation}: names no video")
    if found := video_beside(annotation, named):
        return found
    looked = ", ".join(dict.fromkeys(str(place) for name in named for place in places_of(annotation, name)))
    raise DataError(f"{annotation}: its video {named[0]!r} is not there (looked for {looked}); put it beside the annotation file")


def video_beside(annotation: Path, names: Iterable[str | None]) -> Path | None:
    """The first of some names' videos that is there."""
    return next((place for name in names if name for place in places_of(annotation, name.strip()) if there(place)), None)


def places_of(annotation: Path, name: str) -> list[Path]:
    """Where the video may be that an annotation file calls so."""
    return [named_file(annotation.parent, text) for text in (local_name(name), last_part(name))] if last_part(name) else []


def there(path: Path) -> bool:
    """Whether a path as somebody wrote it is a video; the system takes some for no path at all."""
    return exists(path) and is_video(path)


def by_stem(listing: Listing) -> dict[str, Path]:
    """The video files of a listing under their names without suffix; of several with one name the first is kept."""
    listing.keep((path for path in listing.videos if path not in listing.image_folders), IMAGES)
    found: dict[str, Path] = {}
    for path in listing.videos:
        found.setdefault(path.stem, path)
    listing.keep(found.values(), SAME_NAME)
    return found


def tell_used(listing: Listing, clips: Iterable[Clip]) -> None:
    """Say how many of the videos below a data set's folder its lists use, and what else is left out."""
    listing.keep((clip.path for clip in clips), NOT_USED)
    listing.tell()


def report_missing(missing: list[str], total: int, place: Path) -> None:
    """Say how many listed videos are not there. Raises DataError when none is."""
    if total and len(missing) == total:
        raise DataError(f"{place}: none of the {total} listed videos is there (looked for {missing[0]} and the like)")
    if missing:
        note(f"{place}: {len(missing)} of {total} listed videos are missing, first {missing[0]}; they are left out.")


def files_like(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder that fit a pattern, in order of their names, without hidden ones."""
    return sorted(path for path in folder.glob(pattern) if not is_hidden(path.name))


def first_folder(path: Path, pattern: str) -> Path | None:
    """The folder itself, or the first one up to two levels below it, that holds a file of this pattern."""
    below = sorted(each for depth in ("*", "*/*") for each in path.glob(depth) if each.is_dir())
    return next((folder for folder in (path, *below) if files_like(folder, pattern)), None)


def folder_of_lists(path: Path, pattern: str) -> Path | None:
    """The folder itself, or else one in it, that holds a file of this pattern; one called annotations and the like comes first."""
    below = sorted((each for each in path.iterdir() if each.is_dir()), key=lambda each: (each.name.lower() not in LISTS, each))
    return next((folder for folder in (path, *below) if files_like(folder, pattern)), None)


def home_of(folder: Path) -> Path:
    """The folder whose videos the annotation files of a folder speak of: that one, or the one above `annotations` and the like."""
    return folder.absolute().parent if folder.absolute().name.lower() in LISTS else folder
