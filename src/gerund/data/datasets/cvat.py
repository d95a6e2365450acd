"""`cvat`: XML exports of CVAT, "CVAT for video" (tracks) and "CVAT for images" of a video task (tags)."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from gerund.core.errors import DataError, VideoError
from gerund.data.annotations import Annotation
from gerund.data.datasets.files import (
    ACTION_NAMES,
    annotation_files,
    attribute,
    find_video,
    frame_number,
    labelled,
    rate,
    read_xml,
)
from gerund.video import probe


def load(path: Path, *, split: int | None = None) -> list[Annotation]:
    """One annotation per stretch of frames with a label, of an XML file or of all in a folder.

    A stretch is where a track is visible, or where frames in a row have the same tag. The label is the track's, or the value of
    an attribute called action, activity, behaviour ... CVAT counts frames; seconds come from the video's own rate.
    """
    return [clip for file in annotation_files(path, ".xml") for clip in cvat_clips(file)]


def cvat_clips(file: Path) -> list[Annotation]:
    document = read_xml(file, "annotations")
    tasks = {task.findtext("id") or "": task for task in document.iter("task")}
    if not tasks:
        raise DataError(f"{file}: no <task> in <meta>; export as 'CVAT for video 1.1'")
    clips = []
    for task_id, task in tasks.items():
        frames = labelled_frames(document, task_id if len(tasks) > 1 else None, file)
        if not frames:
            continue
        video = find_video(file, [task.findtext("source"), task.findtext("name")])
        (fps, start), step = frame_clock(video, file), frame_step(task)
        for (label, _), numbers in frames.items():
            for first, last in stretches(sorted(numbers), step):
                clips.append(labelled(video, label, round(start + first / fps, 3), round(start + (last + step) / fps, 3), file))
    if not clips:
        raise DataError(f"{file}: no track and no tag with a label")
    return clips


def labelled_frames(document: ET.Element, task: str | None, file: Path) -> dict[tuple[str, str], set[int]]:
    """Frame numbers of every (label, track); tags of a label count as one track."""
    frames: dict[tuple[str, str], set[int]] = defaultdict(set)
    for index, track in enumerate(document.iter("track")):
        where = f"{file}: track {track.get('id')!r}"
        if task is not None and track.get("task_id") != task:
            continue
        for shape in track:
            if "frame" in shape.attrib and shape.get("outside") != "1":
                label = action_of(shape) or attribute(track, "label", where)
                frames[label, str(index)].add(frame_number(attribute(shape, "frame", where), f"{where}: frame"))
    for image in document.iter("image"):
        if task is not None and image.get("task_id") != task:
            continue
        where = f"{file}: image {image.get('id')!r}"
        for tag in image.findall("tag"):
            frames[attribute(tag, "label", where), "tags"].add(frame_number(attribute(image, "id", where), where))
    return frames


def action_of(shape: ET.Element) -> str | None:
    found = (each.text for each in shape.findall("attribute") if (each.get("name") or "").strip().lower() in ACTION_NAMES)
    return next((text.strip() for text in found if text and text.strip()), None)


def stretches(numbers: list[int], step: int) -> Iterator[tuple[int, int]]:
    """First and last number of each stretch without a hole wider than `step`."""
    first = previous = numbers[0]
    for frame in numbers[1:]:
        if frame > previous + step:
            yield first, previous
            first = frame
        previous = frame
    yield first, previous


def frame_step(task: ET.Element) -> int:
    match = re.search(r"step\s*=\s*([0-9]{1,9})", task.findtext("frame_filter") or "")
    return max(1, int(match[1])) if match else 1


def frame_clock(video: Path, file: Path) -> tuple[float, float]:
    """Frames per second of a video, and the second at which its frame 0 stands."""
    try:
        info = probe(video)
    except VideoError as error:
        raise DataError(f"{file}: its frame numbers need the rate of the video; {error}") from None
    if not info.fps:
        raise DataError(f"{file}: its frame numbers need the rate of the video, which {video} does not tell")
    return rate(info.fps, f"{file}: {video}"), info.start
