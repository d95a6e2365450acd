"""`labelstudio`: JSON exports of Label Studio with timeline labels, time spans or classes of whole videos."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gerund.core.errors import DataError
from gerund.core.progress import note
from gerund.core.texts import number, read_json
from gerund.data.annotations import Annotation
from gerund.data.datasets.cvat import frame_clock
from gerund.data.datasets.files import MOST_FRAMES, annotation_files, field, find_video, labelled, last_part, rate, read_xml
from gerund.video.formats import MOVING_SUFFIXES

CONFIG = "config.xml"
RATE_FIELDS = ("fps", "framerate", "frame_rate")
UPLOAD = re.compile(r"^[0-9a-f]{8}-")
"""Label Studio puts this before the name of a file uploaded to it."""


def load(path: Path, *, split: int | None = None) -> list[Annotation]:
    """One annotation per labelled span of a JSON export, or of all in a folder; a choice labels the whole video.

    Timeline labels count frames from 1, at the `framerate` of the labelling config: it is read from the task's data (fps), from
    a copy of that config, config.xml, beside the export, or taken to be the video's own.
    """
    return [clip for file in annotation_files(path, ".json") for clip in labelstudio_clips(file)]


def labelstudio_clips(file: Path) -> list[Annotation]:
    tasks = read_json(file)
    if not isinstance(tasks, list):
        raise DataError(f"{file}: expected a list of tasks; export as JSON")
    clips = []
    for index, task in enumerate(tasks):
        where = f"{file}: task {task.get('id', index) if isinstance(task, dict) else index}"
        if isinstance(task, dict) and "annotations" not in task:
            raise DataError(f"{where}: field 'annotations' is missing; export as JSON, not JSON-MIN")
        results = list(results_of(task, where))
        if results:
            clips += task_clips(task, results, file, where)
    if not clips:
        raise DataError(f"{file}: no annotation of a span or a whole video")
    return clips


def results_of(task: Any, where: str) -> Iterator[dict[str, Any]]:
    """Values of the results of all annotations that were not skipped."""
    for annotation in field(task, "annotations", list, where):
        for result in field(annotation, "result", list, f"{where}: annotation"):
            if not annotation.get("was_cancelled"):
                value = result.get("value") if isinstance(result, dict) else None
                if not isinstance(value, dict):
                    raise DataError(f"{where}: a result without the field 'value'")
                yield value


def task_clips(task: dict[str, Any], results: list[dict[str, Any]], file: Path, where: str) -> list[Annotation]:
    data = field(task, "data", dict, where)
    video: Path = find_video(file, video_names(data))
    fps: float | None = None
    clips = []
    for value in results:
        spans: list[tuple[float, float | None]] = []
        if "ranges" in value:
            fps = fps or label_rate(data, video, file, where)
            for each in field(value, "ranges", list, where):
                first, last = (
                    number(each.get(k) if isinstance(each, dict) else None, f"{where}: 'ranges'", most=MOST_FRAMES)
                    for k in ("start", "end")
                )
                spans.append((round(max(0.0, first - 1) / fps, 3), round(last / fps, 3)))
        elif "start" in value and "end" in value:
            spans.append((number(value["start"], f"{where}: 'start'"), number(value["end"], f"{where}: 'end'")))
        elif "choices" in value:
            spans.append((0.0, None))
        labels: Any = next((value[key] for key in ("timelinelabels", "labels", "choices") if key in value), [])
        if not isinstance(labels, list):
            raise DataError(f"{where}: labels are {str(labels)[:40]!r}, not a list")
        clips += [labelled(video, label, *span, where) for span in spans for label in labels]
    return clips


def video_names(data: dict[str, Any]) -> list[str]:
    """What the task's data say about its video, and the names without the mark of an upload."""
    texts = [value for value in data.values() if isinstance(value, str)]
    named = [text for text in texts if Path(last_part(text)).suffix.lower() in MOVING_SUFFIXES]
    return named + [UPLOAD.sub("", last_part(text)) for text in named]


def label_rate(data: dict[str, Any], video: Path, file: Path, where: str) -> float:
    """Frames per second that the labels of a task count in."""
    for key in RATE_FIELDS:
        if data.get(key):
            return rate(data[key], f"{where}: field {key!r}")
    config = file.with_name(CONFIG)
    if config.is_file():
        for tag in read_xml(config, "View").iter("Video"):
            if re.fullmatch(r"[\d.]+", told := tag.get("framerate") or tag.get("frameRate") or "24"):
                return rate(told, f"{config}: framerate")
    note(
        f"{where}: frame numbers are taken at the video's own rate; if the Video tag had another framerate (24 when it had none), "
        f"put the labelling config beside the export as {CONFIG}."
    )
    return frame_clock(video, file)[0]
